package faulty

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEachFaultIsMet sends requests of every method until each fault has come, and checks what the client sees.
func TestEachFaultIsMet(t *testing.T) {
	const body = "0123456789"
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, ask *http.Request) {
		io.Copy(io.Discard, ask.Body)
		w.Header().Set("Docker-Content-Digest", "sha256:right")
		if ask.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, body)
	}))
	t.Cleanup(behind.Close)
	r := newRegistry(strings.TrimPrefix(behind.URL, "http://"), 1, time.Millisecond)
	front := httptest.NewServer(r)
	t.Cleanup(front.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // or net/http repeats what was reset

	ask := func(method, path string) (status int, digest, read string, err error) {
		request, err := http.NewRequestWithContext(t.Context(), method, front.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			return 0, "", "", err
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		return answer.StatusCode, answer.Header.Get("Docker-Content-Digest"), string(content), err
	}
	if status, digest, read, err := ask(http.MethodGet, "/missing"); err != nil || status != http.StatusNotFound || digest != "sha256:right" || read != body {
		t.Errorf("without faults: %d, %s, %q, %v", status, digest, read, err)
	}
	if got := r.Missing(); len(got) != 1 || got[0] != "/missing" || len(r.Injected()) != 0 {
		t.Errorf("missing %q, injected %v; want /missing alone", got, r.Injected())
	}

	r.SetShare(1)
	seen := map[string]int{}
	for range 40 {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
			before := r.Injected()
			status, digest, read, err := ask(method, "/x")
			for name, n := range r.Injected() {
				if n == before[name] {
					continue
				}
				seen[name]++
				switch name {
				case reset, cutUpload, lostAnswer:
					if err == nil {
						t.Errorf("%s: %s was answered with %d", name, method, status)
					}
				case cutAnswer:
					if !errors.Is(err, io.ErrUnexpectedEOF) || len(read) >= len(body) {
						t.Errorf("%s: read %q, %v", name, read, err)
					}
				case wrongDigest:
					if digest == "sha256:right" || status != http.StatusOK {
						t.Errorf("%s: %d with digest %s", name, status, digest)
					}
				case slowAnswer:
					if status != http.StatusOK || err != nil {
						t.Errorf("%s: %d, %v", name, status, err)
					}
				default:
					if status < 400 {
						t.Errorf("%s: %s was answered with %d, %v", name, method, status, err)
					}
				}
			}
		}
	}
	for _, f := range faults {
		if seen[f.name] == 0 {
			t.Errorf("fault %q was never seen", f.name)
		}
	}
}
