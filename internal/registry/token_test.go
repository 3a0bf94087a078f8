package registry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// expiring wants a bearer token, each of which is good for a few requests.
type expiring struct {
	after int

	mu     sync.Mutex
	tokens int
	left   map[string]int
	scopes map[string]bool
	told   int // 401 answers to a token that had been good
}

func (e *expiring) serve(w http.ResponseWriter, r *http.Request) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Connection", "close") // on a connection of before Go's transport begins the body anew by itself
	if r.URL.Path == "/token" {
		user, password, _ := r.BasicAuth()
		if user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		e.tokens++
		token := fmt.Sprint("token", e.tokens)
		e.left[token] = e.after
		for _, scope := range r.URL.Query()["scope"] {
			e.scopes[scope] = true
		}
		_, _ = fmt.Fprintf(w, `{"token":%q}`, token)
		return true
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if e.left[token] > 0 {
		e.left[token]--
		return false
	}
	if _, known := e.left[token]; known {
		e.told++
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host))
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// A token that expires in the middle of a run is replaced, and what was asked with it is asked again, with its body.
func TestTokenExpires(t *testing.T) {
	g, host := serve(t)
	e := &expiring{after: 1, left: map[string]int{}, scopes: map[string]bool{}}
	g.Fault = e.serve
	sent := &failures{}
	c := New(keychain{"me", "secret"}, sent)
	repo := host + "/a/b"
	put(t, c, repo, "config", "one", "two")
	m := imageOf(t, "config", "one", "two")
	for _, tag := range []string{":x", ":y"} {
		if err := c.PutManifest(t.Context(), repo+tag, m); err != nil {
			t.Fatal(err)
		}
		got, err := c.Manifest(t.Context(), repo+tag)
		if err != nil || string(got.Raw) != string(m.Raw) {
			t.Errorf("Manifest = %s, %v", got.Raw, err)
		}
	}
	if err := c.Mount(t.Context(), repo, host+"/c/d", digestOf("one"), 3); err != nil {
		t.Error(err)
	}
	if n := sent.n.Load(); n > 0 {
		t.Errorf("%d requests were sent with half a body", n)
	}
	if e.told < 5 {
		t.Errorf("%d tokens expired: the test tests nothing", e.told)
	}
	for _, scope := range []string{"repository:a/b:pull", "repository:a/b:push,pull"} {
		if !e.scopes[scope] {
			t.Errorf("no token for %s; there are %v", scope, e.scopes)
		}
	}
}

// failures counts the requests that could not be sent.
type failures struct{ n atomic.Int32 }

func (f *failures) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil && r.URL.Scheme == "http" { // the library tries https first
		f.n.Add(1)
	}
	return answer, err
}

// The body of a copy cannot be sent twice: the copy is made anew.
func TestTokenExpiresInACopy(t *testing.T) {
	g, host := serve(t)
	source, second := serve(t)
	content := strings.Repeat("layer", 10_000)
	put(t, quick(), second+"/from/it", content)
	e := &expiring{after: 10, left: map[string]int{}, scopes: map[string]bool{}}
	refused := 0
	g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && refused == 0 { // the first token ends just here
			refused++
			for token := range e.left {
				e.left[token] = 0
			}
		}
		return e.serve(w, r)
	}
	c := New(keychain{"me", "secret"}, http.DefaultTransport)
	c.backOff = time.Millisecond
	if err := c.Mount(t.Context(), second+"/from/it", host+"/to/it", digestOf(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	got, err := c.Blob(t.Context(), host+"/to/it", digestOf(content))
	if err != nil || string(got) != content || refused != 1 {
		t.Errorf("%d bytes, %v, refused %d times", len(got), err, refused)
	}
	if opened := source.Count("GET", "/blobs/"); opened != 2 {
		t.Errorf("the source was read %d times, want 2", opened)
	}
}

func TestWrongPassword(t *testing.T) {
	g, host := serve(t)
	g.Fault = (&expiring{left: map[string]int{}, scopes: map[string]bool{}}).serve
	c := New(keychain{"me", "wrong"}, http.DefaultTransport)
	_, err := c.PutBlob(t.Context(), host+"/a/b", []byte("x"))
	if refused, ok := err.(*Refused); !ok || !strings.Contains(refused.Hint(), "registry-password") {
		t.Errorf("%v; want *Refused that names registry-password", err)
	}
}

type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}
