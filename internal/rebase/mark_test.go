package rebase

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMark(t *testing.T) {
	made := time.Date(2026, 10, 5, 7, 8, 9, 999, time.FixedZone("", 3600))
	before := fixture{
		layers:       []string{"os"},
		manifestMore: `,"annotations":{"their":"<own>","dev.openhands.eval-images.checked":"old"},"x":{"y" : 1}`,
	}.image()
	after := Mark(before, MarkPlain, "docker.io/a/b:latest", "sha256:55", made)
	want := strings.Replace(string(before.Manifest), `"dev.openhands.eval-images.checked":"old"`,
		`"dev.openhands.eval-images.checked":"1","org.opencontainers.image.base.name":"docker.io/a/b:latest",`+
			`"org.opencontainers.image.base.digest":"sha256:55","org.opencontainers.image.created":"2026-10-05T06:08:09Z"`, 1)
	if diff := cmp.Diff(want, string(after.Manifest)); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	if string(after.Config) != string(before.Config) || after.MediaType != before.MediaType {
		t.Errorf("it became %s with the config %s", after.MediaType, after.Config)
	}
	if err := IsRebasable(after.Manifest); err != nil {
		t.Error(err)
	}
	if got, ok := CreatedAt(after.Manifest); !ok || !got.Equal(made.Truncate(time.Second)) {
		t.Errorf("it was made at %v (%v)", got, ok)
	}
	if _, err := change(t, "{}", tini).Apply(after, "n", "d", nil); err != nil {
		t.Errorf("a marked one is no base: %v", err)
	}
}

func TestIsRebasableRefuses(t *testing.T) {
	bare := fixture{layers: []string{"os"}}.image()
	cases := map[string]struct{ manifest, want string }{
		"never checked": {string(bare.Manifest), "was not checked"},
		"no manifest":   {"<html>", "was not checked"},
		"an empty mark": {`{"annotations":{"dev.openhands.eval-images.checked":""}}`, "was not checked"},
		"no string":     {`{"annotations":{"dev.openhands.eval-images.checked":1}}`, "was not checked"},
		"not plain": {
			string(Mark(bare, MarkRefused+"/agent-server is a symbolic link", "n", "d", time.Now()).Manifest),
			"the eval-base: /agent-server is a symbolic link",
		},
		"a mark to come": {`{"annotations":{"dev.openhands.eval-images.checked":"2"}}`, "the eval-base: 2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { refusedFor(t, IsRebasable([]byte(tc.manifest)), tc.want) })
	}
}

func TestCreatedAtIsUnknown(t *testing.T) {
	for name, manifest := range map[string]string{
		"unmarked": "{}", "no time": `{"annotations":{"org.opencontainers.image.created":"yesterday"}}`, "no JSON": "<",
	} {
		if made, ok := CreatedAt([]byte(manifest)); ok {
			t.Errorf("%s: made at %v", name, made)
		}
	}
}

func TestMarkLeavesWhatItCannotRead(t *testing.T) {
	for _, manifest := range []string{"<html>", `{"annotations":7}`} {
		img := Mark(Image{Manifest: []byte(manifest)}, MarkPlain, "n", "d", time.Now())
		if string(img.Manifest) != manifest {
			t.Errorf("%s became %s", manifest, img.Manifest)
		}
	}
}
