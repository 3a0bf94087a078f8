package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// timeline has times since the start of a run.
type timeline struct {
	// builds is when the first image could begin, last when all existed, and whole the end of the run.
	builds, last, whole time.Duration
}

// The phases in which images are made. The other phases precede them or run beside each other.
const (
	buildPhase      = "build"
	referencesPhase = "references"
	verifyPhase     = "verify"
)

// making is the time from the first image to the last. It excludes later verification.
func (l timeline) making() time.Duration { return l.last - l.builds }

// readTimeline reads a run's summary and ledger.
func readTimeline(workspace string, got runner.Result, phases []phase) (l timeline, err error) {
	var summary struct {
		Started  time.Time `json:"started_at"`
		Finished time.Time `json:"finished_at"`
	}
	if err := readJSON(workspace, got.Outputs["summary"], &summary); err != nil {
		return l, err
	}
	l.whole = summary.Finished.Sub(summary.Started)
	l.builds = l.whole - byName(phases)[buildPhase] // nothing but the report comes after it
	err = readLedger(workspace, got, func(e entry) { l.last = max(l.last, e.Finished.Sub(summary.Started)) })
	return l, err
}

// entry is a line of the ledger.
type entry struct {
	InstanceID string    `json:"instance_id"`
	Strategy   string    `json:"strategy"`
	Finished   time.Time `json:"finished_at"`
}

// readLedger calls look for each of a run's entries.
func readLedger(workspace string, got runner.Result, look func(entry)) error {
	file, err := os.Open(filepath.Join(workspace, got.Outputs["manifest"]))
	if err != nil {
		return fmt.Errorf("reading a run's ledger: %w", err)
	}
	defer file.Close()
	for lines := json.NewDecoder(file); ; {
		var e entry
		if err := lines.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a run's ledger: %w", err)
		}
		look(e)
	}
}

// table shows the phases of a run with strategy rebase, and which of them are on the critical path.
func (l timeline) table(phases []phase) table {
	t := table{header: []string{"Phase", "Took", "On the critical path"}}
	took := byName(phases)
	rest := l.builds
	var path []string
	for _, p := range phases {
		if slices.Contains([]string{buildPhase, referencesPhase, verifyPhase}, p.name) {
			continue
		}
		if shorter(p, took) {
			t.row(p.name, seconds(p.took), "")
			continue
		}
		rest -= p.took
		path = append(path, p.name)
		t.row(p.name, seconds(p.took), "yes")
	}
	path = append(path, referencesPhase, "rebase")
	t.row("other, before the first image", seconds(max(0, rest)), "yes")
	t.row(referencesPhase, seconds(took[referencesPhase]), "yes")
	t.row("rebase, after the references", seconds(max(0, l.making()-took[referencesPhase])), "yes")
	t.row("from start to last image", seconds(l.last), "")
	t.row("verify, beside and after", seconds(took[verifyPhase]), "")
	t.row("from start to end", seconds(l.whole), "")
	t.note("Critical path: %s.", strings.Join(path, ", "))
	return t
}

// together are phases that run at the same time. Only the longest is on the critical path.
var together = []string{"import", "sdist"}

// shorter reports whether a phase ends before one that runs at the same time.
func shorter(p phase, took map[string]time.Duration) bool {
	return slices.Contains(together, p.name) && slices.ContainsFunc(together, func(other string) bool { return took[other] > p.took })
}
