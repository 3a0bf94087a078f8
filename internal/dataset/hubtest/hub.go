// Package hubtest is a Hugging Face hub on loopback for tests: the hub itself, and the storage of another company that the hub
// redirects to. It serves what real clients of these ask for, and counts it.
package hubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Hub is the two servers.
type Hub struct {
	// URL is what HF_ENDPOINT is to be.
	URL string
	// Fault answers in place of a server where it returns true. place is Main or Storage.
	Fault func(place string, w http.ResponseWriter, r *http.Request) bool

	storage string

	mu       sync.Mutex
	datasets map[string]Dataset
	renamed  map[string]string
	asked    []Request
	sent     int64
}

// The places of a Hub.
const Main, Storage = "main", "storage"

// Dataset is one configuration of one.
type Dataset struct {
	Config, Split string
	// Files are parquet files.
	Files [][]byte
}

// Request is one that arrived.
type Request struct{ Place, Path, Range, Authorization string }

// New starts a hub that ends with the test.
func New(t testing.TB) *Hub {
	h := &Hub{datasets: map[string]Dataset{}, renamed: map[string]string{}}
	start := func(place string, serve http.HandlerFunc) string {
		server := httptest.NewServer(h.watched(place, serve))
		t.Cleanup(server.Close)
		return server.URL
	}
	h.URL, h.storage = start(Main, h.serveMain), start(Storage, h.serveStorage)
	return h
}

// Add publishes a dataset under the hub's kind of name, "owner/name".
func (h *Hub) Add(name string, d Dataset) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.datasets[name] = d
}

// Rename gives a dataset another name; the hub redirects from the old one.
func (h *Hub) Rename(from, to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.datasets[to], h.renamed[from] = h.datasets[from], to
	delete(h.datasets, from)
}

// Asked are the requests so far.
func (h *Hub) Asked() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// Sent is how many bytes of bodies both have sent.
func (h *Hub) Sent() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// Parquet writes rows as a parquet file, compressed as the hub's are.
func Parquet[T any](t testing.TB, rows []T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[T](&out, parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Whole is a dataset of nothing but ids.
func Whole(t testing.TB, split string, ids []string) Dataset {
	type row struct {
		ID string `parquet:"instance_id"`
	}
	var rows []row
	for _, id := range ids {
		rows = append(rows, row{id})
	}
	return Dataset{Config: "default", Split: split, Files: [][]byte{Parquet(t, rows)}}
}

type counted struct {
	http.ResponseWriter
	hub *Hub
}

func (w counted) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.sent += int64(n)
	return n, err
}

func (h *Hub) watched(place string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.asked = append(h.asked, Request{place, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization")})
		h.mu.Unlock()
		if w := (counted{w, h}); h.Fault == nil || !h.Fault(place, w, r) {
			serve(w, r)
		}
	}
}

func (h *Hub) find(name string) (Dataset, string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.datasets[name]
	return d, h.renamed[name], ok
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// Refuse answers with an error as the hub does.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	reply(w, status, map[string]string{"error": message})
}

// serveMain knows /api/datasets/OWNER/NAME/parquet[/CONFIG/SPLIT[/N.parquet]].
func (h *Hub) serveMain(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/datasets/"), "/")
	if len(parts) < 3 {
		Refuse(w, http.StatusNotFound, "", "Not found.")
		return
	}
	name, rest := parts[0]+"/"+parts[1], parts[2:]
	d, renamed, ok := h.find(name)
	if renamed != "" {
		http.Redirect(w, r, strings.Replace(r.URL.Path, name, renamed, 1), http.StatusTemporaryRedirect)
		return
	}
	if !ok { // the hub does not tell strangers what does not exist from what is private
		Refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
		return
	}
	var files []string
	for i := range d.Files {
		files = append(files, fmt.Sprintf("%s/api/datasets/%s/parquet/%s/%s/%d.parquet", h.URL, name, d.Config, d.Split, i))
	}
	switch {
	case len(rest) == 1:
		reply(w, http.StatusOK, map[string]map[string][]string{d.Config: {d.Split: files}})
	case rest[1] != d.Config || len(rest) > 2 && rest[2] != d.Split:
		Refuse(w, http.StatusNotFound, "", "Not found.")
	case len(rest) == 3:
		reply(w, http.StatusOK, files)
	default:
		http.Redirect(w, r, fmt.Sprintf("%s/%s/%s?signature=secret", h.storage, name, rest[3]), http.StatusFound)
	}
}

// serveStorage knows /OWNER/NAME/N.parquet, in parts too.
func (h *Hub) serveStorage(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	d, _, _ := h.find(parts[0] + "/" + parts[1])
	n, err := strconv.Atoi(strings.TrimSuffix(parts[2], ".parquet"))
	if err != nil || n >= len(d.Files) || r.URL.Query().Get("signature") != "secret" {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.Files[n]))
}
