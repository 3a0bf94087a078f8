package registry

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A pause that another write has met says nothing about the repository that is probed.
func TestProbePushInAPause(t *testing.T) {
	g, host := serve(t)
	g.Fault = fault(1, 429, map[string]string{"Retry-After": "3600"}, method("POST", ""))
	c := quick()
	for _, repository := range []string{"/a/b", "/c/d"} {
		err := c.ProbePush(t.Context(), host+repository)
		_, limited := errors.AsType[*RateLimited](err)
		_, denied := errors.AsType[*Denied](err)
		if !limited || denied {
			t.Errorf("%s: %v; want *RateLimited, and not *Denied", repository, err)
		}
	}
	if got := g.Count("POST", ""); got != 1 {
		t.Errorf("%d writes, want 1", got)
	}
}

// A repository that accepted a push is not asked again. One that refused it is, and so is each other one.
func TestProbePushIsMadeOnce(t *testing.T) {
	cases := []struct {
		name         string
		fault        faultFunc
		repositories []string
		requests     map[string]int
	}{
		{"one repository", nil, []string{"/a/b", "/a/b", "/a/b"}, map[string]int{"POST": 1, "DELETE": 1}},
		{"two repositories", nil, []string{"/a/b", "/c/d", "/a/b"}, map[string]int{"POST": 2, "DELETE": 2}},
		{"refused at first", fault(1, 403, nil, method("POST", "")), []string{"/a/b", "/a/b", "/a/b"}, map[string]int{"POST": 2, "DELETE": 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Deletes, g.Fault = true, c.fault
			client := quick()
			for i, repository := range c.repositories {
				if err := client.ProbePush(t.Context(), host+repository); (err != nil) != (c.fault != nil && i == 0) {
					t.Errorf("question %d: %v", i+1, err)
				}
			}
			if diff := cmp.Diff(c.requests, g.Methods()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeManifest(t *testing.T) {
	respond := func(status int, body string) faultFunc {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !method("PUT", "/manifests/")(r) {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	cases := []struct {
		name   string
		lax    bool
		fault  faultFunc
		checks bool
		failed bool
		puts   int // where it did not fail
	}{
		{"it checks", false, nil, true, false, 1},
		{"it does not check", true, nil, false, false, 1},
		{"it checks, with another code", false, respond(400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`), true, false, 1},
		{"no such project", false, respond(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), false, true, 0},
		{"wrong credentials", false, respond(401, ``), false, true, 0},
		{"forbidden", false, respond(403, ``), false, false, 2}, // the config was accepted, so it asks again once
		{"it takes no manifest without a tag", false, respond(405, `{"errors":[{"code":"UNSUPPORTED"}]}`), false, false, 1},
		{"unavailable", false, respond(503, ``), false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Lax, g.Deletes, g.Fault = c.lax, true, c.fault
			client := quick()
			for range 3 {
				checks, err := client.ProbeManifest(t.Context(), host+"/a/b")
				if checks != c.checks || (err != nil) != c.failed {
					t.Errorf("%v, %v; want %v, failed: %v", checks, err, c.checks, c.failed)
				}
			}
			if puts := g.Count("PUT", "/manifests/"); puts != c.puts && !c.failed {
				t.Errorf("%d manifests were put, want %d", puts, c.puts)
			}
			for _, r := range g.Requests() {
				if left, ok := strings.CutPrefix(r.Path, "/v2/a/b/manifests/"); ok && r.Method == http.MethodPut {
					if digest, err := client.Digest(t.Context(), host+"/a/b@"+left); digest != "" || err != nil {
						t.Errorf("%s is left behind (%v)", left, err)
					}
				}
			}
			g.Fault = nil
			if _, err := client.ProbeManifest(t.Context(), host+"/a/b"); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}
