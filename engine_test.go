package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// dockerEngine is a Docker Engine without containers. It has the images whose tags are in a file; an empty name is no file.
func dockerEngine(t *testing.T, images string) (host string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		_, tag, _ := strings.Cut(strings.TrimSuffix(r.URL.Path, "/json"), "/images/")
		tag, _ = url.PathUnescape(tag)
		loaded, _ := os.ReadFile(images)
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
		case strings.HasSuffix(r.URL.Path, "/version"):
			io.WriteString(w, `{"Version":"20.10.24"}`)
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			io.WriteString(w, "[]")
		case slices.Contains(strings.Fields(string(loaded)), tag):
			io.WriteString(w, `{"Id":"sha256:1"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"there is none"}`)
		}
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http://", "tcp://", 1)
}
