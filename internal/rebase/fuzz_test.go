package rebase

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// checkRefusal checks that an error is a reason that people can read in a table.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *Refusal
	var differ *LayersDiffer
	switch {
	case err == nil, errors.As(err, &differ):
	case !errors.As(err, &refusal):
		t.Errorf("the error is no refusal: %v", err)
	case len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\r\x1b\x00\u202e"):
		t.Errorf("the reason is %q", err)
	}
}

// withConfig is an image of a configuration and of the layers in a manifest, whatever they are.
func withConfig(config, layers string) Image {
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":%s}`,
		digestOf([]byte(config)), len(config), layers)
	return Image{MediaType: "application/vnd.oci.image.manifest.v1+json", Manifest: []byte(manifest), Config: []byte(config)}
}

// layersOf is the list of layers in an image's manifest.
func layersOf(img Image) string {
	manifest, _ := parseObject(img.Manifest)
	return string(manifest.get("layers"))
}

// Whatever the configurations of images hold: it is refused in a few words, or the image that comes of it is well formed.
func FuzzConfig(f *testing.F) {
	base := fixture{layers: []string{"os"}, settings: `{"Env":["PATH=/bin","A=1"],"Labels":{"a":"b"},"Cmd":["sh"]}`}
	final := base.on(`{"Env":["PATH=/x:/bin","A=1","B=2"],"Labels":{"a":"b"},"Entrypoint":["tini"]}`)
	f.Add(string(final.image().Config), string(base.image().Config), string(base.image().Config))
	for _, settings := range []string{
		`{"Env":["=x","A","A=1"]}`, `{"Env":[1,{"a":2},null]}`, `{"OnBuild":["RUN x"]}`, `{"env":[]}`, `{"Labels":[]}`, `{"Cmd":"x","Cmd":"y"}`,
		`{"Labels":{"\u001b[2J::error::":"\u202e"}}`, strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	} {
		odd := fixture{layers: []string{"os"}, settings: settings}
		f.Add(string(odd.on(settings).image().Config), string(odd.image().Config), string(odd.image().Config))
	}
	f.Add("null", "{}", "[]")
	f.Fuzz(func(t *testing.T, finalConfig, baseConfig, otherConfig string) {
		base, final := withConfig(baseConfig, layersOf(base.image())), withConfig(finalConfig, layersOf(final.image()))
		other := withConfig(otherConfig, layersOf(base))
		delta, err := Diff(final, base, Uses{Variables: []string{"PATH"}, WorkingDir: true, Shell: true})
		checkRefusal(t, err)
		if err != nil {
			return
		}
		both, err := Intersect(delta, delta)
		checkRefusal(t, err)
		if err != nil {
			t.Fatalf("a delta contradicts itself: %v", err)
		}
		for _, on := range []Image{base, other} {
			made, err := both.Apply(on, "x/y:1", digestOf(nil), map[string]string{"OPENHANDS_BUILD_GIT_SHA": "a"})
			checkRefusal(t, err)
			if err == nil && (!json.Valid(made.Config) || !json.Valid(made.Manifest)) {
				t.Errorf("made a broken image: %s\n%s", made.Config, made.Manifest)
			}
			if err == nil {
				_, err = Layers(made)
				checkRefusal(t, err)
			}
		}
	})
}

// Manifests and indexes are as hostile as configurations.
func FuzzManifest(f *testing.F) {
	f.Add(fixture{layers: []string{"os"}}.image().Manifest)
	for _, text := range []string{
		`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digestOf(nil) + `","platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"annotations":{"` + MarkAnnotation + `":"refused: \u001b]0;x\u0007::error::` + strings.Repeat("x", 2000) + `"}}`, `{"annotations":[]}`, `[]`, `{"layers":[{}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		_, _, err := SelectPlatform(manifest)
		checkRefusal(t, err)
		checkRefusal(t, IsRebasable(manifest))
		CreatedAt(manifest)
		BaseOf(manifest)
		img := fixture{layers: []string{"os"}}.image()
		img.Manifest = manifest
		_, err = Layers(img)
		checkRefusal(t, err)
		marked := Mark(img, MarkPlain, "x/y:1", digestOf(nil), time.Unix(0, 0))
		if json.Valid(manifest) && !json.Valid(marked.Manifest) {
			t.Errorf("marking broke the manifest: %s", marked.Manifest)
		}
		if err := IsRebasable(marked.Manifest); err != nil && string(marked.Manifest) != string(manifest) {
			t.Errorf("a mark is not read again: %v in %s", err, marked.Manifest)
		}
	})
}

// A configuration of megabytes takes no time by the square of its members, and its names no room in a refusal.
func TestHugeConfigsAreRefusedAtOnce(t *testing.T) {
	many := func(format string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	cases := map[string]struct{ settings, says string }{
		"labels":                 {`{"Labels":{` + many(`"l%d":""`, 100_000) + `}}`, "has more than 10000 members"},
		"variables":              {`{"Env":[` + many(`"V%d=1"`, 100_000) + `]}`, "has more than 10000 members"},
		"fields":                 {`{` + many(`"F%d":1`, 100_000) + `}`, "has more than 10000 members"},
		"a long name":            {`{"Labels":{"` + strings.Repeat("x", 1<<20) + `":1}}`, ""},
		"a long variable, twice": {`{"Env":["` + strings.Repeat("\\u001b", 1<<16) + `=1","` + strings.Repeat("\\u001b", 1<<16) + `=2"]}`, "twice"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			base := fixture{layers: []string{"os"}, settings: c.settings}
			begin := time.Now()
			_, err := Diff(base.on(`{}`).image(), base.image(), Uses{})
			checkRefusal(t, err)
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) && !strings.Contains(err.Error(), "...") {
				t.Errorf("%v, want %q", err, c.says)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
