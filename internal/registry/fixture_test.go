package registry

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// serve starts a fake of ghcr.io without a limit on loopback.
func serve(t *testing.T) (g *registrytest.GitHub, host string) {
	t.Helper()
	g = registrytest.New(silent(), 0, 1)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, strings.TrimPrefix(server.URL, "http://")
}

func silent() http.Handler { return inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))) }

// quick returns a client with a short backoff.
func quick() *Client { return quickWith(nil) }

func quickWith(r Reporter) *Client {
	return New(authn.DefaultKeychain, http.DefaultTransport, r).Quick()
}

// imageOf returns a manifest with a config and layers.
func imageOf(t *testing.T, config string, layers ...string) Manifest {
	t.Helper()
	descriptor := func(media types.MediaType, content string) map[string]any {
		return map[string]any{"mediaType": media, "size": len(content), "digest": digest.FromString(content)}
	}
	list := []any{}
	for _, layer := range layers {
		list = append(list, descriptor(types.OCILayer, layer))
	}
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1,
		"config": descriptor(types.OCIConfigJSON, config), "layers": list,
	})
	if err != nil {
		t.Fatal(err)
	}
	return Manifest{string(types.OCIManifestSchema1), raw}
}

func put(t *testing.T, c *Client, repository string, contents ...string) {
	t.Helper()
	for _, content := range contents {
		if _, err := c.PutBlob(t.Context(), repository, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
}

func digestOf(content string) string { return digest.FromString(content).String() }

// faultFunc is a Fault of the fake registry. It reports whether it has answered the request.
type faultFunc = func(w http.ResponseWriter, r *http.Request) bool

// fault answers the first n requests that match with a status.
func fault(n, status int, header map[string]string, matches func(*http.Request) bool) faultFunc {
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !matches(r) {
			return false
		}
		select {
		case <-left:
		default:
			return false
		}
		for key, value := range header {
			w.Header().Set(key, value)
		}
		w.WriteHeader(status)
		return true
	}
}

func method(want, part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == want && strings.Contains(r.URL.Path, part) }
}
