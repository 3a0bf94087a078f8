package registry

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestDelete(t *testing.T) {
	m := imageOf(t, "{}")
	cases := []struct {
		name, reference string
		answer          answers
		undeletable     bool
		busy            time.Duration
		left            []string
	}{
		{"a tag", ":one", nil, false, 0, []string{":two", "@" + m.Digest()}},
		{"a digest", "@" + m.Digest(), nil, false, 0, []string{":one", ":two"}}, // the tags go in other registries
		{"what is not there", ":gone", nil, false, 0, []string{":one"}},
		{"as ghcr.io", ":one", said(405, "UNSUPPORTED"), true, 0, []string{":one"}},
		{"by digest only", ":one", said(400, "DIGEST_INVALID"), true, 0, []string{":one"}},
		{"a bad digest", "@" + m.Digest(), said(400, "DIGEST_INVALID"), false, 0, []string{":one"}},
		{"no road", ":one", fault(1, 404, nil, method("DELETE", "")), true, 0, nil},
		{"unsupported", ":one", said(404, "UNSUPPORTED"), true, 0, nil},
		{"no right", ":one", said(403, "DENIED"), true, 0, nil},
		{"a rate limit", ":one", fault(9, 403, map[string]string{"Retry-After": "3600"}, method("DELETE", "")),
			false, time.Hour, nil},
		{"out of order", ":one", fault(9, 503, nil, method("DELETE", "")), false, 0, []string{":one"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Deletes = true
			repo, client := host+"/a/b", quick()
			put(t, client, repo, "{}")
			for _, tag := range []string{":one", ":two"} {
				if err := client.PutManifest(t.Context(), repo+tag, m); err != nil {
					t.Fatal(err)
				}
			}
			g.Fault = c.answer
			err := client.Delete(t.Context(), repo+c.reference)
			undeletable, is := errors.AsType[*Undeletable](err)
			if is != c.undeletable || is && undeletable.Reference != repo+c.reference || (err == nil) != (c.answer == nil) {
				t.Errorf("%v, *Undeletable: %v; want %v", err, is, c.undeletable)
			}
			if busy, is := errors.AsType[*Busy](err); is != (c.busy > 0) || is && busy.RetryAfter() != c.busy {
				t.Errorf("%v, *Busy: %v; want %v", err, is, c.busy)
			}
			for _, reference := range c.left {
				if _, err := client.Manifest(t.Context(), repo+reference); err != nil {
					t.Errorf("after that: %v", err)
				}
			}
			if _, err := client.Manifest(t.Context(), repo+c.reference); err == nil && c.answer == nil {
				t.Errorf("%s is still there", c.reference)
			}
		})
	}
}

// said answers a DELETE with an error of the registry's protocol.
func said(status int, code string) answers {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"errors":[{"code":"` + code + `","message":"m"}]}`))
		return true
	}
}

func TestProbeManifest(t *testing.T) {
	says := func(status int, body string) answers {
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
		name    string
		lax     bool
		answer  answers
		refuses bool
		failed  bool
	}{
		{"a registry that looks", false, nil, true, false},
		{"one that does not", true, nil, false, false},
		{"in other words", false, says(400, `{"errors":[{"code":"MANIFEST_INVALID"}]}`), true, false},
		{"no such project", false, says(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), false, true},
		{"no right", false, says(403, ``), false, true},
		{"out of order", false, says(503, ``), false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Lax, g.Deletes, g.Fault = c.lax, true, c.answer
			client := quick()
			for range 3 {
				refuses, err := client.ProbeManifest(t.Context(), host+"/a/b")
				if refuses != c.refuses || (err != nil) != c.failed {
					t.Errorf("%v, %v; want %v, failed: %v", refuses, err, c.refuses, c.failed)
				}
			}
			if puts := g.Count("PUT", "/manifests/"); puts != 1 && !c.failed {
				t.Errorf("asked %d times, want once", puts)
			}
			if digest, err := client.Digest(t.Context(), host+"/a/b:"+probeTag); digest != "" || err != nil {
				t.Errorf("%s is left behind (%v)", digest, err)
			}
			g.Fault = nil
			if _, err := client.ProbeManifest(t.Context(), host+"/a/b"); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}
