package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

func TestTimeline(t *testing.T) {
	workspace := t.TempDir()
	for name, text := range map[string]string{
		"s.json":  `{"started_at": "2026-11-24T12:00:00Z", "finished_at": "2026-11-24T12:03:00Z"}`,
		"m.jsonl": "{\"finished_at\": \"2026-11-24T12:00:21Z\"}\n{\"finished_at\": \"2026-11-24T12:02:20.5Z\"}\n{\"finished_at\": null}\n",
		"broken":  "{\"finished_at\": 1}\n",
	} {
		if err := os.WriteFile(filepath.Join(workspace, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	phases := []phase{
		{"checkout", time.Second},
		{"sdist", 3 * time.Second},
		{"import", 8 * time.Second},
		{"resolve-tags", 2 * time.Second},
		{"references", 110 * time.Second},
		{"verify", 60 * time.Second},
		{"build", 160 * time.Second},
	}
	got, err := readTimeline(workspace, runner.Result{Outputs: map[string]string{"summary": "s.json", "manifest": "m.jsonl"}}, phases)
	want := timeline{builds: 20 * time.Second, last: 140500 * time.Millisecond, whole: 3 * time.Minute}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := readTimeline(workspace, runner.Result{Outputs: map[string]string{"summary": "s.json", "manifest": "broken"}}, phases); err == nil {
		t.Error("a ledger that cannot be read is no error")
	}
	shown := got.table(phases)
	rows := [][]string{
		{"checkout", "1.0 s", "yes"},
		{"sdist", "3.0 s", ""},
		{"import", "8.0 s", "yes"},
		{"resolve-tags", "2.0 s", "yes"},
		{"other, before the first image", "9.0 s", "yes"},
		{"references", "110.0 s", "yes"},
		{"rebase, after the references", "10.5 s", "yes"},
		{"from start to last image", "140.5 s", ""},
		{"verify, beside and after", "60.0 s", ""},
		{"from start to end", "180.0 s", ""},
	}
	if diff := cmp.Diff(rows, shown.rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Critical path: checkout, import, resolve-tags, references, rebase."}, shown.notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
