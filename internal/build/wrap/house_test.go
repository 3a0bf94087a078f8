package wrap

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// house is a registry, a fake docker command, and a builder that wraps with both.
type house struct {
	*Builder
	host   string // the registry's
	docker string // where the fake docker notes how it was called
	got    []plan.Target
	refuse func(path string) int // the status that a request is refused with, or 0
	// answer answers a request in place of the registry where it returns true.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// newHouse has a docker command that notes arguments, environment and standard input, and then runs script.
func newHouse(t *testing.T, script string) *house {
	t.Helper()
	h := &house{docker: t.TempDir(), refuse: func(string) int { return 0 },
		answer: func(http.ResponseWriter, *http.Request) bool { return false }}
	serve := inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := h.refuse(r.URL.Path); status != 0 {
			w.WriteHeader(status)
			return
		}
		if h.answer(w, r) {
			return
		}
		serve.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.host = strings.TrimPrefix(server.URL, "http://")
	fake := "#!/bin/sh\ncd " + h.docker + "\necho \"$*\" >>args\nenv >environ\ncat >recipe\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(h.docker, "docker"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", h.docker+":"+os.Getenv("PATH"))
	keychain, err := registry.WriteConfig(t.TempDir(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	h.Builder = &Builder{
		Next: build.Func(func(_ context.Context, t plan.Target) (build.Result, error) {
			h.got = append(h.got, t)
			return build.Result{Attempts: 1, Tags: t.Tags, Making: time.Hour}, nil
		}),
		Registry: registry.New(keychain, http.DefaultTransport), Image: h.host + "/eval/images",
		Buildx:   native.Buildx{Environ: []string{"PATH=" + os.Getenv("PATH"), "BUILDX_BUILDER=mine", "DOCKER_CONFIG=/private"}},
		LogPath:  func(instance string) string { return filepath.Join(logs, instance+".log") },
		Relative: func(path string) string { return "logs/" + filepath.Base(path) },
	}
	return h
}

// target is one whose base image is in the registry, with the digest that it has there.
func (h *house) target(t *testing.T, id, wrap string) (plan.Target, string) {
	t.Helper()
	reference := h.host + "/hub/" + strings.ToLower(id) + ":latest"
	return plan.Target{InstanceID: id, BaseImage: reference, Wrap: wrap, CustomTag: "c", Tags: []string{"r/i:t"}}, h.push(t, reference)
}

// push puts another image under a reference.
func (h *house) push(t *testing.T, reference string) (digest string) {
	t.Helper()
	image, err := random.Image(64, 1)
	if err == nil {
		err = crane.Push(image, reference)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

func (h *house) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(h.docker, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

func (h *house) log(t *testing.T, id string) string {
	t.Helper()
	content, err := os.ReadFile(h.LogPath(id))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
