package pipeline

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// A ledger that takes no lines fails the run whose images are all there, unless it takes them at the end.
func TestRunWhoseLedgerTakesNoLines(t *testing.T) {
	cases := []struct {
		name    string
		recover bool
		want    int
		lines   int
		verdict string
	}{
		{"to the end", false, ExitFailed, 0, "❌ **The record of this run is incomplete.** **All 2 images are there**"},
		{"for a while", true, ExitOK, 2, "✅ **All 2 images are there**"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			targets := h.prepare(t)
			r := h.newRun(t, false)
			lift := limitFiles(t, 700) // bytes, less than a line has
			err := h.begin(t, r, targets)
			if c.recover {
				lift()
			}
			code := r.exit(t, err)
			lift()
			if code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			entries, err := ledger.Read(filepath.Join(r.folder, ledger.FileName))
			if err != nil || len(entries) != c.lines {
				t.Errorf("the ledger has %d lines (%v), want %d", len(entries), err, c.lines)
			}
			said := r.said.String()
			if !strings.Contains(said, "\n\n"+c.verdict) {
				t.Errorf("the summary does not begin with %q:\n%s", c.verdict, said)
			}
			if n := strings.Count(said, "warning: ledger: "); n != 1 {
				t.Errorf("%d warnings while images were made, want one", n)
			}
			if _, err := os.Stat(filepath.Join(r.folder, ledger.SummaryFileName)); (err == nil) != c.recover {
				t.Errorf("the summary's file: %v", err)
			}
		})
	}
}

// limitFiles lets no file of this process grow beyond size bytes until lift is called, as a full disk does.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ) // as main does
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	lift = func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) }
	t.Cleanup(lift)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	return lift
}
