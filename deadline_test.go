package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// finalTag is the short tag of an image. References, base stages and images for comparison have others.
var finalTag = regexp.MustCompile(`^[0-9a-f]{7}-[0-9a-f]{7}-.*-source-minimal$`)

// images counts the images that the registry lists.
func (w *whole) images(t *testing.T) (n int) {
	t.Helper()
	repository, err := name.NewRepository(w.registry + "/eval")
	if err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(repository)
	if answer, is := errors.AsType[*transport.Error](err); err != nil && (!is || answer.StatusCode != http.StatusNotFound) { // nothing was pushed
		t.Fatal(err)
	}
	for _, tag := range tags {
		if finalTag.MatchString(tag) {
			n++
		}
	}
	return n
}

// A run whose deadline comes in the middle leaves its whole record and no process. The next run makes the rest. What both count is
// what the registry lists. On a slow machine the deadline comes in the set-up, and all of that holds too.
func TestDeadlineDuringBuilds(t *testing.T) {
	bin, sdk := standIns(t)
	var all sync.WaitGroup
	for _, phase := range []string{"builds", "verification"} {
		all.Go(func() {
			t.Run(phase, func(t *testing.T) {
				w := newWhole(t, bin, sdk)
				next := exec.Cmd{Path: w.Path, Args: w.Args, Dir: w.Dir, Env: w.Env}
				w.Args = append(w.Args[:len(w.Args):len(w.Args)], "--deadline", "4s")
				w.start(t, phase)
				w.endsWithin(t, time.Minute, 1)
				w.checkNothingLeft(t)
				w.checkCounts(t, "Stopped for the deadline of 4.0s")
				w.Cmd = &next
				w.start(t, "")
				w.endsWithin(t, time.Minute, 0)
				w.checkRecord(t, false)
				w.checkCounts(t, "✅ ")
			})
		})
	}
	all.Wait()
}

// checkCounts checks that the record of a run counts what the registry lists, and that its first line says something.
func (w *whole) checkCounts(t *testing.T, says string) {
	t.Helper()
	texts := w.records(t)
	var summary ledger.Summary
	if err := json.Unmarshal([]byte(texts["summary"]), &summary); err != nil {
		t.Fatal(err)
	}
	if there := w.images(t); summary.Successful != there || summary.Missing() != len(wholeInstances)-there {
		t.Errorf("%d images are there; %d built, %d skipped, %d missing", there, summary.Built, summary.Skipped, summary.Missing())
	}
	if first, _, _ := strings.Cut(texts["step summary"], "\n"); !strings.Contains(first, says) {
		t.Errorf("the first line of the summary does not say %q:\n%s", says, texts["step summary"])
	}
	entries, err := ledger.Read(filepath.Join(w.folder(), ledger.FileName))
	if err != nil || len(entries) != len(wholeInstances) {
		t.Errorf("the ledger has %d images, %v", len(entries), err)
	}
	for _, e := range entries {
		if class := failure.Class(e.ErrorClass); class != "" && class != failure.ClassDeadline && class != failure.ClassNotStarted {
			t.Errorf("%s: %s", e.InstanceID, e.Error)
		}
	}
}
