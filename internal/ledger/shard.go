package ledger

import (
	"cmp"
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// Shard is one shard of a merged summary. Its counts are those after all of its runs, its time and links those of the last one.
type Shard struct {
	Shard   Text    `json:"shard"`
	Total   int     `json:"total"`
	Built   int     `json:"built"`
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"wall_clock_seconds"`
	// StartedAt is null where it is not known.
	StartedAt *time.Time `json:"started_at"`
	// SetupError is why its last run ended before its builds, or empty.
	SetupError Text `json:"setup_error"`
	URL        Text `json:"run_url"`
	Artifact   Text `json:"artifact"`
}

// Missing counts the images of the shard that do not exist.
func (s Shard) Missing() int { return s.Total - s.Built - s.Skipped }

// Incomplete reports whether images of the shard are missing, or its last run did not come to its builds.
func (s Shard) Incomplete() bool { return s.Missing() > 0 || s.SetupError != "" }

// shardsOf returns the shards of the parts, which are in the order of shards and of their starts.
func shardsOf(parts []Part, entries []Entry) []Shard {
	var shards []Shard
	last := map[Text]int{} // index of a shard
	for _, p := range parts {
		run := p.Summary.Run
		i, found := last[run.Shard]
		if !found {
			i = len(shards)
			last[run.Shard], shards = i, append(shards, Shard{})
		}
		shards[i] = Shard{
			Shard: run.Shard, Total: max(shards[i].Total, run.Planned, len(p.Entries)), Seconds: p.Summary.WallClockSeconds,
			SetupError: run.SetupError, URL: run.URL, Artifact: cmp.Or(run.Artifact, shards[i].Artifact),
		}
		if !run.Started.IsZero() {
			shards[i].StartedAt = &run.Started
		}
		if shards[i].Seconds == 0 {
			shards[i].Seconds = round(run.Finished.Sub(run.Started).Seconds())
		}
	}
	for _, e := range entries {
		switch i, found := last[e.Shard]; {
		case !found:
		case e.Status == outcome.Built:
			shards[i].Built++
		case e.Status == outcome.Skipped:
			shards[i].Skipped++
		}
	}
	return shards
}
