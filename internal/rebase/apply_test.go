package rebase

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const tini = `{"Entrypoint":["tini"]}`

// TestApplyKeepsBytes states a whole result: what the change does not name stays as it was written, where it was.
func TestApplyKeepsBytes(t *testing.T) {
	base := fixture{
		top: `"x-unknown": {"b" :1e3,"a":"<&>"},`,
		settings: `{"Healthcheck": {"Test":["CMD", "x"],"StartInterval":5000000000},` +
			`"Cmd":["sh"],"Env":["A=<\u0041>"],"z":null,"Entrypoint":["own"]}`,
		layers: []string{"os"}, layerMore: `, "annotations":{"k":"<"}`,
		manifestMore: `,"annotations":{"their":"own"},"subject":{"digest":"sha256:1"},"artifactType":"t"`,
	}
	c := change(t, `{"Cmd":["bash"]}`, tini)
	img, err := c.Apply(base.image(), "r/eval:key", "sha256:77", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantConfig := `{"architecture":"amd64","os":"linux","x-unknown":{"b" :1e3,"a":"<&>"},` +
		`"config":{"Healthcheck":{"Test":["CMD", "x"],"StartInterval":5000000000},` +
		`"Env":["A=<\u0041>"],"z":null,"Entrypoint":["tini"]},` +
		`"created":"2026-10-04T00:00:00Z","history":[{"created":"2026-10-01T00:00:00Z","created_by":"RUN <os>"},` +
		strings.Join(sdkHistory, ",") + `],"rootfs":{"type":"layers","diff_ids":["` + tar("os") + `","` + tar("agent") +
		`"]}}`
	if diff := cmp.Diff(wantConfig, string(img.Config)); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	wantManifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digestOf([]byte(wantConfig)) +
		`","size":` + strconv.Itoa(len(wantConfig)) + `},` +
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + blob("os") +
		`","size":2,"annotations":{"k":"<"}},` +
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + blob("agent") + `","size":5}],` +
		`"annotations":{"org.opencontainers.image.base.digest":"sha256:77","org.opencontainers.image.base.name":"r/eval:key"}}`
	if diff := cmp.Diff(wantManifest, string(img.Manifest)); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	again, err := c.Apply(base.image(), "r/eval:key", "sha256:77", nil)
	if err != nil || string(again.Manifest) != string(img.Manifest) {
		t.Errorf("a second time it makes %s (%v)", again.Manifest, err)
	}
}

func TestApplyMediaTypes(t *testing.T) {
	const docker, oci = "application/vnd.docker.image.rootfs.diff.", "application/vnd.oci.image.layer.v1."
	cases := map[string]struct {
		base fixture
		want string
	}{
		"OCI, gzip":            {fixture{}, oci + "tar+gzip"},
		"OCI, zstd":            {fixture{layerType: oci + "tar+zstd"}, oci + "tar+zstd"},
		"OCI, not packed":      {fixture{layerType: oci + "tar"}, oci + "tar"},
		"schema 2":             {fixture{docker: true}, oci + "tar+gzip"},
		"schema 2, zstd":       {fixture{docker: true, layerType: docker + "tar.zstd"}, oci + "tar+zstd"},
		"schema 2, not packed": {fixture{docker: true, layerType: docker + "tar"}, oci + "tar"},
		"a mixed one":          {fixture{layerType: docker + "tar.gzip"}, oci + "tar+gzip"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.base.layers = []string{"a", "b"}
			img, err := change(t, "{}", tini).Apply(tc.base.image(), "n", "d", nil)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(img.Manifest), "docker") || img.MediaType != string(types.OCIManifestSchema1) {
				t.Errorf("it is not all OCI's: %s, %s", img.MediaType, img.Manifest)
			}
			made, err := parseImage("made image", img)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, layer := range made.layers {
				got = append(got, layer.MediaType)
			}
			if diff := cmp.Diff([]string{tc.want, tc.want, oci + "tar+gzip"}, got); diff != "" {
				t.Errorf("media types (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApplyVariables(t *testing.T) {
	stated := map[string]string{"SHA": "1234", "REF": "a<b"}
	cases := map[string]struct {
		before, after string // where the change is learned
		base, want    string
	}{
		"in their places": {
			`{"Env":["SHA=r","REF=r"]}`, `{"Env":["SHA=r","REF=r"]}`,
			`{"Env":["P=1","REF=unknown","SHA=unknown","Q=2"]}`, `{"Env":["P=1","REF=a<b","SHA=1234","Q=2"]}`,
		},
		"only those that the SDK has": {
			`{"Env":["SHA=r"]}`, `{"Env":["SHA=r"]}`, `{"Env":["SHA=unknown"]}`,
			`{"Env":["SHA=1234"]}`,
		},
		"none":                     {`{}`, `{}`, `{}`, `{}`},
		"one that the change adds": {`{}`, `{"Env":["SHA=r"]}`, `{"Env":["P=1"]}`, `{"Env":["P=1","SHA=1234"]}`},
		"the first of two, as ENV does": {
			`{}`, `{"Env":["X=1"]}`, `{"Env":["X=0","SHA=u","X=2","SHA=v"]}`,
			`{"Env":["X=1","SHA=1234","X=2","SHA=v"]}`,
		},
		"another value of the base's": {`{}`, `{"Env":["X=1"]}`, `{"Env":["X=xx","P=1"]}`, `{"Env":["X=1","P=1"]}`},
		"a name without a value":      {`{}`, `{"Env":["X=1"]}`, `{"Env":["X","SHA"]}`, `{"Env":["X=1","SHA=1234"]}`},
		"a longer name": {
			`{}`, `{"Env":["X=1"]}`, `{"Env":["XX=0","SHAX=0"]}`,
			`{"Env":["XX=0","SHAX=0","X=1"]}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			base := fixture{layers: []string{"os"}, settings: tc.base}
			img, err := change(t, tc.before, tc.after).Apply(base.image(), "n", "d", stated)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, settingsOf(t, img)); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	good := change(t, `{"Env":["SHA=r"]}`, `{"Env":["SHA=r","X=1"],"Labels":{"a":"b"}}`)
	os := []string{"os"}
	cases := map[string]struct {
		change Delta
		base   fixture
		want   string
	}{
		"nothing learned": {Delta{}, fixture{layers: os}, "the references added no layers"},
		"another architecture": {
			good,
			fixture{layers: os, platform: `"architecture":"arm64","os":"linux",`},
			`the base's architecture is "arm64"`,
		},
		"ONBUILD": {
			good,
			fixture{layers: os, settings: `{"Env":["SHA=u"],"OnBuild":["RUN x"]}`},
			"config.OnBuild",
		},
		"a base of another SDK": {good, fixture{layers: os, settings: `{"Env":["P=1"]}`}, "config.Env has no SHA"},
		"a foreign layer": {good, fixture{
			layers: os, docker: true,
			layerType: "application/vnd.docker.image.rootfs.foreign.diff.tar",
		}, "foreign"},
		"Env that is no list": {good, fixture{layers: os, settings: `{"Env":{}}`}, "config.Env cannot be parsed"},
		"labels that are no object": {
			good,
			fixture{layers: os, settings: `{"Labels":[]}`},
			"config.Labels is not a JSON object",
		},
		"fewer DiffIDs than layers":  {good, fixture{layers: os, tars: []string{}}, "rootfs.diff_ids"},
		"a history that counts less": {good, fixture{layers: os, history: []string{}}, "history accounts for 0 layers of 1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := tc.change.Apply(tc.base.image(), "n", "d", map[string]string{"SHA": "1"})
			refusedFor(t, err, tc.want)
		})
	}
}

// TestApplyVariablesOfTwo sets a variable that only one of the references may show.
func TestApplyVariablesOfTwo(t *testing.T) {
	const with, without = `{"Env":["SHA=r"]}`, `{"Env":["P=1"]}`
	base := fixture{layers: []string{"os"}}
	made := func(a, b string) (Image, error) {
		c, err := Intersect(change(t, a, a), change(t, b, b))
		if err != nil {
			t.Fatal(err)
		}
		return c.Apply(base.image(), "n", "d", map[string]string{"SHA": "1"})
	}
	_, err := made(with, with)
	refusedFor(t, err, "config.Env has no SHA")
	for _, pair := range [][2]string{{with, without}, {without, with}} {
		img, err := made(pair[0], pair[1])
		if err != nil {
			t.Errorf("it is one base's own, and was missed: %v", err)
		} else if got := settingsOf(t, img); got != "{}" {
			t.Errorf("the config is %s", got)
		}
	}
}
