package docker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// An image is there if the engine has it under all of its tags, each of which may be left on an older image.
func TestHasImage(t *testing.T) {
	cases := []struct {
		name   string
		tags   []string
		want   bool
		failed bool
	}{
		{"one tag", []string{"r/i:one"}, true, false},
		{"two tags", []string{"r/i:one", "r/i:same"}, true, false},
		{"two images", []string{"r/i:one", "r/i:old"}, false, false},
		{"a tag is missing", []string{"r/i:one", "r/i:missing"}, false, false},
		{"no tags", nil, false, false},
		{"the engine fails", []string{"r/i:broken"}, false, true},
	}
	ids := map[string]string{"r/i:one": "sha256:1", "r/i:same": "sha256:1", "r/i:old": "sha256:2"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, tag, inspects := strings.Cut(strings.TrimSuffix(r.URL.Path, "/json"), "/images/")
		tag, _ = url.PathUnescape(tag)
		switch {
		case !inspects:
			answerAsEngine(w, r)
		case tag == "r/i:broken":
			w.WriteHeader(http.StatusInternalServerError)
		case ids[tag] == "":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, `{"Id":"`+ids[tag]+`"}`)
		}
	}))
	defer server.Close()
	e, err := Connect(t.Context(), variables("DOCKER_HOST", strings.Replace(server.URL, "http://", "tcp://", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := e.HasImage(t.Context(), c.tags); got != c.want || (err != nil) != c.failed {
				t.Errorf("%v, %v; want %v, failed: %v", got, err, c.want, c.failed)
			}
		})
	}
}
