package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// expiringTokens requires a bearer token. Each token expires after a few requests.
type expiringTokens struct {
	after int

	mu      sync.Mutex
	tokens  int
	left    map[string]int
	scopes  map[string]bool
	expired int // 401 responses to a token that was valid before
}

func (e *expiringTokens) serve(w http.ResponseWriter, r *http.Request) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Connection", "close") // on a reused connection, Go's transport sends the body again by itself
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
		e.expired++
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host))
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// A token that expires during a run is replaced, and its request is sent again with its body.
func TestExpiredTokenIsReplaced(t *testing.T) {
	g, host := serve(t)
	e := &expiringTokens{after: 1, left: map[string]int{}, scopes: map[string]bool{}}
	g.Fault = e.serve
	sent := &failureCounter{}
	c := New(keychain{"me", "secret"}, sent, nil)
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
	if e.expired < 5 {
		t.Errorf("%d tokens expired: too few to prove anything", e.expired)
	}
	for _, scope := range []string{"repository:a/b:pull", "repository:a/b:push,pull"} {
		if !e.scopes[scope] {
			t.Errorf("no token for %s; there are %v", scope, e.scopes)
		}
	}
}

// failureCounter counts the requests that could not be sent.
type failureCounter struct{ n atomic.Int32 }

func (f *failureCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil && r.URL.Scheme == "http" { // the library tries https first
		f.n.Add(1)
	}
	return answer, err
}

// The body of a copy cannot be sent twice, so the copy starts over.
func TestExpiredTokenRestartsACopy(t *testing.T) {
	g, host := serve(t)
	source, second := serve(t)
	content := strings.Repeat("layer", 10_000)
	put(t, quick(), second+"/from/it", content)
	e := &expiringTokens{after: 10, left: map[string]int{}, scopes: map[string]bool{}}
	rejected := 0
	g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && rejected == 0 { // the first token expires here
			rejected++
			for token := range e.left {
				e.left[token] = 0
			}
		}
		return e.serve(w, r)
	}
	c := New(keychain{"me", "secret"}, http.DefaultTransport, nil)
	c.firstBackoff = time.Millisecond
	if err := c.Mount(t.Context(), second+"/from/it", host+"/to/it", digestOf(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	got, err := c.Blob(t.Context(), host+"/to/it", digestOf(content))
	if err != nil || string(got) != content || rejected != 1 {
		t.Errorf("%d bytes, %v, rejected %d times", len(got), err, rejected)
	}
	if opened := source.Count("GET", "/blobs/"); opened != 2 {
		t.Errorf("the source was read %d times, want 2", opened)
	}
}

func TestWrongPasswordIsDenied(t *testing.T) {
	g, host := serve(t)
	g.Fault = (&expiringTokens{left: map[string]int{}, scopes: map[string]bool{}}).serve
	c := New(keychain{"me", "wrong"}, http.DefaultTransport, nil)
	_, err := c.PutBlob(t.Context(), host+"/a/b", []byte("x"))
	if denied, ok := err.(*Denied); !ok || !strings.Contains(denied.Hint(), "registry-password") {
		t.Errorf("%v; want *Denied that names registry-password", err)
	}
}

// A login program has a new password when the one that the run began with expires. It is asked for it once, for all requests.
func TestLoginProgramIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, program, tokens := registrytest.New(silent(), 0, 1), &loginProgram{}, 0
		valid := "password1"
		var refused atomic.Int32
		g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "Bearer "+valid {
				return false
			}
			if r.Header.Get("Authorization") != "" && refused.Add(1) == 1 { // this refusal of the old password comes after the new one
				time.Sleep(10 * time.Second)
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		auth := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != valid {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			tokens++
			_, _ = fmt.Fprintf(w, `{"token":%q}`, valid)
		})
		c := New(program, registrytest.Hosts{"r.example": g, "auth.example": auth}, nil)
		put(t, c, "r.example/a/b", "first")
		valid = "password2"
		var uploads sync.WaitGroup
		for i := range 10 {
			uploads.Go(func() { put(t, c, "r.example/a/b", fmt.Sprint(i)) })
		}
		uploads.Wait()
		if asked := program.asked.Load(); asked != 2 || tokens != 2 {
			t.Errorf("the program was asked %d times, and %d tokens were made; want 2 of each", asked, tokens)
		}

		// A password that is wrong for good is not repeated more often than the requests.
		valid = "none"
		before := program.asked.Load()
		for i := range 3 {
			_, err := c.PutBlob(t.Context(), "r.example/a/b", fmt.Append(nil, "wrong", i))
			if _, denied := errors.AsType[*Denied](err); !denied {
				t.Errorf("%v; want *Denied", err)
			}
		}
		if asked := program.asked.Load() - before; asked != 3 {
			t.Errorf("the program was asked %d times by 3 requests", asked)
		}
	})
}

// Nobody blames the registry, to which no request was sent.
func TestErrorsNameACredentialHelperThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(hangingHelper{}, registrytest.Hosts{"r.example": registrytest.New(silent(), 0, 1)}, nil)
		var requests sync.WaitGroup
		for range 2 { // they share a handshake
			requests.Go(func() {
				_, err := c.Manifest(t.Context(), "r.example/a/b:c")
				if err == nil || !strings.Contains(err.Error(), "from the credential helper of r.example") &&
					!strings.Contains(err.Error(), "from the handshake of another request with r.example") {
					t.Errorf("%v; want the helper, or the handshake of the other request", err)
				}
			})
		}
		requests.Wait()
		if sent := c.Requests(); len(sent) > 0 {
			t.Errorf("it sent %v", sent)
		}
	})
}

// hangingHelper is a keychain whose credential helper does not answer.
type hangingHelper struct{ authn.Keychain }

func (hangingHelper) ResolveContext(ctx context.Context, _ authn.Resource) (authn.Authenticator, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// loginProgram has another password each time.
type loginProgram struct{ asked atomic.Int32 }

func (p *loginProgram) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "me", Password: fmt.Sprint("password", p.asked.Add(1))}, nil
}

type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}

// Credentials must not go over plain http to a host on the internet.
func TestPlainHTTPIsForPrivateNamesOnly(t *testing.T) {
	cases := map[string]string{
		"registry:5000/a/b:c":       "http",
		"registry.local:5000/a/b:c": "http",
		"127.0.0.1:5000/a/b:c":      "http",
		"ghcr.io/a/b:c":             "https",
		"docker.io/a/b:c":           "https",
		"a/b:c":                     "https",
		"registry.local.evil/a/b:c": "https",
		"[2001:db8::1]:5000/a/b:c":  "https",
	}
	for reference, want := range cases {
		ref, err := parse(reference)
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if got := ref.Context().Scheme(); got != want {
			t.Errorf("%s: %s, want %s", reference, got, want)
		}
	}
}
