package pipeline

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// run is everything that the phases share.
type run struct {
	actions *actions.Runner
	environ []string
	stdout  *report.Screen
	config  config.Config
	targets []plan.Target // with tags once the SDK has named them

	workspace string // what paths in the report are relative to
	folder    string // ledger, summary and lock file
	logs      string // logs of the images and of the set-up
	temporary string // checkout, environment, sdist, credentials: gone when the run ends
	setupLog  *os.File

	commands sdk.Commands
	registry *registry.Client
	builder  builder
	disk     *disk // nil until there is a builder
	expected int   // images that have not ended, for the disk
	console  *report.Console
	ledger   *ledger.Writer

	checkout    sdk.Checkout
	description sdk.Description
	sdist       sdk.Sdist
	python      string // the interpreter that the SDK's build module runs in

	mu      sync.Mutex
	facts   ledger.Run
	entries []ledger.Entry
	lost    []ledger.Entry // those that the ledger did not take
	closed  bool           // the report is being written: what ends later is not in it
}

// learn changes what the report will say of the run.
func (r *run) learn(change func(*ledger.Run)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		change(&r.facts)
	}
}

// warn tells the user now and in the report.
func (r *run) warn(message string) {
	r.actions.Warning("eval-images", message)
	r.learn(func(f *ledger.Run) { f.Warnings = append(f.Warnings, message) })
}

// phase times one part of the run, also when it fails.
func (r *run) phase(name string, do func() error) error {
	begin := time.Now()
	err := do()
	seconds := time.Since(begin).Seconds()
	r.learn(func(f *ledger.Run) { f.Phases = append(f.Phases, ledger.Phase{Name: name, Seconds: seconds}) })
	if err == nil {
		r.actions.Info(fmt.Sprintf("%s took %.1f s", name, seconds))
	}
	return err
}

// group folds what is printed until the function that it returns is called.
func (r *run) group(title string) (end func()) {
	r.actions.Group(title)
	return r.actions.EndGroup
}

// record takes down a target's outcome: in the ledger, in the log, and as an annotation when it failed.
func (r *run) record(outcome build.Outcome) {
	entry := ledger.FromOutcome(outcome)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.entries = append(r.entries, entry)
	r.console.Finished(outcome)
	if err := r.ledger.Append(entry); err != nil {
		if len(r.lost) == 0 { // a full disk takes none of the next ones either
			r.actions.Warning("ledger", "The ledger cannot be written; it is tried again at the end: "+described(writing(err)))
		}
		r.lost = append(r.lost, entry)
	}
	// A cancel says itself why what it cut off has failed.
	if class := build.ClassOf(outcome.Err); outcome.Status() == build.Failed && class != build.ClassCancelled {
		message := fmt.Sprintf("%s: %v\nhint: %s", class, outcome.Err, build.Hint(class))
		if outcome.Result.LogPath != "" {
			message += "\nlog: " + outcome.Result.LogPath
		}
		r.actions.Error(entry.InstanceID, message)
	}
}
