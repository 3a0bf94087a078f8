package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A list of tags is read to its end, however a registry names the next page, and only from that registry.
func TestTags(t *testing.T) {
	cases := []struct {
		name string
		link string // to the second page
		want []string
		fail bool
	}{
		{"one page", "", []string{"one"}, false},
		{"a path", `</v2/a/b/tags/list?n=1&last=one>; rel="next"`, []string{"one", "two"}, false},
		{"a relative path", `<list?last=one>; rel=next`, []string{"one", "two"}, false},
		{"another host", `<http://elsewhere.test/v2/a/b/tags/list?last=one>; rel="next"`, []string{"one", "two"}, false},
		{"another relation", `</v2/a/b/tags/list?last=one>; rel="prev"`, []string{"one"}, false},
		{"a list without an end", `</v2/a/b/tags/list?n=1>; rel="next"`, nil, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/a/b/tags/list" {
					return
				}
				tag := "two"
				if r.URL.Query().Get("last") == "" {
					tag = "one"
					w.Header().Set("Link", c.link)
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"name": "a/b", "tags": []string{tag}})
			}))
			defer server.Close()
			got, err := quick().Tags(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/a/b")
			if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != c.fail {
				t.Errorf("%v; tags (-want +got):\n%s", err, diff)
			}
		})
	}
	_, host := serve(t)
	if tags, err := quick().Tags(t.Context(), host+"/nothing/here"); len(tags) > 0 || err != nil {
		t.Errorf("of a repository that does not exist: %v, %v", tags, err)
	}
	g, host := serve(t)
	g.Fault = fault(1, http.StatusForbidden, nil, method("GET", "/tags/"))
	if tags, err := quick().Tags(t.Context(), host+"/a/b"); err == nil {
		t.Error(fmt.Sprint("after a refusal: ", tags))
	}
}
