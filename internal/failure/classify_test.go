package failure

import (
	"errors"
	"strings"
	"testing"
)

// What registries, BuildKit and the docker command print leads to a class, and to a hint that says how to mend it.
func TestMessagesHaveAClassAndAHint(t *testing.T) {
	const (
		resolving = "ERROR: failed to build: failed to solve: r.test/b: failed to resolve source metadata for r.test/b:latest: "
		pushing   = "ERROR: failed to build: failed to solve: failed to push r.test/i:t: "
	)
	cases := []struct {
		name, message string
		class         Class
		hint          string
	}{
		{
			"a quota per minute (kubernetes/registry.k8s.io#153)",
			resolving + "unexpected status from GET request to https://r.test/v2/b/manifests/latest: 429 Too Many Requests\n" +
				"toomanyrequests: Quota exceeded for quota metric 'Requests per project per user' and limit 'Requests per project per user per minute per user' of service",
			ClassRateLimit, "lower max-workers",
		},
		{
			"the same without its status", resolving + "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per region'",
			ClassRateLimit, "lower max-workers",
		},
		{"a quota that is used up", pushing + "denied: adding 3 GiB will exceed the configured upper limit", ClassQuota, "delete old versions"},
		{
			"Docker Hub's limit", resolving + "429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit.",
			ClassQuota, "greater pull quota",
		},
		{
			"a certificate of an own authority",
			resolving + `failed to do request: Head "https://r.test/v2/b/manifests/latest": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
			ClassTLS, "ca = [",
		},
		{
			"plain http", pushing + `failed to do request: Head "https://r.test/v2/i/blobs/sha256:aa": http: server gave HTTP response to HTTPS client`,
			ClassTLS, "http = true",
		},
		{
			"no repository at Amazon ECR",
			pushing + "unexpected status from POST request to https://r.test/v2/i/blobs/uploads/: 404 Not Found\n" +
				"name unknown: The repository with name 'i' does not exist in the registry with id '123456789012'",
			ClassAuth, "create the repository",
		},
		{
			"a credential helper that is not installed",
			resolving + `error getting credentials - err: exec: "docker-credential-desktop": executable file not found in $PATH, out: ` + "``",
			ClassAuth, "log in with registry-username",
		},
		{
			"no login at Artifact Registry",
			resolving + `failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://r.test/v2/token: 403 Forbidden` +
				"\n" + `denied: Unauthenticated request. Unauthenticated requests do not have permission "artifactregistry.repositories.downloadArtifacts"`,
			ClassAuth, "log in: ",
		},
		{"no login", pushing + "unauthenticated: User cannot be authenticated with the token provided.", ClassAuth, "log in: "},
		{"wrong credentials", pushing + "401 Unauthorized", ClassAuth, "check registry-username"},
		{
			"a damaged layer",
			`ERROR: failed to solve: failed commit on ref "layer-sha256:aa": unexpected commit digest sha256:bb, expected sha256:aa: failed precondition`,
			ClassRegistry, "empty its cache",
		},
		{
			"a push whose HEAD is refused", pushing + "unexpected status from HEAD request to https://r.test/v2/a/b/blobs/sha256:aa: 403 Forbidden",
			ClassRegistry, "may have expired",
		},
		{"a push whose answer has another digest", pushing + "got digest sha256:bb, expected sha256:aa", ClassRegistry, "status page"},
		{"a registry that fails", pushing + "503 Service Unavailable", ClassRegistry, "status page"},
		{"another architecture", "#8 0.123 exec /bin/sh: exec format error", ClassPlatform, "QEMU"},
		{"another architecture, in older words", "standard_init_linux.go:228: exec user process caused: exec format error", ClassPlatform, "amd64"},
		{"no image", resolving + "r.test/b:latest: not found", ClassBaseMissing, "base-image-template"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			class := Classify(c.message, ClassBuild)
			if class != c.class {
				t.Fatalf("class %s, want %s", class, c.class)
			}
			err := &Error{Class: class, Err: errors.New(c.message)}
			if hint := HintOf(err); !strings.Contains(hint, c.hint) {
				t.Errorf("hint %q, want %q in it", hint, c.hint)
			}
		})
	}
}
