package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Comparison is what has changed since an earlier run, as far as its summary tells: that names the images that were missing and the
// slowest ones, and not the others.
type Comparison struct {
	// StartedAt, SDK and URL say which run it was.
	StartedAt time.Time
	SDK       string
	URL       Text

	Missing int
	Seconds float64

	// NewlyFailing has only images of which the earlier summary tells that they existed.
	NewlyFailing, NewlyBuilt []string
	Slower, Faster           []Change
}

// Change is a time that has changed: that of an image, or without an InstanceID the median of the images that were made in one way.
type Change struct {
	InstanceID  string
	Strategy    Text
	Before, Now float64 // seconds
}

// A time has changed when it is so many times as long or as short, and so many seconds longer or shorter. One runner is half as fast as
// the next.
const (
	changeFactor  = 1.5
	changeSeconds = 5
)

// fewestCompared is how many images a median needs.
const fewestCompared = 5

// Compare compares a run and its entries with an earlier run of the same plan. The error says why that cannot be done.
func Compare(before, now Summary, entries []Entry) (*Comparison, error) {
	for _, fact := range []struct{ name, before, now string }{
		{"benchmark", before.Run.Benchmark, now.Run.Benchmark},
		{"dataset", before.Run.Dataset, now.Run.Dataset},
		{"split", before.Run.Split, now.Run.Split},
		{"shard", string(before.Run.Shard), string(now.Run.Shard)},
	} {
		if fact.before != fact.now {
			return nil, fmt.Errorf("the runs differ in %s: %q and %q", fact.name, fact.before, fact.now)
		}
	}
	c := &Comparison{
		StartedAt: before.StartedAt, SDK: cmp.Or(string(before.Run.SDKSHA), before.Run.SDKRef), URL: before.Run.URL,
		Missing: before.Missing(), Seconds: before.WallClockSeconds,
	}
	missing, took := map[string]bool{}, map[string]float64{}
	for _, f := range before.FailedBuilds {
		missing[f.InstanceID] = true
	}
	for _, b := range before.SlowestBuilds {
		took[b.InstanceID] = b.DurationSeconds
	}
	// The images that an earlier run of as many images does not call missing existed, if it names all that were missing.
	othersExisted := before.Total == now.Total && before.Missing() == len(missing)
	for _, e := range entries {
		existed := othersExisted && !missing[e.InstanceID] || took[e.InstanceID] > 0
		switch failed := e.Status == outcome.Failed; {
		case failed && existed && !failure.Class(e.ErrorClass).Untried():
			c.NewlyFailing = append(c.NewlyFailing, e.InstanceID)
		case !failed && missing[e.InstanceID]:
			c.NewlyBuilt = append(c.NewlyBuilt, e.InstanceID)
		}
		if e.Status == outcome.Built && e.DurationSeconds != nil && took[e.InstanceID] > 0 {
			c.add(Change{InstanceID: e.InstanceID, Before: took[e.InstanceID], Now: *e.DurationSeconds})
		}
	}
	for _, strategy := range []Text{outcome.Rebase, outcome.Native} {
		a, b := before.TimesByStrategy[strategy], now.TimesByStrategy[strategy]
		if a.Images >= fewestCompared && b.Images >= fewestCompared {
			c.add(Change{Strategy: strategy, Before: a.P50, Now: b.P50})
		}
	}
	slices.Sort(c.NewlyFailing)
	slices.Sort(c.NewlyBuilt)
	return c, nil
}

// add adds a change, if it is one.
func (c *Comparison) add(change Change) {
	switch difference := change.Now - change.Before; {
	case difference >= changeSeconds && change.Now >= changeFactor*change.Before:
		c.Slower = append(c.Slower, change)
	case -difference >= changeSeconds && change.Before >= changeFactor*change.Now:
		c.Faster = append(c.Faster, change)
	}
}
