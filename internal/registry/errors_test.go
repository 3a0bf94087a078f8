package registry

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// An error has what the registry said. It repeats neither the request nor the status, and keeps the address of a token server.
func TestErrorSaysWhatTheRegistrySaid(t *testing.T) {
	const tag, doing = "r.example/a/b:tag", "reading the manifest of r.example/a/b:tag: "
	get := func(status int, body string) faultFunc { return answers("GET", "/manifests/", status, body) }
	cases := []struct {
		name  string
		head  bool
		fault faultFunc
		want  string
	}{
		{"a HEAD", true, answers("HEAD", "/manifests/", 410, ""), "checking r.example/a/b:tag: 410 Gone"},
		{"no body", false, get(410, ""), doing + "410 Gone"},
		{"a code without a message", false, get(400, `{"errors":[{"code":"NAME_INVALID"}]}`), doing + "400 Bad Request: NAME_INVALID"},
		{"a code and a message", false, get(403, `{"errors":[{"code":"DENIED","message":"no: not you"}]}`), doing + "403, not allowed: DENIED: no: not you"},
		{
			"two codes", false, get(400, `{"errors":[{"code":"NAME_INVALID","message":"short"},{"code":"UNSUPPORTED","message":"old"}]}`),
			doing + "400 Bad Request: multiple errors returned: NAME_INVALID: short; UNSUPPORTED: old",
		},
		{"a page", false, get(410, "<html>\r\n<h1>410 Gone</h1>\r\n"), doing + "410 Gone: <html> <h1>410 Gone</h1>"},
		{"a long page", false, get(410, strings.Repeat("é", 1000)), doing + "410 Gone: " + strings.Repeat("é", 300) + " ..."},
		{
			"a token server", false, func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			},
			doing + "403, not allowed: authenticating with r.example: GET https://auth.example/token?scope=repository%3Aa%2Fb%3Apull&service=: " +
				"unexpected status code 403 Forbidden: blocked",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := registrytest.New(silent(), 0, 1)
			g.Fault = c.fault
			auth := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "blocked", http.StatusForbidden) })
			client := New(authn.DefaultKeychain, registrytest.Hosts{"r.example": g, "auth.example": auth}, nil).Quick()
			_, err := client.Manifest(t.Context(), tag)
			if c.head {
				_, err = client.Digest(t.Context(), tag)
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("the error is\n%v; want\n%s", err, c.want)
			}
		})
	}
}
