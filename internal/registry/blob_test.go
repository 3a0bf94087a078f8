package registry

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHasBlob(t *testing.T) {
	g, host := serve(t)
	repo, c := host+"/a/b", quick()
	put(t, c, repo, "x")
	g.Reset()
	for content, want := range map[string]bool{"x": true, "y": false} {
		if got, err := c.HasBlob(t.Context(), repo, digestOf(content)); err != nil || got != want {
			t.Errorf("HasBlob(%s) = %v, %v; want %v", content, got, err, want)
		}
	}
	if heads := g.Count("HEAD", "/blobs/"); heads != 2 {
		t.Errorf("%d HEAD requests, want one for each", heads)
	}
	g.Forget("a/b", digestOf("x"))
	if got, err := c.HasBlob(t.Context(), repo, digestOf("x")); err != nil || got {
		t.Errorf("HasBlob of a lost blob = %v, %v", got, err)
	}
	put(t, c, repo, "x")
	if got, err := c.HasBlob(t.Context(), repo, digestOf("x")); err != nil || !got {
		t.Errorf("HasBlob of a blob that was sent again = %v, %v", got, err)
	}
	g.Fault = fault(9, http.StatusForbidden, nil, func(*http.Request) bool { return true })
	if _, err := c.HasBlob(t.Context(), repo, digestOf("x")); err == nil {
		t.Error("HasBlob after a 403 gives no error")
	}
}

func TestOpenBlob(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	cases := []struct {
		name    string
		answer  func(w http.ResponseWriter)
		want    string
		readErr string
	}{
		{"the blob", func(w http.ResponseWriter) { _, _ = io.WriteString(w, content) }, content, ""},
		{
			"another blob", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x"+content[1:]) }, "",
			"does not match the digest",
		},
		{
			"half of it", func(w http.ResponseWriter) { _, _ = io.WriteString(w, content[:500]) }, "",
			"does not match the digest",
		},
		{"cut off", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = io.WriteString(w, content[:500])
		}, "", "unexpected EOF"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					c.answer(w)
				}
			}))
			defer server.Close()
			blob, err := quick().OpenBlob(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/a/b", digestOf(content))
			if err != nil {
				t.Fatal(err)
			}
			defer blob.Close()
			got, err := io.ReadAll(blob)
			if c.readErr == "" && (err != nil || string(got) != c.want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(c.want))
			}
			if c.readErr != "" && (err == nil || !strings.Contains(err.Error(), c.readErr)) {
				t.Errorf("%v; want %q", err, c.readErr)
			}
		})
	}
}

func TestBlobIsVerified(t *testing.T) {
	var answer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	repo := strings.TrimPrefix(server.URL, "http://") + "/a/b"
	for says, content := range map[string]string{
		"the content has the digest": "other", "more than 8388608 bytes": strings.Repeat("x", maxBody+1),
	} {
		answer = content
		if _, err := quick().Blob(t.Context(), repo, digestOf("x")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
	for _, digest := range []string{"", "sha256:abc", "../../x", "sha256:" + strings.Repeat("Z", 64)} {
		if _, err := quick().Blob(t.Context(), repo, digest); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("Blob(%q): %v; want an error that is not ErrNotFound", digest, err)
		}
	}
}
