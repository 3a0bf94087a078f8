package e2e

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

var (
	more = flag.Bool("more", false, "have more odd bases in TestRebase; make soak sets it")
	seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments at which runs are killed")
)

// killRandomly ends runs for a new commit of the SDK by SIGKILL, at random moments: before or during the references, and
// during the rebases. Every image in the registry is complete at any time, and the next undisturbed run makes the
// missing ones on the existing eval-bases. The soak does this for half an hour.
func (s *series) killRandomly(t *testing.T) {
	t.Logf("to have the same moments again: -seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	step := s.step(t, s.ids, map[string]string{"verify": "0"})
	sdk := checkedOut(t, &step)
	git(t, sdk, "commit", "--quiet", "--allow-empty", "--message", "one more")
	read := map[string]bool{}
	for _, moment := range []struct {
		after  string
		within time.Duration
	}{{"the registry accepts pushes", 15 * time.Second}, {"[2/6] ", 1500 * time.Millisecond}} {
		killAfter(t, step, moment.after, time.Duration(random.Int64N(int64(moment.within))))
		complete(t, s.repo, read)
	}
	got := start(t, step).Wait()
	s.checkUndisturbed(t, got)
	if tags := complete(t, s.repo, read); tags < 2*len(s.ids) {
		t.Errorf("the repository has %d tags", tags)
	}
}

// checkUndisturbed checks an undisturbed run after killed ones.
func (s *series) checkUndisturbed(t *testing.T, got runner.Result) {
	t.Helper()
	checkOutputs(t, got, 0, map[string]string{"total": "6", "failed": "0"})
	told := facts(t, s.workspace, got)
	if told.EvalBasesMade != 0 {
		t.Errorf("%d eval-bases were made for a new commit, want none", told.EvalBasesMade)
	}
	lines := ledger(t, s.workspace, got)
	rebased := made(lines, "rebase")
	if len(rebased) > 0 && (len(told.References) != 2 || told.EvalBasesReused < len(rebased)) {
		t.Errorf("%d images were rebased with %+v; want 2 references, and eval-bases that are there", len(rebased), told)
	}
	for id, l := range lines {
		if l.Status == "failed" || digestInRegistry(t, s.repo, tagOf(l.Tags[0])) != l.Digest {
			t.Errorf("%s: %+v; want it there", id, l)
		}
	}
}

// killAfter starts a run, waits for a text in its log, and kills it some time later.
func killAfter(t *testing.T, step runner.Step, after string, later time.Duration) {
	t.Helper()
	log, seen := runner.Watch(step.Log, after)
	step.Log = log
	run := start(t, step)
	ended := make(chan struct{})
	go func() {
		run.Wait()
		close(ended)
	}()
	select {
	case <-seen:
		time.Sleep(later)
	case <-ended:
	}
	_, err := command("docker", "kill", "--signal", "KILL", run.Container)
	got := run.Wait()
	t.Logf("killed %s after %q (%v): exit code %d", later, after, err, got.ExitCode)
	if err == nil && got.ExitCode != 137 {
		t.Errorf("a killed run ended with %d", got.ExitCode)
	}
	if err != nil && !strings.Contains(got.Log, after) {
		t.Errorf("the run ended before it came to %q", after)
	}
}
