package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// What limited a run is said of builds of at least this many seconds, when images waited for one thing for at least this share of it.
const (
	shortestBuild = 10
	limitingShare = 0.5
	// goesOn is the share in which images waited for something else when none waited for a worker.
	goesOn = 0.3
)

// verifying is the wait of the run for its verification, when all images have ended.
const verifying = "verifying"

// Limit says in Markdown what limited a run, and which input changes that: what images waited for most of the build. It is empty where
// the record does not tell. A merged record is of several builds.
func Limit(s ledger.Summary, entries []ledger.Entry) string {
	i := slices.IndexFunc(s.Run.Phases, func(p ledger.Phase) bool { return p.Name == ledger.BuildPhase })
	if i < 0 || s.Run.MergedFrom > 0 {
		return ""
	}
	build := s.Run.Phases[i]
	if build.StartedAt == nil || build.Seconds < shortestBuild {
		return ""
	}
	waits := waitsOf(s, entries)
	share := func(periods []period) float64 { return covered(periods) / build.Seconds }
	most := ""
	for _, wait := range []string{verifying, outcome.WaitingForTurn, outcome.Prune, outcome.WaitingToPush, outcome.WaitingForDelta} {
		if share(waits[wait]) >= max(limitingShare, share(waits[most])) {
			most = wait
		}
	}
	// References, too, wait for workers. So the other wait counts only where it went on for long when nobody waited for a worker.
	workers := waits[outcome.WaitingToBuild]
	if share(workers) >= limitingShare && share(slices.Concat(workers, waits[most]))-share(workers) < goesOn {
		most = outcome.WaitingToBuild
	}
	of := fmt.Sprintf("for %.0f %% of the build", math.Min(100, 100*share(waits[most])))
	switch most {
	case verifying:
		return "The verification went on " + of + " when all images had ended: a smaller `verify` shortens that."
	case outcome.WaitingForTurn:
		return "The first image went alone " + of + ", because it builds what all images share: a `builder` that keeps its cache shortens that."
	case outcome.Prune:
		return "Builds waited for room on the disk " + of + ": a larger disk or a smaller `max-workers` changes that."
	case outcome.WaitingToPush:
		return "Images waited to be pushed " + of + asksToSlowDown(s.Run) + ": the registry takes only so many writes. Another one in `image` may take more."
	case outcome.WaitingForDelta:
		return "Images waited for the references " + of + ": a `builder` that keeps its cache makes them faster, and the next run of this SDK commit finds them in the registry."
	case outcome.WaitingToBuild:
		return "Images waited for one of " + plural(s.Run.Workers, "worker", "workers") + " " + of + "; " + mostWork(s, entries) + "."
	}
	return ""
}

// mostWork says what the workers did most of the time, and what changes that.
func mostWork(s ledger.Summary, entries []ledger.Entry) string {
	took := map[string]float64{}
	count := func(spans []ledger.Span) {
		for _, span := range spans {
			if strings.HasPrefix(string(span.Slot), "build ") {
				took[span.Phase] += span.Seconds
			}
		}
	}
	for _, e := range entries {
		count(e.Spans)
	}
	for _, w := range s.Run.Beside {
		count(w.Spans)
	}
	native := took[outcome.NativeBuild] + took[outcome.BaseStage]
	bases := took[outcome.EvalBase] + took[outcome.PipBase]
	if bases > native {
		return "they mostly made eval-bases, for which the builder pulls base images: a larger `max-workers`, or a mirror in `buildkitd-config-inline`, changes that"
	}
	return "they mostly built natively, which takes CPU and disk: a larger `max-workers` or a larger runner changes that"
}

func asksToSlowDown(run ledger.Run) string {
	n := run.AskedAgain[string(failure.ClassRateLimit)]
	if n == 0 {
		return ""
	}
	return ", and the registry asked " + plural(n, "time", "times") + " to slow down"
}

// period is a time from begin to end.
type period struct{ begin, end time.Time }

// waitsOf are the times in which images waited, by what they waited for.
func waitsOf(s ledger.Summary, entries []ledger.Entry) map[string][]period {
	waits := map[string][]period{}
	var last time.Time
	for _, e := range entries {
		for _, span := range e.Spans {
			waits[span.Phase] = append(waits[span.Phase], period{span.StartedAt, span.End()})
			if span.End().After(last) {
				last = span.End()
			}
		}
	}
	for _, p := range s.Run.Phases {
		if p.Name == ledger.VerifyPhase && !last.IsZero() { // one that ended before covers nothing
			waits[verifying] = []period{{last, p.End()}}
		}
	}
	return waits
}

// covered is how many seconds lie in at least one of the periods.
func covered(periods []period) (seconds float64) {
	slices.SortFunc(periods, func(a, b period) int { return a.begin.Compare(b.begin) })
	var until time.Time
	for _, p := range periods {
		if p.begin.Before(until) {
			p.begin = until
		}
		if p.end.After(p.begin) {
			seconds, until = seconds+p.end.Sub(p.begin).Seconds(), p.end
		}
	}
	return seconds
}
