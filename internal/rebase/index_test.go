package rebase

import (
	"fmt"
	"strings"
	"testing"
)

func TestIsIndex(t *testing.T) {
	cases := map[string]bool{
		"application/vnd.oci.image.index.v1+json":                   true,
		"application/vnd.docker.distribution.manifest.list.v2+json": true,
		"application/vnd.oci.image.manifest.v1+json":                false,
		"application/vnd.docker.distribution.manifest.v2+json":      false,
		"": false,
	}
	for mediaType, want := range cases {
		if IsIndex(mediaType) != want {
			t.Errorf("%q is an index: %v", mediaType, !want)
		}
	}
}

func TestSelectPlatform(t *testing.T) {
	const image = "application/vnd.docker.distribution.manifest.v2+json"
	entry := func(name, mediaType, platform string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1%s}`, mediaType, blob(name), platform)
	}
	on := func(os, architecture, more string) string {
		return fmt.Sprintf(`,"platform":{"os":%q,"architecture":%q%s}`, os, architecture, more)
	}
	amd64 := entry("a", image, on("linux", "amd64", ""))
	attestation := entry("att", "application/vnd.oci.image.manifest.v1+json",
		on("unknown", "unknown", "")+`,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`)
	arm := entry("arm", image, on("linux", "arm64", ""))
	cases := map[string]struct {
		entries []string
		want    string // the digest's name, or
		refusal string
	}{
		"one and its attestation":   {[]string{attestation, amd64}, "a", ""},
		"one of several platforms":  {[]string{arm, amd64, entry("w", image, on("windows", "amd64", ""))}, "a", ""},
		"the plain one of variants": {[]string{amd64, entry("v3", image, on("linux", "amd64", `,"variant":"v3"`))}, "a", ""},
		"the variant v1":            {[]string{entry("v1", image, on("linux", "amd64", `,"variant":"v1"`))}, "v1", ""},
		"two": {
			[]string{amd64, entry("b", image, on("linux", "amd64", ""))},
			"",
			"2 images for linux/amd64",
		},
		"none":              {[]string{arm, attestation}, "", "no image for linux/amd64 among its 2"},
		"without platforms": {[]string{entry("a", image, "")}, "", "no image for linux/amd64"},
		"empty":             {nil, "", "no image for linux/amd64 among its 0"},
		"an index in an index": {[]string{entry("i", "application/vnd.oci.image.index.v1+json",
			on("linux", "amd64", ""))}, "", "no image's"},
		"a digest that is no digest": {[]string{strings.Replace(amd64, "sha256:", "sha256:x", 1)}, "", "cannot be parsed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			digest, mediaType, err := SelectPlatform([]byte(`{"schemaVersion":2,"manifests":[` + strings.Join(tc.entries, ",") + `]}`))
			if tc.refusal != "" {
				refusedFor(t, err, tc.refusal)
				return
			}
			if err != nil || digest != blob(tc.want) || mediaType != image {
				t.Errorf("picked %s, %s (%v), want %s", digest, mediaType, err, blob(tc.want))
			}
		})
	}
}
