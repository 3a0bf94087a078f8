package dataset

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// A server that ignores Range sends the whole file, and that is read.
func TestServerWithoutRange(t *testing.T) {
	h := hubtest.New(t)
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	h.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{hubtest.Parquet(t, instances(ids))}})
	h.Fault = func(place string, _ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil)
	if err != nil || len(list.Rows) != 500 {
		t.Fatalf("%d rows, error %v", len(list.Rows), err)
	}
	if asked := h.Asked(); asked[len(asked)-1].Place != hubtest.Storage || len(asked) != 3 {
		t.Errorf("asked %+v, want the file once", asked)
	}
}

// Answers to Range that are not what was asked for make the file useless, not its ids wrong.
func TestWrongParts(t *testing.T) {
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	file := hubtest.Parquet(t, instances(ids))
	part := func(w http.ResponseWriter, value string, body []byte) {
		w.Header().Set("Content-Range", value)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(body)
	}
	size := len(file)
	cases := map[string]func(w http.ResponseWriter, r *http.Request){
		"another part than said": func(w http.ResponseWriter, r *http.Request) {
			part(w, fmt.Sprintf("bytes %d-%d/%d", size-10, size-1, size), file[size-9:])
		},
		"not the end":      func(w http.ResponseWriter, r *http.Request) { part(w, fmt.Sprintf("bytes 0-9/%d", size), file[:10]) },
		"no size":          func(w http.ResponseWriter, r *http.Request) { part(w, "bytes 0-9/*", file[:10]) },
		"no Content-Range": func(w http.ResponseWriter, r *http.Request) { part(w, "", file[:10]) },
		"a file that changes": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", fmt.Sprintf("%q", r.Header.Get("Range")))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		},
		"the start, always": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
				return
			}
			part(w, fmt.Sprintf("bytes 0-99/%d", size), file[:100])
		},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			h := hubtest.New(t)
			d := hubtest.Whole(t, "test", ids)
			d.Files = [][]byte{file}
			h.Add("a/b", d)
			h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
				if place == hubtest.Storage {
					answer(w, r)
				}
				return place == hubtest.Storage
			}
			reader, _ := readerOf(t, h)
			list, err := reader.Read(t.Context(), "a/b", "test", nil)
			if err != nil || list.From != "the hub's dataset server" {
				t.Fatalf("from %q, warnings %q, error %v", list.From, list.Warnings, err)
			}
			if diff := cmp.Diff(ids, IDs(list.Rows)); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

// Damaged files of every sort end in an error, whatever the library does with them.
func TestDamagedParquet(t *testing.T) {
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	whole := hubtest.Parquet(t, instances(ids[:50]))
	damaged := map[string][]byte{
		"empty": {}, "four bytes": []byte("PAR1"), "truncated": whole[:len(whole)/2], "without its end": whole[:len(whole)-1],
		"something else": bytes.Repeat([]byte("no parquet "), 1000),
	}
	for i := range 40 {
		flipped := bytes.Clone(whole)
		for j := len(flipped) - 8 - 53*(i+1); j < len(flipped)-8; j += 53 {
			flipped[j] ^= 0xff
		}
		damaged[fmt.Sprint("footer ", i)] = flipped
	}
	for name, file := range damaged {
		t.Run(name, func(t *testing.T) {
			rows, err := readParquet(bytes.NewReader(file), int64(len(file)), "a/b", nil)
			if err == nil && !slices.Equal(IDs(rows), ids[:50]) {
				t.Errorf("read %d rows", len(rows))
			}
		})
	}
	if _, err := readParquet(bytes.NewReader(damaged["truncated"]), int64(len(damaged["truncated"])), "a/b", nil); err == nil {
		t.Error("a truncated file was read")
	}
}
