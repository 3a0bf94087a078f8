package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// The registries of these tests. storage.example has blobs for r.example, auth.example has its tokens.
const (
	conformanceRepository = "r.example/a/b"
	conformanceTag        = conformanceRepository + ":tag"
)

// conformanceImage is the image that the registry has before each case, under conformanceTag.
func conformanceImage(t *testing.T) Manifest { return imageOf(t, "{}", "layer") }

// The requests that a run makes. Each returns what it found or did in a word.
var conformanceRequests = map[string]func(ctx context.Context, t *testing.T, c *Client) (string, error){
	"HEAD": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		digest, err := c.Digest(ctx, conformanceTag)
		return orAbsent(digest), err
	},
	"HEAD, and again": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		if _, err := c.Digest(ctx, conformanceTag); err != nil {
			return "", err
		}
		digest, err := c.Digest(ctx, conformanceTag)
		return orAbsent(digest), err
	},
	"HEAD by digest": func(ctx context.Context, t *testing.T, c *Client) (string, error) {
		digest, err := c.Digest(ctx, conformanceRepository+"@"+conformanceImage(t).Digest())
		return orAbsent(digest), err
	},
	"HEAD of all tags": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		digest, _, err := c.Present(ctx, []string{conformanceTag})
		return orAbsent(digest), err
	},
	"GET": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		m, err := c.Manifest(ctx, conformanceTag)
		if errors.Is(err, ErrNotFound) {
			return "absent", nil
		}
		return m.Digest(), err
	},
	"HEAD of a blob": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		there, err := c.HasBlob(ctx, conformanceRepository, digestOf("layer"))
		return map[bool]string{true: "there", false: "absent"}[there], err
	},
	"GET of a blob": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		content, err := c.Blob(ctx, conformanceRepository, digestOf("layer"))
		return string(content), err
	},
	"upload": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		_, err := c.PutBlob(ctx, conformanceRepository, []byte("new"))
		return "stored", err
	},
	"upload, and another": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		if _, err := c.PutBlob(ctx, conformanceRepository, []byte("first")); err != nil {
			return "", err
		}
		_, err := c.PutBlob(ctx, conformanceRepository, []byte("new"))
		return "stored", err
	},
	"mount": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		return "stored", c.Mount(ctx, conformanceRepository, "r.example/to/it", digestOf("layer"), 5)
	},
	"stream": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		return "stored", c.Mount(ctx, "other.example/a/b", conformanceRepository, digestOf("other"), 5)
	},
	"PUT": func(ctx context.Context, t *testing.T, c *Client) (string, error) {
		return "stored", c.PutManifest(ctx, conformanceTag, conformanceImage(t))
	},
	"PUT of another image": func(ctx context.Context, t *testing.T, c *Client) (string, error) {
		return "stored", c.PutManifest(ctx, conformanceTag, imageOf(t, "{}"))
	},
	"PUT without a layer": func(ctx context.Context, t *testing.T, c *Client) (string, error) {
		err := c.PutManifest(ctx, conformanceTag, imageOf(t, "{}", "lost"))
		if unknown, ok := errors.AsType[*UnknownBlobs](err); ok {
			return "without " + strings.Join(unknown.Digests, " "), nil
		}
		return "stored", err
	},
	"DELETE": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		return "deleted", c.Delete(ctx, conformanceTag)
	},
	"probe of the push": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		return "allowed", c.ProbePush(ctx, conformanceRepository)
	},
	"probe of manifests": func(ctx context.Context, _ *testing.T, c *Client) (string, error) {
		checks, err := c.ProbeManifest(ctx, conformanceRepository)
		return map[bool]string{true: "it checks", false: "ask first"}[checks], err
	},
}

func orAbsent(digest string) string {
	if digest == "" {
		return "absent"
	}
	return digest
}

// answers answers every request with a method whose path has a part.
func answers(method, part string, status int, body string, headers ...string) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.Contains(r.URL.Path, part) {
			return false
		}
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(body))
		}
		return true
	}
}

// first lets the first n requests that a fault would answer have its answer, and the others the registry's own.
func first(n int, fault faultFunc) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if n == 0 {
			return false
		}
		n-- // before a fault that panics
		if fault(w, r) {
			return true
		}
		n++
		return false
	}
}

// later lets the first n requests that a fault would answer pass, and then the fault answer.
func later(n int, fault faultFunc) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if n > 0 && fault(discarded{http.Header{}}, r) {
			n--
			return false
		}
		return fault(w, r)
	}
}

func both(one, two faultFunc) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool { return one(w, r) || two(w, r) }
}

// resets breaks the connection.
func resets(method, part string) faultFunc {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == method && strings.Contains(r.URL.Path, part) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

// without answers HEADs as the registry does, but for a header.
func without(g *registrytest.GitHub, header string) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		g.Next().ServeHTTP(headerless{w, header}, r)
		return true
	}
}

type headerless struct {
	http.ResponseWriter
	header string
}

func (h headerless) WriteHeader(status int) {
	h.Header().Del(h.header)
	h.ResponseWriter.WriteHeader(status)
}

// immutable refuses to overwrite the tag, as a registry does whose tags are immutable.
func immutable(status int, body string) faultFunc {
	return answers(http.MethodPut, "/manifests/tag", status, body)
}

const (
	zot          = "https://github.com/project-zot/zot/blob/6d19b445fed1c86c23fb7b351fac07cfd4717402/pkg/"
	spec         = "https://github.com/opencontainers/distribution-spec/blob/main/spec.md"
	ecrImmutable = `{"errors":[{"code":"TAG_INVALID","message":"The image tag 'tag' already exists in the 'b' repository and cannot be overwritten because the tag is immutable."}]}`
	ecrExpired   = `{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}`
	ecrNoRepo    = `{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'a/b' does not exist in the registry with id '1'"}]}`
	htmlPage     = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)

// What a run does where the distribution specification leaves registries a choice, or a known one does otherwise. source is a
// public place that describes the answer.
func TestConformance(t *testing.T) {
	there := conformanceImage(t).Digest()
	cases := []struct {
		name, source string
		ask          string // a key of conformanceRequests
		fault        func(g *registrytest.GitHub) faultFunc
		tokens       *tokenServer
		noMounts     bool
		lax          bool
		want         string // the answer; empty if there is an error
		requests     string // without those for tokens
		class        failure.Class
		hint         string // a part of it
		again        string // AskedAgain
	}{
		// HEAD and GET of manifests
		{
			name: "HEAD without a digest", source: "https://github.com/distribution/distribution/issues/3792", ask: "HEAD",
			fault: func(g *registrytest.GitHub) faultFunc { return without(g, "Docker-Content-Digest") },
			want:  there, requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD without a type", source: "https://github.com/goharbor/harbor/pull/13793", ask: "HEAD",
			fault: func(g *registrytest.GitHub) faultFunc { return without(g, "Content-Type") },
			want:  there, requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD without a length", source: "https://github.com/goharbor/harbor/pull/13793", ask: "HEAD",
			fault: func(g *registrytest.GitHub) faultFunc { return without(g, "Content-Length") },
			want:  there, requests: "HEAD 1",
		},
		{
			name: "HEAD with the digest of another image", source: "https://github.com/google/go-containerregistry/blob/v0.21.7/pkg/v1/remote/fetcher.go", ask: "HEAD by digest",
			fault: always(answers("HEAD", "/manifests/", 200, "", "Content-Type", string(types.OCIManifestSchema1), "Docker-Content-Digest", digestOf("another"))),
			want:  there, requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD not allowed", source: "https://github.com/containerd/containerd/pull/6684", ask: "HEAD",
			fault: always(answers("HEAD", "/manifests/", 405, "")), want: there, requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD forbidden, GET answered", source: "https://github.com/containerd/containerd/pull/6684", ask: "HEAD",
			fault: always(answers("HEAD", "/manifests/", 403, "")), want: there, requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD of a blob forbidden, GET answered", source: "https://github.com/containerd/containerd/pull/6684", ask: "HEAD of a blob",
			fault: always(answers("HEAD", "/blobs/", 403, "")), want: "there", requests: "GET 1, HEAD 1",
		},
		{
			name: "HEAD bad request, GET says why", source: "https://github.com/bazel-contrib/rules_oci/issues/720", ask: "HEAD",
			fault: always(both(answers("HEAD", "/manifests/", 400, ""), answers("GET", "/manifests/", 400, `{"errors":[{"code":"TAG_INVALID"}]}`))),
			class: failure.ClassRegistry, requests: "GET 1, HEAD 1",
		},
		{
			name: "403 for an absent tag", source: "https://github.com/sigstore/cosign/issues/2973", ask: "HEAD", // Artifactory
			fault: always(both(answers("HEAD", "/manifests/", 403, ""), answers("GET", "/manifests/", 403, `{"errors":[{"code":"UNAUTHORIZED"}]}`))),
			class: failure.ClassAuth, hint: "some registries answer so for a repository that does not exist yet", requests: "GET 1, HEAD 1",
		},
		{
			name: "401 for an absent repository", source: "https://github.com/quay/quay/pull/1054", ask: "HEAD",
			fault: always(answers("HEAD", "/manifests/", 401, "")),
			class: failure.ClassAuth, hint: "some registries answer so for a repository that does not exist yet", requests: "HEAD 1",
		},
		{
			name: "404 for an absent repository", source: spec + "#pulling-manifests", ask: "HEAD",
			fault: always(answers("HEAD", "/manifests/", 404, "")), want: "absent", requests: "HEAD 1",
		},
		{
			name: "an index whose image was deleted", source: "https://github.com/actions/delete-package-versions/issues/90", ask: "HEAD of all tags",
			fault: func(g *registrytest.GitHub) faultFunc { return index(digestOf("deleted"), "linux") }, want: "absent", requests: "GET 1, HEAD 2",
		},
		{
			name: "an index whose image is there", source: "https://github.com/actions/delete-package-versions/issues/90", ask: "HEAD of all tags",
			fault: func(g *registrytest.GitHub) faultFunc { return index(there, "linux") }, want: indexDigest(there, "linux"), requests: "GET 1, HEAD 2",
		},
		{
			name: "an index whose attestation was deleted", source: "https://docs.docker.com/build/metadata/attestations/attestation-storage/", ask: "HEAD of all tags",
			fault: func(g *registrytest.GitHub) faultFunc { return index(digestOf("deleted"), "unknown") },
			want:  indexDigest(digestOf("deleted"), "unknown"), requests: "GET 1, HEAD 1",
		},
		{
			name: "a page of HTML, twice", source: "https://github.com/gardenlinux/gardenlinux/issues/2585", ask: "HEAD",
			fault: always(first(2, answers("HEAD", "/manifests/", 502, htmlPage))), want: there, requests: "HEAD 3", again: "registry 2",
		},
		{
			name: "a page of HTML for good", source: "https://github.com/gardenlinux/gardenlinux/issues/2585", ask: "GET",
			fault: always(answers("GET", "/manifests/", 502, htmlPage)), class: failure.ClassRegistry, requests: "GET 3", again: "registry 2",
		},
		{
			name: "GET without a digest", source: spec + "#legacy-docker-support-http-headers", ask: "GET",
			fault: func(g *registrytest.GitHub) faultFunc {
				return func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/manifests/") {
						return false
					}
					g.Next().ServeHTTP(headerless{w, "Docker-Content-Digest"}, r)
					return true
				}
			},
			want: there, requests: "GET 1",
		},

		// Rate limits
		{
			name: "429 with seconds", source: "https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3", ask: "upload",
			fault: always(first(1, answers("POST", "/uploads/", 429, "", "Retry-After", "2"))), want: "stored", requests: "POST 2, PUT 1", again: "rate-limit 1",
		},
		{
			name: "429 with a date", source: "https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3", ask: "PUT",
			fault: always(first(1, answers("PUT", "/manifests/", 429, "", "Retry-After", "Sat, 01 Jan 2000 00:01:00 GMT"))), // synctest begins at 0:00
			want:  "stored", requests: "PUT 2", again: "rate-limit 1",
		},
		{
			name: "429 with microseconds", source: "https://github.com/dependabot/cli/issues/380", ask: "HEAD",
			fault: always(first(3, answers("HEAD", "/manifests/", 429, "", "Retry-After", "880.092µs"))), want: there, requests: "HEAD 4", again: "rate-limit 3",
		},
		{
			name: "429 with milliseconds, in the body alone", source: "https://github.com/chainguard-images/images/issues/173", ask: "upload",
			fault: always(first(4, answers("POST", "/uploads/", 429,
				`{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 10.305464ms, allowed: 2000/minute"}]}`))),
			want: "stored", requests: "POST 5, PUT 1", again: "rate-limit 4",
		},
		{
			name: "429 without a time", source: "https://docs.docker.com/docker-hub/usage/", ask: "GET",
			fault: always(answers("GET", "/manifests/", 429, "")), class: failure.ClassRateLimit, requests: "GET 3", again: "rate-limit 2",
		},
		{
			name: "a pull limit", source: "https://docs.docker.com/docker-hub/usage/pulls/", ask: "GET",
			fault: always(answers("GET", "/manifests/", 429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`)),
			class: failure.ClassQuota, requests: "GET 3", again: "rate-limit 2",
		},
		{
			name: "403 secondary rate limit", source: "https://github.com/markrussinovich/refchecker/pull/67", ask: "upload",
			fault: always(first(1, answers("POST", "/uploads/", 403, `{"errors":[{"code":"DENIED","message":"You have exceeded a secondary rate limit"}]}`))),
			want:  "stored", requests: "POST 2, PUT 1", again: "rate-limit 1",
		},
		{
			name: "HEAD 403, and GET says secondary rate limit", source: "https://github.com/containerd/containerd/pull/13746", ask: "HEAD",
			fault: always(both(answers("HEAD", "/manifests/", 403, ""), first(1, answers("GET", "/manifests/", 403, "You have exceeded a secondary rate limit.")))),
			class: failure.ClassRateLimit, requests: "GET 1, HEAD 1", // the image waits a minute, without a slot
		},
		{
			name: "the first upload gets 429", source: "https://github.com/chainguard-images/images/issues/173", ask: "probe of the push",
			fault: always(first(1, answers("POST", "/uploads/", 429, "", "Retry-After", "30"))), want: "allowed", requests: "DELETE 1, POST 2", again: "rate-limit 1",
		},
		{
			name: "the first upload gets 503", source: spec + "#pushing-blobs", ask: "probe of the push",
			fault: always(first(1, answers("POST", "/uploads/", 503, ""))), want: "allowed", requests: "DELETE 1, POST 2", again: "registry 1",
		},
		{
			name: "the first upload gets 403, secondary rate limit", source: "https://github.com/markrussinovich/refchecker/pull/67", ask: "probe of the push",
			fault: always(first(1, answers("POST", "/uploads/", 403, "You have exceeded a secondary rate limit"))),
			want:  "allowed", requests: "DELETE 1, POST 2", again: "rate-limit 1",
		},

		// Uploads
		{
			name: "a relative Location", source: "https://github.com/apple/swift-container-plugin/pull/44", ask: "upload",
			fault: location202("/v2/a/b/blobs/uploads/1"), want: "stored", requests: "POST 1, PUT 1",
		},
		{
			name: "an absolute Location with a query", source: "https://github.com/goharbor/harbor/issues/5001", ask: "upload",
			fault: location202("https://r.example/v2/a/b/blobs/uploads/1?_state=x%3D"), want: "stored", requests: "POST 1, PUT 1",
		},
		{
			name: "a Location outside of /v2/", source: "https://github.com/oras-project/rust-oci-client/pull/175", ask: "upload",
			fault: location202("/artifacts-uploads/namespaces/p/repositories/b/uploads/1"), want: "stored", requests: "POST 1, PUT 1",
		},
		{
			name: "no Location", source: spec + "#post-then-put", ask: "upload",
			fault: always(answers("POST", "/uploads/", 202, "")), class: failure.ClassRegistry, requests: "POST 1",
		},
		{
			name: "204 for the PUT of a blob", source: "https://github.com/opencontainers/distribution-spec/issues/86", ask: "upload",
			fault: always(answers("PUT", "/uploads/", 204, "")), want: "stored", requests: "POST 1, PUT 1",
		},
		{
			name: "201 without a Location", source: spec + "#pushing-blobs", ask: "upload",
			fault: always(answers("PUT", "/uploads/", 201, "")), want: "stored", requests: "POST 1, PUT 1",
		},
		{
			name: "an upload that is lost", source: spec + "#error-codes", ask: "stream",
			fault: always(first(1, answers("PUT", "/uploads/", 404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`))),
			want:  "stored", requests: "HEAD 1, POST 2, PUT 2", again: "registry 1",
		},
		{
			name: "a connection that breaks in an upload", source: "https://github.com/aws/containers-roadmap/issues/1970", ask: "upload",
			fault: always(first(2, resets("PUT", "/uploads/"))), want: "stored", requests: "POST 3, PUT 3", again: "network 2",
		},
		{
			name: "a repository that a push does not create", source: "https://github.com/zarf-dev/zarf/issues/1938", ask: "probe of the push", // ECR
			fault: always(answers("POST", "/uploads/", 404, ecrNoRepo)), class: failure.ClassRegistry, hint: "create the repository", requests: "POST 1",
		},
		{
			name: "a repository whose absence breaks the connection", source: "https://github.com/aws/containers-roadmap/issues/1970", ask: "probe of the push",
			fault: always(resets("POST", "/uploads/")), class: failure.ClassNetwork, hint: "Amazon ECR breaks the connection", requests: "POST 3", again: "network 2",
		},
		{
			name: "no registry at that host", source: spec + "#endpoints", ask: "probe of the push",
			fault: always(answers("POST", "/uploads/", 404, htmlPage)), class: failure.ClassRegistry, hint: "there is no registry at that host", requests: "POST 1",
		},
		{
			name: "no right to push", source: "https://github.com/goharbor/harbor/issues/17097", ask: "probe of the push",
			fault: always(answers("POST", "/uploads/", 401, "")), class: failure.ClassAuth, hint: "check registry-username", requests: "POST 1",
		},

		// Mounts
		{
			name: "a mount that becomes an upload", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount", noMounts: true,
			want: "stored", requests: "GET 1, HEAD 1, POST 1, PUT 1",
		},
		{
			name: "a mount answered 400", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(400), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 401", source: "https://github.com/goharbor/harbor/issues/17097", ask: "mount",
			fault: refusedMount(401), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 403", source: "https://github.com/oras-project/oras/pull/1924", ask: "mount",
			fault: refusedMount(403), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 404", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(404), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 405", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(405), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 422", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(422), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount answered 500", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(500), want: "stored", requests: "GET 1, HEAD 1, POST 4, PUT 1", again: "registry 2",
		},
		{
			name: "a mount answered 501", source: spec + "#mounting-a-blob-from-another-repository", ask: "mount",
			fault: refusedMount(501), want: "stored", requests: "GET 1, HEAD 1, POST 2, PUT 1",
		},
		{
			name: "a mount and an upload refused", source: "https://github.com/goharbor/harbor/issues/17097", ask: "mount",
			fault: always(answers("POST", "/uploads/", 401, "")), class: failure.ClassAuth, hint: "check registry-username", requests: "HEAD 1, POST 2",
		},
		{
			name: "a mount that has to wait", source: "https://github.com/chainguard-images/images/issues/173", ask: "mount",
			fault: always(first(1, answers("POST", "/uploads/", 429, "", "Retry-After", "1"))), want: "stored", requests: "HEAD 1, POST 2", again: "rate-limit 1",
		},

		// PUT of manifests
		{
			name: "202 for a manifest", source: "https://github.com/distribution/distribution/issues/142", ask: "PUT",
			fault: always(answers("PUT", "/manifests/", 202, "")), want: "stored", requests: "PUT 1",
		},
		{
			name: "an immutable tag with the same image", source: "https://github.com/aws/containers-roadmap/issues/2179", ask: "PUT",
			fault: always(immutable(400, ecrImmutable)), want: "stored", requests: "HEAD 1, PUT 1",
		},
		{
			name: "an immutable tag with the same image, 412", source: "https://github.com/goharbor/harbor/pull/9427", ask: "PUT",
			fault: always(immutable(412, `{"errors":[{"code":"PRECONDITION","message":"Failed to process request due to 'b:tag' configured as immutable."}]}`)),
			want:  "stored", requests: "HEAD 1, PUT 1",
		},
		{
			name: "an immutable tag with another image", source: "https://github.com/osscontainertools/kaniko/pull/204", ask: "PUT of another image",
			fault: always(immutable(400, ecrImmutable)), class: failure.ClassImmutable, hint: "immutable", requests: "HEAD 1, PUT 1",
		},
		{
			name: "an immutable tag with another image, 412", source: "https://github.com/goharbor/harbor/pull/9427", ask: "PUT of another image",
			fault: always(immutable(412, "")), class: failure.ClassImmutable, hint: "immutable", requests: "HEAD 1, PUT 1",
		},
		{
			name: "an answer that is lost after the manifest was stored, and then an immutable tag", source: "https://github.com/moby/buildkit/issues/3776", ask: "PUT of another image",
			fault: func(g *registrytest.GitHub) faultFunc {
				store := func(_ http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut {
						return false
					}
					g.Next().ServeHTTP(discarded{http.Header{}}, r)
					panic(http.ErrAbortHandler)
				}
				stored := false
				return func(w http.ResponseWriter, r *http.Request) bool {
					if !stored && r.Method == http.MethodPut {
						stored = true
						return store(w, r)
					}
					return immutable(400, ecrImmutable)(w, r)
				}
			},
			want: "stored", requests: "HEAD 1, PUT 2", again: "network 1",
		},

		{
			name: "a manifest without its layer", source: spec + "#pushing-manifests", ask: "PUT without a layer",
			want: "without " + digestOf("lost"), requests: "PUT 1",
		},
		{
			name: "a manifest without its layer, called invalid", source: zot + "storage/common/common.go", ask: "PUT without a layer",
			fault: always(answers("PUT", "/manifests/", 400, `{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":{"reference":"tag"}}]}`)),
			want:  "without " + digestOf("lost"), requests: "HEAD 2, PUT 1",
		},
		{
			name: "an invalid manifest", source: zot + "storage/common/common.go", ask: "PUT of another image",
			fault: always(answers("PUT", "/manifests/", 400, `{"errors":[{"code":"MANIFEST_INVALID","detail":{"jsonSchemaValidation":"no layers"}}]}`)),
			class: failure.ClassRegistry, requests: "HEAD 2, PUT 1",
		},
		{
			name: "OCI's media types alone", source: zot + "api/routes.go", ask: "PUT of another image",
			fault: always(answers("PUT", "/manifests/", 415, `{"errors":[{"code":"MANIFEST_INVALID","detail":{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}}]}`)),
			class: failure.ClassRegistry, requests: "HEAD 1, PUT 1",
		},

		// DELETE, and the probe of manifests
		{
			name: "DELETE in no repository", source: zot + "api/routes.go", ask: "DELETE",
			fault: always(answers("DELETE", "/manifests/", 400, `{"errors":[{"code":"NAME_UNKNOWN"}]}`)), want: "deleted", requests: "DELETE 1",
		},
		{
			name: "DELETE not allowed", source: "https://github.com/docker/hub-feedback/issues/2360", ask: "DELETE",
			fault: always(answers("DELETE", "/manifests/", 405, `{"errors":[{"code":"UNSUPPORTED"}]}`)), class: failure.ClassRegistry, requests: "DELETE 1",
		},
		{
			name: "DELETE by digest only", source: "https://github.com/distribution/distribution/issues/3234", ask: "DELETE",
			fault: always(answers("DELETE", "/manifests/", 400, `{"errors":[{"code":"DIGEST_INVALID"}]}`)), class: failure.ClassRegistry, requests: "DELETE 1",
		},
		{
			name: "DELETE of an immutable tag", source: "https://github.com/goharbor/community/pull/108", ask: "DELETE",
			fault: always(answers("DELETE", "/manifests/", 412, `{"errors":[{"code":"PRECONDITION","message":"'b:tag' configured as immutable, cannot be deleted"}]}`)),
			class: failure.ClassImmutable, hint: "immutable", requests: "DELETE 1",
		},
		{
			name: "a registry that checks nothing and deletes nothing", source: "https://github.com/distribution/distribution/pull/3174", ask: "probe of manifests", lax: true,
			fault: always(answers("DELETE", "/manifests/", 405, "")), want: "ask first", requests: "DELETE 1, POST 1, PUT 2",
		},
		{
			name: "a registry that takes no probe", source: "https://github.com/goharbor/harbor/pull/9427", ask: "probe of manifests",
			fault: always(answers("PUT", "/manifests/", 412, "")), want: "ask first", requests: "HEAD 1, POST 1, PUT 2",
		},

		// Redirects
		{
			name: "blobs elsewhere", source: "https://github.com/open-policy-agent/opa/pull/6728", ask: "GET of a blob", tokens: &tokenServer{}, // ECR
			fault: always(answers("GET", "/blobs/", 307, "", "Location", "https://storage.example/layer?signature=secret")), want: "layer", requests: "GET 1",
		},
		{
			name: "blobs elsewhere, by a relative reference", source: "https://github.com/oras-project/oras-dotnet/pull/423", ask: "GET of a blob",
			fault: always(first(1, answers("GET", "/blobs/", 307, "", "Location", "?again"))), want: "layer", requests: "GET 2",
		},
		{
			name: "blobs elsewhere without TLS", source: "https://github.com/oras-project/oras-dotnet/pull/423", ask: "GET of a blob",
			fault: always(answers("GET", "/blobs/", 307, "", "Location", "http://storage.example/layer?signature=secret")),
			class: failure.ClassRegistry, requests: "GET 3", again: "network 2",
		},
		{
			name: "blobs at the address of a metadata service", source: "https://github.com/google/go-containerregistry/blob/v0.21.7/pkg/v1/remote/fetcher.go", ask: "GET of a blob",
			fault: always(answers("GET", "/blobs/", 307, "", "Location", "https://169.254.169.254/latest")),
			class: failure.ClassRegistry, requests: "GET 3", again: "network 2",
		},

		// Tokens
		{
			name: "a token named access_token, without a lifetime", source: "https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md", ask: "PUT",
			tokens: &tokenServer{field: "access_token"}, want: "stored", requests: "PUT 1",
		},
		{
			name: "a token that expires after each request", source: "https://github.com/regclient/regclient/issues/189", ask: "upload",
			tokens: &tokenServer{uses: 1}, want: "stored", requests: "POST 1, PUT 2",
		},
		{
			name: "a token without the scope", source: "https://www.rfc-editor.org/rfc/rfc6750#section-3.1", ask: "upload",
			tokens: &tokenServer{uses: -1}, class: failure.ClassAuth, hint: "check registry-username", requests: "POST 2",
		},
		{
			name: "a token that is refused at first", source: "https://www.rfc-editor.org/rfc/rfc6750#section-3.1", ask: "HEAD, and again", tokens: &tokenServer{},
			fault: always(first(2, later(1, answers("HEAD", "/manifests/", 401, "", "WWW-Authenticate", `Bearer realm="https://auth.example/token",error="invalid_token"`)))),
			want:  there, requests: "HEAD 4", again: "registry-auth 1",
		},
		{
			name: "a bare 401 in the middle", source: "https://github.com/grafana/shared-workflows/issues/919", ask: "HEAD, and again",
			fault: always(first(1, later(1, answers("HEAD", "/manifests/", 401, "")))), want: there, requests: "HEAD 3", again: "registry-auth 1",
		},
		{
			name: "a bare 401 after a 404", source: "https://github.com/grafana/shared-workflows/issues/919", ask: "HEAD, and again",
			fault: always(both(first(1, answers("HEAD", "/manifests/", 404, "")), first(1, answers("HEAD", "/manifests/", 401, "")))),
			want:  there, requests: "HEAD 3", again: "registry-auth 1",
		},
		{
			name: "a bare 403 in the middle", source: "https://github.com/containerd/containerd/pull/13746", ask: "HEAD, and again",
			fault: always(both(first(1, later(1, answers("HEAD", "/manifests/", 403, ""))), first(1, answers("GET", "/manifests/", 403, "")))),
			want:  there, requests: "GET 2, HEAD 2", again: "registry-auth 1",
		},
		{
			name: "a login that expires", source: "https://github.com/kcl-lang/kpm/issues/659", ask: "upload, and another", // ECR
			fault: always(first(1, later(1, answers("POST", "/uploads/", 403, ecrExpired)))), want: "stored", requests: "POST 3, PUT 2", again: "registry-auth 1",
		},
		{
			name: "a login that has expired for good", source: "https://github.com/kcl-lang/kpm/issues/659", ask: "upload, and another",
			fault: always(later(1, answers("POST", "/uploads/", 403, ecrExpired))),
			class: failure.ClassAuth, hint: "check registry-username", requests: "POST 3, PUT 1", again: "registry-auth 1",
		},
		{
			name: "a token server that answers 404 once", source: "https://github.com/podman-container-tools/podman/issues/17999", ask: "HEAD",
			tokens: &tokenServer{failures: 1, status: 404}, want: there, requests: "HEAD 1", again: "registry 1",
		},
		{
			name: "a token server that answers 404", source: "https://github.com/podman-container-tools/podman/issues/17999", ask: "HEAD",
			tokens: &tokenServer{failures: 9, status: 404}, class: failure.ClassRegistry, again: "registry 2",
		},
		{
			name: "a token server that asks to wait", source: "https://github.com/podman-container-tools/podman/issues/17999", ask: "HEAD",
			tokens: &tokenServer{failures: 1, status: 429}, want: there, requests: "HEAD 1", again: "rate-limit 1",
		},
		{
			name: "a token server that refuses the password", source: "https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md", ask: "HEAD",
			tokens: &tokenServer{failures: 9, status: 401}, class: failure.ClassAuth, hint: "check registry-username",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.HasPrefix(c.source, "https://") {
				t.Error("no source")
			}
			synctest.Test(t, func(t *testing.T) {
				g, other := registrytest.New(silent(), 0, 1), registrytest.New(silent(), 0, 1)
				g.Deletes = true
				hosts := registrytest.Hosts{
					"r.example": g, "other.example": other,
					"storage.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("Authorization") != "" {
							t.Error("the storage got the registry's credentials")
						}
						_, _ = w.Write([]byte("layer"))
					}),
				}
				prepare := New(authn.DefaultKeychain, hosts, nil)
				put(t, prepare, conformanceRepository, "{}", "layer")
				put(t, prepare, "other.example/a/b", "other")
				if err := prepare.PutManifest(t.Context(), conformanceTag, conformanceImage(t)); err != nil {
					t.Fatal(err)
				}
				g.Reset()
				g.NoMounts, g.Lax = c.noMounts, c.lax
				var fault faultFunc
				if c.fault != nil {
					fault = c.fault(g)
				}
				if c.tokens != nil {
					hosts["auth.example"] = c.tokens
					g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
						return c.tokens.refuses(w, r) || fault != nil && fault(w, r)
					}
				} else {
					g.Fault = fault
				}
				client := New(keychain{"me", "secret"}, hosts, nil)
				got, err := conformanceRequests[c.ask](t.Context(), t, client)
				if (err != nil) != (c.class != "") || err == nil && got != c.want {
					t.Errorf("%s, %v; want %q, or the class %q", got, err, c.want, c.class)
				}
				if err != nil {
					checkFailure(t, err, c.class, c.hint)
				}
				if got := counts(g.Methods()); got != c.requests {
					t.Errorf("requests: %s; want %s", got, c.requests)
				}
				if got := counts(client.AskedAgain()); got != c.again {
					t.Errorf("asked again: %s; want %s", got, c.again)
				}
			})
		})
	}
}

// checkFailure checks the class and the hint of a failed request as a run reports it.
func checkFailure(t *testing.T, err error, class failure.Class, hint string) {
	t.Helper()
	failed := failure.OfRegistry("asking", err)
	if got := failure.ClassOf(failed); got != class {
		t.Errorf("%v: class %s, want %s", err, got, class)
	}
	says := failure.Hint(failure.ClassOf(failed))
	if denied, ok := errors.AsType[*Denied](err); ok {
		says = denied.Hint()
	}
	if !strings.Contains(says, hint) {
		t.Errorf("%v: hint %q, want %q", err, says, hint)
	}
	for _, never := range []string{"\n", "signature=secret", "Basic "} {
		if strings.Contains(err.Error(), never) {
			t.Errorf("%q has %q", err, never)
		}
	}
}

func always(fault faultFunc) func(*registrytest.GitHub) faultFunc {
	return func(*registrytest.GitHub) faultFunc { return fault }
}

func counts(n map[string]int) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%s %d", key, n[key]))
	}
	return strings.Join(all, ", ")
}

// refusedMount refuses mounts, and no other upload.
func refusedMount(status int) func(*registrytest.GitHub) faultFunc {
	return always(func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("mount") != "" && answers(http.MethodPost, "/uploads/", status, "")(w, r)
	})
}

// location202 starts an upload at a place, and takes the blob there alone.
func location202(location string) func(*registrytest.GitHub) faultFunc {
	_, path, _ := strings.Cut(strings.TrimPrefix(location, "https://"), "/")
	path, state, _ := strings.Cut("/"+path, "?")
	return always(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			stored := r.URL.Path == path && r.URL.Query().Get("digest") == digestOf("new") && strings.Contains(r.URL.RawQuery, state)
			w.WriteHeader(map[bool]int{true: http.StatusCreated, false: http.StatusNotFound}[stored])
			return true
		}
		return answers(http.MethodPost, "/uploads/", http.StatusAccepted, "", "Location", location)(w, r)
	})
}

// index answers for the tag with an index of one image.
func index(image, os string) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		digest := indexDigest(image, os)
		if !strings.HasSuffix(r.URL.Path, "/manifests/tag") && !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		w.Header().Set("Docker-Content-Digest", digest)
		if r.Method != http.MethodHead {
			_, _ = w.Write(indexOf(image, os))
		}
		return true
	}
}

func indexOf(image, os string) []byte {
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex,
		"manifests": []any{map[string]any{
			"mediaType": types.OCIManifestSchema1, "digest": image, "size": 1,
			"platform": map[string]string{"os": os, "architecture": "amd64"},
		}},
	})
	if err != nil {
		panic(err)
	}
	return raw
}

func indexDigest(image, os string) string { return digestOf(string(indexOf(image, os))) }

// discarded is a response that nobody gets.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d discarded) WriteHeader(int)             {}

// tokenServer hands out tokens for a registry.
type tokenServer struct {
	field    string // of the token; empty is "token"
	uses     int    // after which a token expires; 0 is never, -1 is at once
	failures int    // requests that are answered with status first
	status   int

	tokens int
	used   map[string]int
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.failures > 0 {
		s.failures--
		if s.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(s.status)
		return
	}
	if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.tokens++
	field := s.field
	if field == "" {
		field = "token"
	}
	_, _ = fmt.Fprintf(w, `{%q:"token%d"}`, field, s.tokens)
}

// refuses answers a request without a token that still counts.
func (s *tokenServer) refuses(w http.ResponseWriter, r *http.Request) bool {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if s.used == nil {
		s.used = map[string]int{}
	}
	if strings.HasPrefix(token, "token") && s.uses >= 0 && (s.uses == 0 || s.used[token] < s.uses) {
		s.used[token]++
		return false
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token",service="r.example"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}
