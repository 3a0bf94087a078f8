package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// serve answers like ghcr.io where the registry behind would not. That is usually the in-process registry of
// go-containerregistry, which has one store of blobs for all repositories, mounts nothing and accepts every manifest.
func (g *GitHub) serve(w *statusRecorder, r *http.Request) {
	repository, kind, name := split(r.URL.Path)
	digest := r.URL.Query().Get("digest")
	mount, from := r.URL.Query().Get("mount"), r.URL.Query().Get("from")
	switch {
	case kind == "manifests" && r.Method == http.MethodDelete && !g.Deletes:
		writeError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.", nil)
	case kind == "manifests" && r.Method == http.MethodPut:
		g.manifest(w, r, repository)
	case kind == "uploads" && r.Method == http.MethodPost && mount != "" && !g.NoMounts && g.has(from, mount):
		g.add(repository, mount)
		w.Header().Set("Docker-Content-Digest", mount)
		w.WriteHeader(http.StatusCreated)
	case kind == "uploads" && r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case kind == "blobs" && r.Method != http.MethodDelete && !g.has(repository, name):
		writeError(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry", nil)
	default:
		g.next.ServeHTTP(w, r)
		if digest != "" && w.status() == http.StatusCreated {
			g.add(repository, digest)
		}
	}
}

// manifest passes a manifest on if the repository has all its blobs.
func (g *GitHub) manifest(w http.ResponseWriter, r *http.Request, repository string) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error(), nil)
		return
	}
	var m struct {
		Config *descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		writeError(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error(), nil)
		return
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, blob := range m.Layers {
		if len(blob.URLs) == 0 && !g.Lax && !g.has(repository, blob.Digest) {
			writeError(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry",
				map[string]string{"digest": blob.Digest})
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	g.next.ServeHTTP(w, r)
}

type descriptor struct {
	Digest string
	URLs   []string
}

// Forget removes a blob from a repository, like a registry's garbage collector.
func (g *GitHub) Forget(repository, digest string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.blobs, repository+"@"+digest)
}

func (g *GitHub) has(repository, digest string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blobs[repository+"@"+digest]
}

func (g *GitHub) add(repository, digest string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blobs[repository+"@"+digest] = true
}

// split returns the repository of a path, the kind of its resource (manifests, blobs, uploads, or ""), and the rest.
func split(path string) (repository, kind, name string) {
	path = strings.TrimPrefix(path, "/v2/")
	for _, part := range []struct{ separator, kind string }{
		{"/blobs/uploads/", "uploads"}, {"/blobs/", "blobs"}, {"/manifests/", "manifests"},
	} {
		if repository, name, found := strings.Cut(path, part.separator); found {
			return repository, part.kind, name
		}
	}
	return path, "", ""
}

func writeError(w http.ResponseWriter, status int, code, message string, detail any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"errors": []any{map[string]any{"code": code, "message": message, "detail": detail}},
	})
}
