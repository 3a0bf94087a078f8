package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// begunRecord is the record of a run that has found its two targets, and what the run has said.
type begunRecord struct {
	*record
	work    *workspace
	targets []plan.Target
	said    bytes.Buffer
}

func beginRecord(t *testing.T) *begunRecord {
	t.Helper()
	r := &begunRecord{work: &workspace{root: t.TempDir()}}
	for _, id := range []string{"a__a-1", "b__b-1"} {
		r.targets = append(r.targets, plan.Target{InstanceID: id, BaseImage: "hub.test/" + id, Tags: []string{"images.test/eval:" + id}})
	}
	r.record = newRecord(Process{Stdout: &r.said}, nil)
	r.facts.Planned, r.facts.PlannedTotal = len(r.targets), len(r.targets)
	c := config.Config{BuildDir: "builds", Dataset: "a/b", Split: "test", MaxWorkers: 1}
	if err := openRecord(c, r.work, r.record); err != nil {
		t.Fatal(err)
	}
	return r
}

// allBuilt records that the images of all targets are there.
func (r *begunRecord) allBuilt(t *testing.T) {
	t.Helper()
	for _, target := range r.targets {
		r.Ended(t.Context(), &outcome.Outcome{
			Target: target, Tags: target.Tags, Digest: "sha256:" + strings.Repeat("0", 64), Strategy: outcome.Rebase,
			Attempts: make([]outcome.Attempt, 1), Started: time.Now(), Finished: time.Now(),
		})
	}
}

// A ledger that takes no lines fails the run whose images are all there, unless it takes them at the end.
func TestRunWhoseLedgerTakesNoLines(t *testing.T) {
	cases := []struct {
		name    string
		recover bool
		want    int
		lines   int
		verdict string
	}{
		{"to_the_end", false, ExitFailed, 0, "❌ The record of this run is incomplete. All 2 images exist"},
		{"for_a_while", true, ExitOK, 2, "✅ All 2 images exist"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !inChild(t) {
				return
			}
			r := beginRecord(t)
			lift := limitFiles(t, 100) // bytes, less than a line has
			r.allBuilt(t)
			if c.recover {
				lift()
			}
			code := r.finish(t.Context(), r.work, r.targets, nil)
			lift()
			if code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			entries, err := ledger.Read(filepath.Join(r.work.folder, ledger.FileName))
			if err != nil || len(entries) != c.lines {
				t.Errorf("the ledger has %d lines (%v), want %d", len(entries), err, c.lines)
			}
			said := r.said.String()
			if !strings.Contains(said, "\n"+c.verdict) {
				t.Errorf("the summary does not begin with %q:\n%s", c.verdict, said)
			}
			if n := strings.Count(said, "warning: ledger: "); n != 1 {
				t.Errorf("%d warnings while images were made, want one", n)
			}
			if _, err := os.Stat(filepath.Join(r.work.folder, ledger.SummaryFileName)); (err == nil) != c.recover {
				t.Errorf("the summary's file: %v", err)
			}
		})
	}
}

// inChild runs the test in a process of its own, and fails with it. It tells whether this is that process. What changes a
// whole process, such as a limit, would reach the log that go test keeps of a test's files.
func inChild(t *testing.T) bool {
	t.Helper()
	const mark = "EVAL_IMAGES_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	child.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("the child process ended with %v:\n%s", err, out)
	}
	return false
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

// A worker may end an image when the report has recorded it as unfinished.
func TestAnImageHasOneEntry(t *testing.T) {
	r := beginRecord(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.addUnfinished(ctx, r.targets)
	r.allBuilt(t)
	if code := r.finish(ctx, r.work, r.targets, context.Canceled); code != ExitCancelled {
		t.Errorf("exit code %d, want %d", code, ExitCancelled)
	}
	entries, err := ledger.Read(filepath.Join(r.work.folder, ledger.FileName))
	summary, _, _ := left(t, r.work.folder)
	if err != nil || len(entries) != len(r.targets) || summary.Total != len(r.targets) || summary.Failed != len(r.targets) {
		t.Errorf("the ledger has %d lines (%v), and the summary %d images, of which %d failed; want %d", len(entries), err, summary.Total, summary.Failed, len(r.targets))
	}
}

// A log says each minute what the run is at, from its set-up on.
func TestHeartbeatOfARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := beginRecord(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.console.Run(ctx)
		minute := func() error {
			time.Sleep(time.Minute)
			synctest.Wait()
			return nil
		}
		_ = r.timed("environment", minute)
		_ = r.timed("build", func() error {
			r.Doing(r.targets[0], "pushing", "sha256:0123456789abcdef")
			r.Copying("sha256:0123456789abcdef", 0, 80_000_000)
			return minute()
		})
		r.Copying("sha256:0123456789abcdef", 80_000_000, 80_000_000)
		r.Pausing("ghcr.io", 2*time.Minute)
		_ = minute()
		for _, want := range []string{
			"in environment (1m 00s)\n", "copying sha256:0123456789ab for a__a-1: 0B of 80MB (1m 00s)\n",
			"1 pushing; ghcr.io asks to wait for another 1m 00s\n",
		} {
			if !strings.Contains(r.said.String(), "; "+want) {
				t.Errorf("the log does not say %q:\n%s", want, &r.said)
			}
		}
	})
}

// A run is compared with the older one in its folder, or with the one that is given; a file that cannot be read is only warned of.
func TestRunIsComparedWithAnEarlierOne(t *testing.T) {
	older := beginRecord(t)
	older.Ended(t.Context(), &outcome.Outcome{Target: older.targets[1], Err: errors.New("x"), Started: time.Now(), Finished: time.Now()})
	older.finish(t.Context(), older.work, older.targets, nil)
	cases := []struct{ name, given, says, newlyBuilt string }{
		{"the folder's", "", ": 1 newly built, 0 newly failing\n", "b__b-1"},
		{"another", "one.json", ": 1 newly built, 0 newly failing\n", "a__a-1"},
		{"none", "none.json", "previous-summary: reading none.json: no such file or directory. Nothing is compared with it.\n", ""},
		{"of another form", "odd.json", "previous-summary: invalid character", ""},
	}
	one := `{"started_at": "2026-11-24T12:00:00Z", "failed_builds": [{"instance_id": "a__a-1"}], "run": {"dataset": "", "split": ""}}`
	err := errors.Join(os.WriteFile(filepath.Join(older.work.root, "one.json"), []byte(one), 0o600), os.WriteFile(filepath.Join(older.work.root, "odd.json"), []byte("odd"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &begunRecord{work: &workspace{root: older.work.root}, targets: older.targets}
			r.record = newRecord(Process{Stdout: &r.said}, nil)
			r.facts.Planned, r.facts.PlannedTotal = len(r.targets), len(r.targets)
			settings := config.Config{BuildDir: "builds", Dataset: "a/b", Split: "test", MaxWorkers: 1, PreviousSummary: c.given}
			if err := openRecord(settings, r.work, r.record); err != nil {
				t.Fatal(err)
			}
			r.allBuilt(t)
			if code := r.finish(t.Context(), r.work, r.targets, nil); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			if said := r.said.String(); !strings.Contains(said, c.says) {
				t.Errorf("the log does not say %q:\n%s", c.says, said)
			}
			if c.newlyBuilt != "" && !slices.Equal(r.comparison.NewlyBuilt, []string{c.newlyBuilt}) {
				t.Errorf("newly built: %v, want %s", r.comparison.NewlyBuilt, c.newlyBuilt)
			}
		})
	}
}
