package rebase

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refusedFor fails the test unless err is a Refusal whose reason holds want.
func refusedFor(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("the error is %v, want a refusal for %q", err, want)
	}
	if !strings.Contains(refusal.Reason, want) {
		t.Errorf("the reason is %q, want it to hold %q", refusal.Reason, want)
	}
}

func TestDiffRefuses(t *testing.T) {
	plainBase := fixture{layers: []string{"os", "apt"}, settings: `{"Env":["PATH=/bin"]}`}
	env := func(f fixture, entries string) fixture { f.settings = `{"Env":[` + entries + `]}`; return f }
	final := func(change func(*fixture)) fixture {
		f := plainBase.on(plainBase.settings)
		change(&f)
		return f
	}
	// both changes the base and what was made of it.
	both := func(change func(*fixture)) [2]fixture {
		base := plainBase
		change(&base)
		return [2]fixture{base, base.on(base.settings)}
	}
	cases := map[string]struct {
		pair [2]fixture
		want string
	}{
		"a value that embeds the base's own": {
			[2]fixture{plainBase, env(plainBase.on(""), `"PATH=/x:/bin"`)},
			"config.Env[PATH] embeds the value that the base has",
		},
		"variables in another order": {
			[2]fixture{env(plainBase, `"A=1","B=2"`), env(plainBase.on(""), `"B=2","A=1"`)},
			"config.Env cannot be made",
		},
		"a variable added before the base's": {
			[2]fixture{plainBase, env(plainBase.on(""), `"A=1","PATH=/bin"`)},
			"config.Env cannot be made",
		},
		"a variable that stands twice": {
			both(func(f *fixture) { f.settings = `{"Env":["A=1","A=2"]}` }),
			`config.Env has "A" twice`,
		},
		"Env that is no list": {
			both(func(f *fixture) { f.settings = `{"Env":"A=1"}` }),
			"config.Env cannot be parsed",
		},
		"another architecture": {
			both(func(f *fixture) { f.platform = `"architecture":"arm64","os":"linux",` }),
			`architecture is "arm64"`,
		},
		"another architecture on top": {
			[2]fixture{
				plainBase,
				final(func(f *fixture) { f.platform = `"architecture":"arm64","os":"linux",` }),
			},
			`the final image's architecture is "arm64"`,
		},
		"another system": {
			both(func(f *fixture) { f.platform = `"architecture":"amd64","os":"windows",` }),
			`os is "windows"`,
		},
		"another variant": {both(func(f *fixture) { f.platform = amd64 + `"variant":"v3",` }), `variant is "v3"`},
		"no platform":     {both(func(f *fixture) { f.platform = " " }), `os is ""`},
		"ONBUILD":         {both(func(f *fixture) { f.settings = `{"OnBuild":["RUN x"]}` }), "config.OnBuild"},
		"a flattened base": {[2]fixture{plainBase, final(func(f *fixture) {
			f.layers, f.history = []string{"all", "agent"}, f.history[:1]
		})}, "rootfs.diff_ids[0] is not the base's"},
		"a recompressed base": {[2]fixture{plainBase, final(func(f *fixture) {
			f.layers, f.tars = []string{"os", "apt.gz", "agent"}, f.layers
		})}, "layers[1] is not the base's, but holds the same"},
		"fewer layers than the base": {[2]fixture{plainBase, final(func(f *fixture) {
			f.layers, f.history, f.above = f.layers[:1], f.history[:1], nil
		})}, "fewer than the base's 2"},
		"no layer of its own": {
			[2]fixture{plainBase, final(func(f *fixture) { f.layers, f.above = f.layers[:2], nil })},
			"no layers above its base",
		},
		"DiffIDs that do not count": {
			[2]fixture{plainBase, final(func(f *fixture) { f.tars = f.layers[:2] })},
			"rootfs.diff_ids has 2 members for 3 layers",
		},
		"a DiffID too many in the base": {
			both(func(f *fixture) { f.tars = []string{"os", "apt", "more"} }),
			"rootfs.diff_ids has 3 members for 2 layers",
		},
		"a layer that lies elsewhere": {
			[2]fixture{
				plainBase,
				final(func(f *fixture) { f.layerMore = `,"urls":["https://x/y"]` }),
			},
			"layers[2] has urls",
		},
		"a foreign layer": {
			both(func(f *fixture) { f.layerType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }),
			"unsupported media type",
		},
		"a restricted layer": {
			both(func(f *fixture) { f.layerType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" }),
			"unsupported media type",
		},
		"another history of the base": {[2]fixture{plainBase, final(func(f *fixture) {
			f.history = []string{f.history[0], `{"created_by":"RUN other"}`}
		})}, "history[1] is not the base's"},
		"a history without a layer": {
			both(func(f *fixture) { f.history = []string{`{"created_by":"one"}`} }),
			"the base's history accounts for 1 layers of 2",
		},
		"a member beside config": {
			[2]fixture{plainBase, final(func(f *fixture) { f.top = `"moby.buildkit.cache.v0":"x",` })},
			`another "moby.buildkit.cache.v0"`,
		},
		"another author": {
			[2]fixture{plainBase, final(func(f *fixture) { f.top = `"author":"x",` })},
			`another "author"`,
		},
		"a member spelt otherwise":       {both(func(f *fixture) { f.settings = `{"env":["A=1"]}` }), "config.env"},
		"another member spelt otherwise": {both(func(f *fixture) { f.top = `"OS":"linux",` }), `"OS"`},
		"a member that stands twice": {
			both(func(f *fixture) { f.settings = `{"User":"a","User":"b"}` }),
			`member config has "User" twice`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Diff(tc.pair[1].image(), tc.pair[0].image(), Uses{Variables: []string{"PATH"}})
			refusedFor(t, err, tc.want)
		})
	}
}

func TestReadRefuses(t *testing.T) {
	good := fixture{layers: []string{"os"}}.image()
	swap := func(old, new string) Image {
		img := good
		img.Manifest = []byte(strings.Replace(string(img.Manifest), old, new, 1))
		return img
	}
	cases := map[string]struct {
		img  Image
		want string
	}{
		"an index": {
			Image{MediaType: "application/vnd.oci.image.index.v1+json", Manifest: []byte("{}")},
			"no manifest of an image",
		},
		"schema 1": {Image{
			MediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws",
			Manifest:  []byte("{}"),
		}, "no manifest of an image"},
		"a mixed manifest": {swap(`"application/vnd.oci.image.manifest.v1+json"`,
			`"application/vnd.docker.distribution.manifest.v2+json"`), "but came as"},
		"no JSON":             {swap("{", "<"), "manifest is not a JSON object"},
		"cut off":             {swap("]}", ""), "manifest"},
		"something behind it": {swap("]}", "]}}"), "goes on after its end"},
		"another config":      {Image{good.MediaType, good.Manifest, []byte("{}")}, "another digest"},
		"no image's config":   {swap("vnd.oci.image.config.v1", "vnd.cncf.helm.config.v1"), "helm"},
		"no config":           {swap(`"config":`, `"gone":`), "no config"},
		"a broken DiffID":     {reconfigured(good, tar("os"), "sha256:0"), "rootfs.diff_ids[0] is no digest"},
		"history of words": {
			reconfigured(good, `{"created":"2026-10-01T00:00:00Z","created_by":"RUN <os>"}`, `"RUN"`),
			"history[0] is not a JSON object",
		},
		"a broken digest":    {swap(blob("os"), "sha256:0"), "layers[0] cannot be parsed"},
		"an encrypted layer": {swap("tar+gzip", "tar+gzip+encrypted"), "unsupported media type"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parseImage("base", tc.img)
			refusedFor(t, err, tc.want)
		})
	}
}

// reconfigured replaces something in an image's config, and the config in its manifest.
func reconfigured(img Image, old, new string) Image {
	config := strings.Replace(string(img.Config), old, new, 1)
	manifest := strings.Replace(string(img.Manifest), digestOf(img.Config), digestOf([]byte(config)), 1)
	return Image{MediaType: img.MediaType, Manifest: []byte(manifest), Config: []byte(config)}
}

// TestEmptyIsAbsent has an empty value in the base and none on top: nothing that would have to be cleared elsewhere.
func TestEmptyIsAbsent(t *testing.T) {
	for _, empty := range []string{"null", `""`, "[]", "{ }", "false", "0"} {
		base := fixture{layers: []string{"os"}, settings: `{"X":7}`}
		img, err := change(t, `{"X":`+empty+`}`, "{}").Apply(base.image(), "n", "d", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := settingsOf(t, img); got != `{"X":7}` {
			t.Errorf("with %s in the reference's base the config is %s", empty, got)
		}
	}
}

func TestDiffGoesByPosition(t *testing.T) {
	const empty = "empty"
	base := fixture{layers: []string{"os", empty, "apt", empty}}
	final := base.on("{}")
	final.layers = append(final.layers, empty)
	final.above = append(final.above[:3:3], `{"created_by":"RUN true"}`)
	c, err := Diff(final.image(), base.image(), Uses{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{blob("agent"), blob(empty)}, digests(c.Layers)); diff != "" {
		t.Errorf("agent layers (-want +got):\n%s", diff)
	}
	if len(c.history) != 4 {
		t.Errorf("the history has %d entries, want 4", len(c.history))
	}
	img, err := c.Apply(base.image(), "n", "d", nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := parseImage("made image", img)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{blob("os"), blob(empty), blob("apt"), blob(empty), blob("agent"), blob(empty)}
	if diff := cmp.Diff(want, digests(made.layers)); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
}

func TestDiffLetsPass(t *testing.T) {
	base := fixture{layers: []string{"os"}}
	cases := map[string]func(base, final *fixture){
		"the variant v1, said once": func(base, final *fixture) { final.platform = amd64 + `"variant":"v1",` },
		"an empty layer's new time": func(base, final *fixture) {
			final.history = []string{`{"created":"2027-01-01T00:00:00Z","created_by":"RUN <os>"}`}
		},
		"the same unknown member": func(base, final *fixture) { base.top, final.top = `"x":{"a":1},`, `"x": { "a" : 1 },` },
		"a layer that is not empty": func(base, final *fixture) {
			base.history = []string{`{"created_by":"RUN","empty_layer":false}`}
			final.history = base.history
		},
		"null for nothing": func(base, final *fixture) {
			base.settings, final.settings = `{"Cmd":null,"Labels":null}`, `{"Volumes":{}}`
		},
		"Docker's types on top": func(base, final *fixture) { final.docker = true },
		"a constant variable": func(base, final *fixture) {
			base.settings, final.settings = `{"Env":["A=","B=1"]}`, `{"Env":["A=2","B=1"]}`
		},
		"a constant that has the base's value in it": func(base, final *fixture) {
			base.settings, final.settings = `{"Env":["LANG=C"]}`, `{"Env":["LANG=C.UTF-8"]}`
		},
		"a final image that has ONBUILD": func(base, final *fixture) { final.settings = `{"OnBuild":["RUN x"]}` },
	}
	for name, alter := range cases {
		t.Run(name, func(t *testing.T) {
			base, final := base, base.on("{}")
			alter(&base, &final)
			c, err := Diff(final.image(), base.image(), Uses{})
			if err != nil {
				t.Fatal(err)
			}
			want := []Layer{{
				MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: blob("agent"),
				DiffID: tar("agent"), Size: 5,
			}}
			ignored := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".descriptor" }, cmp.Ignore())
			if diff := cmp.Diff(want, c.Layers, cmp.AllowUnexported(Layer{}), ignored); diff != "" {
				t.Errorf("agent layers (-want +got):\n%s", diff)
			}
		})
	}
}
