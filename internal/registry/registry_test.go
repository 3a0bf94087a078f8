package registry_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	ours "github.com/OpenHands/eval-images/internal/registry"
)

// faulty is a real registry whose answers a test can replace.
type faulty struct {
	host   string
	fault  atomic.Pointer[http.HandlerFunc]
	heads  atomic.Int32
	served http.Handler
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
		f.heads.Add(1)
	}
	if fault := f.fault.Load(); fault != nil {
		(*fault)(w, r)
		return
	}
	f.served.ServeHTTP(w, r)
}

func (f *faulty) answer(h http.HandlerFunc) { f.fault.Store(&h) }

func start(t *testing.T) *faulty {
	t.Helper()
	f := &faulty{served: registry.New()}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.host = u.Host
	return f
}

func (f *faulty) push(t *testing.T, tags ...string) v1.Hash {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		ref, err := name.ParseReference(tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func client() *ours.Client {
	return ours.New(authn.DefaultKeychain, http.DefaultTransport, nil).Quick()
}

func TestPresent(t *testing.T) {
	f := start(t)
	repo := f.host + "/openhands/eval-agent-server"
	one := f.push(t, repo+":short", repo+":long")
	f.push(t, repo+":other")
	cases := []struct {
		name    string
		tags    []string
		present bool
		heads   int32
	}{
		{"all tags on one digest", []string{repo + ":short", repo + ":long"}, true, 2},
		{"one tag missing", []string{repo + ":short", repo + ":gone"}, false, 2},
		{"first tag missing is enough", []string{repo + ":gone", repo + ":short"}, false, 1},
		{"two digests are not one image", []string{repo + ":short", repo + ":other"}, false, 2},
		{"no such repository", []string{f.host + "/nobody/nothing:x"}, false, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f.heads.Store(0)
			digest, present, err := client().Present(t.Context(), c.tags)
			if err != nil || present != c.present {
				t.Fatalf("Present = %q, %v, %v; want present %v", digest, present, err, c.present)
			}
			if present && digest != one.String() {
				t.Errorf("digest = %s, want %s", digest, one)
			}
			if got := f.heads.Load(); got != c.heads {
				t.Errorf("%d HEAD requests, want %d", got, c.heads)
			}
		})
	}
}

func TestPresentNeedsTags(t *testing.T) {
	if _, present, err := client().Present(t.Context(), nil); err == nil || present {
		t.Errorf("Present(no tags) = %v, %v; want an error: an image without tags can never be found", present, err)
	}
}

// Only a 404 means that an image is missing.
func TestOtherFailuresAreNotMissingImages(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.WriteHeader(code)
		}
	}
	cases := []struct {
		name  string
		fault http.HandlerFunc
		says  string
		final bool
	}{
		{"too many requests", status(http.StatusTooManyRequests), "429, too many requests", false},
		{"bad gateway", status(http.StatusBadGateway), "502 Bad Gateway", false},
		{"forbidden", status(http.StatusForbidden), "403, not allowed", true},
		{"wrong credentials", status(http.StatusUnauthorized), "401, not allowed", true},
		{"connection broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			tag := f.host + "/a/b:c"
			f.push(t, tag)
			f.answer(c.fault)
			asked := client()
			_, present, err := asked.Present(t.Context(), []string{tag})
			if present || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("Present = %v, %v; want an error that says %q", present, err, c.says)
			}
			var denied *ours.Denied
			if final := errors.As(err, &denied); final != c.final {
				t.Errorf("%v: *Denied is %v, want %v", err, final, c.final)
			}
			f.fault.Store(nil)
			if _, present, err := asked.Present(t.Context(), []string{tag}); err != nil || !present {
				t.Errorf("after the fault: %v, %v; the client must not remember it", present, err)
			}
		})
	}
}

// A HEAD that fails with 403 is repeated by GET, whose response counts.
func TestForbiddenHeadIsRepeatedByGet(t *testing.T) {
	forbidden := func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }
	cases := []struct {
		name  string
		tag   string
		get   func(w http.ResponseWriter) // nil is the registry's own answer
		found bool
		says  string
	}{
		{"for a moment", "there", nil, true, ""},
		{"of a missing image", "gone", nil, false, ""},
		{"for good", "there", forbidden, false, "403, not allowed"},
		{"by a registry that breaks", "there", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, false, "502"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			want := f.push(t, f.host+"/a/b:there")
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/"):
					forbidden(w)
				case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") && c.get != nil:
					c.get(w)
				default:
					f.served.ServeHTTP(w, r)
				}
			})
			digest, err := client().Digest(t.Context(), f.host+"/a/b:"+c.tag)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want %q", err, c.says)
			}
			if (digest != "") != c.found || c.found && digest != want.String() {
				t.Errorf("digest %q, want %s: %v", digest, want, c.found)
			}
			var denied *ours.Denied
			if errors.As(err, &denied) != strings.Contains(c.says, "403") {
				t.Errorf("%v: *Denied: %v", err, denied != nil)
			}
		})
	}
}

func TestProbePush(t *testing.T) {
	cases := []struct {
		name   string
		times  int
		answer func(w http.ResponseWriter)
		says   string // in the hint of a *Denied
	}{
		{"it accepts pushes", 0, nil, ""},
		{"too many requests", 1, func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1ms"); w.WriteHeader(429) }, ""},
		{"unavailable for a moment", 1, func(w http.ResponseWriter) { w.WriteHeader(503) }, ""},
		{"a broken connection", 1, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, ""},
		{"denied", 1, func(w http.ResponseWriter) { w.WriteHeader(403) }, "registry-username"},
		{"no registry", 1, func(w http.ResponseWriter) { w.WriteHeader(404) }, "no registry at that host"},
		{"never reachable", 1000, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "a registry that this process can reach"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			var times, deleted atomic.Int32
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost && int(times.Add(1)) <= c.times:
					c.answer(w)
				case r.Method == http.MethodDelete:
					deleted.Add(1)
				default:
					f.served.ServeHTTP(w, r)
				}
			})
			err := client().ProbePush(t.Context(), f.host+"/a/b")
			var denied *ours.Denied
			if c.says == "" && err != nil || errors.As(err, &denied) != (c.says != "") || denied != nil && !strings.Contains(denied.Hint(), c.says) {
				t.Errorf("ProbePush = %v (hint %q); want the hint %q", err, hintOf(denied), c.says)
			}
			if got := deleted.Load() == 1; got != (err == nil) {
				t.Errorf("the upload was cancelled: %v", got)
			}
		})
	}
}

func TestSelfSignedRegistryIsNotTakenForAnUnreachableOne(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log each handshake
	server.StartTLS()
	defer server.Close()
	err := client().ProbePush(t.Context(), strings.TrimPrefix(server.URL, "https://")+"/a/b")
	var denied *ours.Denied
	if !errors.As(err, &denied) || !strings.Contains(denied.Hint(), "SSL_CERT_FILE") || strings.Contains(denied.Hint(), "localhost") {
		t.Errorf("ProbePush = %v (hint %q); want the hint to trust the registry", err, hintOf(denied))
	}
}

func hintOf(denied *ours.Denied) string {
	if denied == nil {
		return ""
	}
	return denied.Hint()
}

func TestCredentials(t *testing.T) {
	dir, inherited := t.TempDir(), t.TempDir()
	theirs := `{"auths":{"quay.io":{"auth":"dTpw"}},"HttpHeaders":{"X":"y"}}`
	if err := os.WriteFile(filepath.Join(inherited, "config.json"), []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	keychain, err := ours.WriteConfig(dir, inherited, "", []ours.Login{
		{Reference: "ghcr.io/openhands/x", Username: "me", Password: "s3cret"},
		{Reference: "docker.io/swebench/y:latest", Username: "hub", Password: "h"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"ghcr.io/other/z": "me:s3cret", "alpine": "hub:h", "quay.io/a/b": "u:p", "gcr.io/a/b": ":",
	} {
		ref, err := name.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := keychain.Resolve(ref.Context().Registry)
		if err != nil {
			t.Fatal(err)
		}
		got, err := auth.Authorization()
		if err != nil || got.Username+":"+got.Password != want {
			t.Errorf("%s: %+v, %v; want %s", image, got, err, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "config.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config.json: %v, %v; want mode 0600", info, err)
	}
}
