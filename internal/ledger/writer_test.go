package ledger

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *Writer {
	t.Helper()
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// files are the texts in dir by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	listed, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range listed {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[f.Name()] = string(text)
	}
	return found
}

func TestAppendFromManyGoroutines(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	want := map[string]bool{}
	var all sync.WaitGroup
	for i := range 200 {
		id := fmt.Sprintf("repo__name-%d", i)
		want[id] = true
		all.Go(func() {
			if err := w.Append(Entry{InstanceID: id, Error: Text(strings.Repeat("long ", 2000))}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	entries, err := Read(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range entries {
		got[e.InstanceID] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(entries) != 200 {
		t.Errorf("%d entries, %s", len(entries), diff)
	}
}

// A line is in the file when Append returns, for a run may be killed at any moment.
func TestAppendIsThereAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	for n := 1; n <= 3; n++ {
		if err := w.Append(Entry{InstanceID: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
		if entries, err := Read(filepath.Join(dir, FileName)); err != nil || len(entries) != n {
			t.Errorf("after %d: %d entries, %v", n, len(entries), err)
		}
	}
}

// Python's splitlines, which reads our ledger, ends a line at any of these.
func TestNoLineBreakInALine(t *testing.T) {
	breaks := "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029"
	line, err := encode(Entry{InstanceID: breaks, Error: Text(breaks), Tags: []string{breaks}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(line), breaks) {
		t.Errorf("a break in %q", line)
	}
	path := filepath.Join(t.TempDir(), FileName)
	write(t, path, string(line)+"\n")
	entries, err := Read(path)
	if err != nil || len(entries) != 1 || string(entries[0].Error) != breaks {
		t.Errorf("read back %+v, %v", entries, err)
	}
}

func TestInvalidUTF8(t *testing.T) {
	line, err := encode(Entry{Error: "a\xffb"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(line), `"error":"a\ufffdb"`) {
		t.Errorf("%s", line)
	}
}

func TestRead(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string
		err        string
	}{
		{"nothing", "", nil, ""},
		{"whole lines", "{\"instance_id\":\"a\"}\n{\"instance_id\":\"b\"}\n", []string{"a", "b"}, ""},
		{"the last line was cut", "{\"instance_id\":\"a\"}\n{\"instance_id\":\"b", []string{"a"}, ""},
		{"the last line lacks only its end", "{\"instance_id\":\"a\"}\n{\"instance_id\":\"b\"}", []string{"a", "b"}, ""},
		{"blank lines", "\n{\"instance_id\":\"a\"}\n\n", []string{"a"}, ""},
		{"a line of a later version", "{\"instance_id\":\"a\",\"schema\":1}\n{\"schema\":2}", []string{"a"}, "reading line 2 of "},
		{"a bad line in the middle", "{\"instance_id\":\"a\"}\nx\n{\"instance_id\":\"b\"}\n", []string{"a"}, "reading line 2 of "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			write(t, path, c.text)
			entries, err := Read(path)
			var got []string
			for _, e := range entries {
				got = append(got, e.InstanceID)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestOpenKeepsOlderRuns(t *testing.T) {
	const record, summary = "{\"started_at\":\"2026-11-20T10:00:00.5Z\"}\n", `{"started_at":"2026-11-20T09:59:00Z"}`
	cases := []struct {
		name         string
		before, want map[string]string
	}{
		{"a new folder", nil, map[string]string{FileName: ""}},
		{
			"named by the summary",
			map[string]string{FileName: record, SummaryFileName: summary},
			map[string]string{FileName: "", "manifest-20261120T095900Z.jsonl": record, "build-summary-20261120T095900Z.json": summary},
		},
		{
			"named by the first record",
			map[string]string{FileName: record},
			map[string]string{FileName: "", "manifest-20261120T100000Z.jsonl": record},
		},
		{
			"named by the file's age",
			map[string]string{FileName: "junk"},
			map[string]string{FileName: "", "manifest-20261123T120000Z.jsonl": "junk"},
		},
		{
			"no name is taken twice",
			map[string]string{FileName: record, "manifest-20261120T100000Z.jsonl": "first", "manifest-20261120T100000Z-2.jsonl": "second"},
			map[string]string{FileName: "", "manifest-20261120T100000Z.jsonl": "first", "manifest-20261120T100000Z-2.jsonl": "second", "manifest-20261120T100000Z-3.jsonl": record},
		},
		{
			"a list of missing images",
			map[string]string{FailedFileName: "a__b-1\n", SummaryFileName: summary},
			map[string]string{FileName: "", "failed-20261120T095900Z.txt": "a__b-1\n", "build-summary-20261120T095900Z.json": summary},
		},
		{
			"a summary alone",
			map[string]string{SummaryFileName: summary},
			map[string]string{FileName: "", "build-summary-20261120T095900Z.json": summary},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dataset", "split")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range c.before {
				path := filepath.Join(dir, name)
				write(t, path, text)
				if err := os.Chtimes(path, noon, noon); err != nil {
					t.Fatal(err)
				}
			}
			open(t, dir)
			if diff := cmp.Diff(c.want, files(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A disk that fills up leaves half a line; the next line must not be added to it.
func TestAppendAfterAFullDisk(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir)
	if err := w.Append(Entry{InstanceID: "a__b-1"}); err != nil {
		t.Fatal(err)
	}
	full(t, uint64(w.size)+10, func() {
		err := w.Append(Entry{InstanceID: "a__b-2"})
		if err == nil || !strings.HasPrefix(err.Error(), "writing the entry of a__b-2: ") {
			t.Errorf("appending to a full disk: %v", err)
		}
	})
	if err := w.Append(Entry{InstanceID: "a__b-3"}); err != nil {
		t.Fatal(err)
	}
	entries, err := Read(filepath.Join(dir, FileName))
	if err != nil || len(entries) != 2 || entries[1].InstanceID != "a__b-3" {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// full calls do while no file of this process can grow beyond size bytes.
func full(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	do()
}

func TestWriteJSONReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	write(t, path, strings.Repeat("old", 100))
	if err := WriteJSON(path, map[string]string{"new": "<a & b>"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"x.json": "{\n  \"new\": \"<a & b>\"\n}\n"}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v; later steps are not root", info.Mode(), err)
	}
	if err := WriteJSON(path, func() {}); err == nil {
		t.Error("what has no JSON form was written")
	}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("after a failure: %s", diff)
	}
}
