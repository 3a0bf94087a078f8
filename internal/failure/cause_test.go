package failure

import "testing"

func TestCauseComesFirst(t *testing.T) {
	cases := []struct{ message, cause, about string }{
		{
			"building with the SDK: building on docker.io/x/y@sha256:0123: docker buildx build ended with 1: ERROR: failed to build: failed to solve: docker.io/x/y:latest: " +
				"failed to resolve source metadata for docker.io/x/y:latest: docker.io/x/y:latest: not found",
			"not found", "docker.io/x/y:latest",
		},
		{
			`asking for the digest of the base image r.invalid/x:latest: Head "https://r.invalid/v2/x/manifests/latest": dial tcp: lookup r.invalid on 127.0.0.11:53: no such host`,
			"no such host", `r.invalid/x:latest: Head "https://r.invalid/v2/x/manifests/latest": dial tcp: lookup r.invalid on 127.0.0.11:53`,
		},
		{
			`docker buildx build ended with 1: ERROR: failed to build: failed to solve: process "/bin/sh -c set -eux; apt-get update" did not complete successfully: exit code: 100`,
			"exit code: 100", "in set -eux; apt-get update",
		},
		{
			"confirming the push: HEAD https://ghcr.io/v2/a/b/manifests/x: 503 Service Unavailable",
			"503 Service Unavailable", "HEAD https://ghcr.io/v2/a/b/manifests/x",
		},
		{
			`putting a__b-1 on its eval-base: PUT https://ghcr.io/v2/a/b/manifests/x: 403 Forbidden`,
			"403 Forbidden", "PUT https://ghcr.io/v2/a/b/manifests/x",
		},
		{"inspecting the eval-base: reading the eval-base that was made: 502", "502", ""},
		{"tagging the eval-base: PUT https://ghcr.io/v2/a/b/manifests/x: 503", "503", "PUT https://ghcr.io/v2/a/b/manifests/x"},
		{"building with the SDK: the build took longer than image-timeout allows", "the build took longer than image-timeout allows", ""},
		{"ERROR: ", "ERROR:", ""},
		{"", "", ""},
	}
	for _, c := range cases {
		if cause, about := Cause(c.message); cause != c.cause || about != c.about {
			t.Errorf("Cause(%q)\n = %q, %q\nwant %q, %q", c.message, cause, about, c.cause, c.about)
		}
	}
}

func TestEveryClassHasWords(t *testing.T) {
	for _, c := range Classes() {
		if words[c] == "" {
			t.Errorf("class %s has no words", c)
		}
	}
}
