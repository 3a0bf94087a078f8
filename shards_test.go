package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// The first shard tells the others when it begins no images, and so leaves no references: they would wait for them in vain.
func TestFirstShardSaysThatItBeginsNoImages(t *testing.T) {
	cases := []struct {
		name    string // short, for the path of a socket
		args    string
		program string // a stand-in that fails
		says    bool
	}{
		{"images exist", "--shard 1/2 THERE BUILDER", "", true},
		{"no SDK", "--shard 1/2 THERE BUILDER", "uv", true}, // its environment fails after the checkout
		{"no buildx", "--shard 1/2 --image HOST/absent/eval --verify 1 BUILDER", "docker", true},
		{"second", "--shard 2/2 THERE BUILDER", "", false},
		{"native", "--shard 1/2 --strategy native THERE BUILDER", "", false},
		{"no shard", "THERE BUILDER", "", false},
	}
	tag := regexp.MustCompile(`/manifests/reference-[0-9a-f]{40}-none$`)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bin, sdk := standIns(t)
			if c.program != "" {
				if err := os.WriteFile(filepath.Join(bin, c.program), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var said atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && tag.MatchString(r.URL.Path) {
					said.Store(true)
					w.WriteHeader(http.StatusCreated)
					return
				}
				answers(w, r)
			}))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			words := strings.NewReplacer("THERE", "--image "+host+"/there/eval", "BUILDER", "--builder tcp://"+host, "HOST", host)
			p := newProcess(t, "eval-images", append(strings.Fields(words.Replace(c.args)), "--sdk-repository", "file://"+sdk, "--sdk-ref", "main",
				"--base-image-template", host+"/there/{instance_id}:latest", "--max-retries", "0",
				"--instance-ids", "django__django-11133,django__django-11179,sympy__sympy-20590")...)
			p.Env[0] = "PATH=" + bin + ":" + os.Getenv("PATH")
			out, _ := p.CombinedOutput()
			if said.Load() != c.says {
				t.Errorf("it says so: %v, want %v:\n%s", said.Load(), c.says, out)
			}
		})
	}
}
