package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry"
)

// says is a registry that gives every request the same answer.
type says struct {
	status int
	header http.Header
	body   string
}

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: s.status, Status: http.StatusText(s.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.header.Clone(), Body: io.NopCloser(strings.NewReader(s.body)), ContentLength: int64(len(s.body)), Request: r,
	}, nil
}

type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// Whatever a registry answers, with whatever it asks for: each request ends, in time, and with an error unless the answer is the
// one that was asked for.
func FuzzAnswers(f *testing.F) {
	const unknown = `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"::error::\u001b[2J","detail":{"a":[1,"sha256:0"]}}]}`
	for _, after := range []string{"", "11", "-5", "99999999999999999999", "352.829µs", "1e300", "Inf", "NaN", "Wed, 21 Oct 2099 07:28:00 GMT", "::error::"} {
		f.Add(429, after, `Bearer realm="http://x.test/token",service="x"`, "application/json", unknown)
	}
	for _, body := range []string{unknown, `{"errors":[{"code":7}]}`, `{"errors":{}}`, "<html>", strings.Repeat("[", 20_000), `{"token":""}`, `{"token":{}}`, "secondary rate limit"} {
		f.Add(403, "", "Basic", "text/html", body)
		f.Add(401, "1", `Bearer realm="`, "application/json", body)
		f.Add(200, "", "", "application/vnd.oci.image.manifest.v1+json; a=b; a=c", body)
		f.Add(500, "1h", "", "", body)
		f.Add(307, "", "", "", body)
	}
	f.Fuzz(func(t *testing.T, status int, after, authenticate, mediaType, body string) {
		if status < 200 || status > 599 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			header := http.Header{
				"Retry-After": {after}, "Www-Authenticate": {authenticate}, "Content-Type": {mediaType}, "Location": {after}, "Docker-Content-Digest": {after},
			}
			c := registry.New(anonymous{}, says{status, header, body}, nil)
			begin := time.Now()
			if m, err := c.Manifest(t.Context(), "x.test/a/b:c"); err == nil && string(m.Raw) != body {
				t.Errorf("the manifest is %q", m.Raw)
			}
			const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
			if blob, err := c.Blob(t.Context(), "x.test/a/b", digest); err == nil && len(bytes.TrimSpace(blob)) > 0 {
				t.Errorf("another blob passed: %q", blob)
			}
			_, _, _ = c.Present(t.Context(), []string{"x.test/a/b:c"})
			_ = c.PutManifest(t.Context(), "x.test/a/b:c", registry.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", Raw: []byte("{}")})
			if took := time.Since(begin); took > 5*time.Hour {
				t.Errorf("four requests took %s", took)
			}
		})
	})
}
