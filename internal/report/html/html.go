// Package html makes the report of a run that a browser shows, and its trace.
package html

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

//go:embed page.html.tmpl
var pageText string

//go:embed style.css
var style string

//go:embed script.js
var script string

var page = template.Must(template.New("report.html").Parse(pageText))

// Comparison is what has changed since an earlier run.
type Comparison struct {
	With                     string // says which run it was
	NewlyFailing, NewlyBuilt []string
	Slower, Faster           []Change
}

// Change is an image that took another time than before.
type Change struct {
	InstanceID  string
	Before, Now time.Duration
}

// content is what the page shows.
type content struct {
	Title      string
	Failed     bool
	Verdict    string
	Facts      []fact
	Groups     []group
	Images     []image
	Classes    []string
	Phases     []phase
	Comparison *Comparison
	Timeline   timeline
	Style      template.CSS
	Script     template.JS
	Policy     string
}

type fact struct{ Name, Value string }

// group has the failures of one class.
type group struct {
	Class, Hint string
	Images      []image
}

type image struct {
	ID, Status, Class, Strategy, Took, Shard, Error, Output, Log, Reason, Digest string
	Tags                                                                         []string
	Attempts                                                                     int
}

// phase is a part of the run. A nested one lies inside the build.
type phase struct {
	Name, Took string
	Nested     bool
}

// timeline is what the script draws. Times are in seconds from the start of the run.
type timeline struct {
	Seconds float64    `json:"seconds"`
	Images  []lineOf   `json:"images"`
	Phases  []spanLine `json:"phases"`
}

type lineOf struct {
	ID      string     `json:"id"`
	Outcome string     `json:"outcome"`
	What    string     `json:"what"` // empty for the image itself
	Spans   []spanLine `json:"spans"`
}

type spanLine struct {
	Phase   string  `json:"phase"`
	Kind    string  `json:"kind"`
	Start   float64 `json:"start"`
	Seconds float64 `json:"seconds"`
	Lane    string  `json:"lane"`
}

// Write writes the report of a run. comparison may be nil.
func Write(w io.Writer, s ledger.Summary, entries []ledger.Entry, comparison *Comparison) error {
	c := content{
		Title: cmp.Or(s.Run.Title, "Image build"), Failed: s.TooManyMissing() || s.Run.SetupError != "" || s.Run.VerifyFailed(),
		Verdict: verdict(s), Facts: facts(s), Comparison: comparison, Timeline: newTimeline(s, entries),
		Style: template.CSS(style), Script: template.JS(script),
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hashOf(script) + "; style-src " + hashOf(style),
	}
	for _, p := range s.Run.Phases {
		c.Phases = append(c.Phases, phase{p.Name, clock(p.Seconds), p.Within != ""})
	}
	byClass := map[string][]image{}
	for _, e := range slices.SortedFunc(slices.Values(entries), func(a, b ledger.Entry) int { return cmp.Compare(a.InstanceID, b.InstanceID) }) {
		i := newImage(e)
		c.Images = append(c.Images, i)
		if e.Status == outcome.Failed {
			byClass[i.Class] = append(byClass[i.Class], i)
		}
	}
	c.Classes = slices.Sorted(maps.Keys(byClass))
	for _, class := range c.Classes {
		c.Groups = append(c.Groups, group{class, failure.Hint(failure.Class(class)), byClass[class]})
	}
	slices.SortStableFunc(c.Groups, func(a, b group) int { return len(b.Images) - len(a.Images) })
	if err := page.Execute(w, c); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// hashOf is the source of a Content-Security-Policy that allows this text and no other.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func verdict(s ledger.Summary) string {
	switch {
	case s.Run.SetupError != "":
		return "The run failed before its end: " + string(s.Run.SetupError)
	case s.Run.VerifyFailed():
		return "A rebased image is not what a native build makes."
	case s.Missing() == 0:
		return fmt.Sprintf("All %d images exist.", s.Total)
	case s.Run.Cancelled:
		return fmt.Sprintf("The run was cancelled: %d of %d images are missing.", s.Missing(), s.Total)
	default:
		return fmt.Sprintf("%d of %d images are missing.", s.Missing(), s.Total)
	}
}

func facts(s ledger.Summary) []fact {
	all := []fact{
		{"Built", fmt.Sprint(s.Built)},
		{"Already there", fmt.Sprint(s.Skipped)},
		{"Failed", fmt.Sprint(s.Failed)},
		{"Not started", fmt.Sprint(s.NotStarted)},
		{"Time", clock(s.WallClockSeconds)},
		{"SDK", strings.TrimSpace(string(s.Run.SDKVersion) + " " + cmp.Or(fmt.Sprintf("%.12s", s.Run.SDKSHA), s.Run.SDKRef))},
		{"Images", s.Run.Image},
		{"Tag prefix", string(s.Run.ImageTagPrefix)},
		{"Dataset", strings.TrimSpace(s.Run.Dataset + " " + s.Run.Split)},
		{"Shard", string(s.Run.Shard)},
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

func newImage(e ledger.Entry) image {
	i := image{
		ID: e.InstanceID, Status: statusOf(e), Class: string(e.ErrorClass), Strategy: string(e.Strategy), Shard: string(e.Shard),
		Error: string(e.Error), Output: string(e.ErrorOutput), Log: string(e.LogPath), Reason: string(e.StrategyReason),
		Digest: string(e.Digest), Tags: e.Tags, Attempts: e.AttemptCount,
	}
	if e.DurationSeconds != nil {
		i.Took = clock(*e.DurationSeconds)
	}
	return i
}

// statusOf is a status in one word.
func statusOf(e ledger.Entry) string {
	switch {
	case e.Status == outcome.Skipped:
		return "present"
	case e.ErrorClass == ledger.Text(failure.ClassCancelled):
		return "cancelled"
	case e.ErrorClass == ledger.Text(failure.ClassNotStarted):
		return "not started"
	}
	return string(e.Status)
}

// clock is a time as people read it.
func clock(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	d := time.Duration(seconds) * time.Second
	if d < time.Hour {
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

func newTimeline(s ledger.Summary, entries []ledger.Entry) timeline {
	t := timeline{Seconds: s.WallClockSeconds, Images: []lineOf{}, Phases: []spanLine{}}
	begin := func(at time.Time) float64 { return at.Sub(s.StartedAt).Seconds() }
	for _, p := range s.Run.Phases {
		if p.StartedAt != nil {
			t.Phases = append(t.Phases, spanLine{p.Name, "phase", begin(*p.StartedAt), p.Seconds, p.Name})
		}
	}
	line := func(id, outcome, what string, shard ledger.Text, spans []ledger.Span) {
		l := lineOf{ID: id, Outcome: outcome, What: what, Spans: []spanLine{}}
		for _, span := range spans {
			one := spanLine{span.Phase, kindOf(span.Phase), begin(span.StartedAt), span.Seconds, ""}
			if span.Slot != "" {
				one.Lane = lane(shard, span.Slot)
			}
			l.Spans = append(l.Spans, one)
		}
		t.Images = append(t.Images, l)
	}
	for _, e := range entries {
		line(e.InstanceID, statusOf(e), "", e.Shard, e.Spans)
	}
	for _, w := range s.Run.Beside {
		line(w.InstanceID, "beside", w.What, w.Shard, w.Spans)
	}
	return t
}

// kindOf is the colour of a phase.
func kindOf(phase string) string {
	switch phase {
	case outcome.NativeBuild:
		return "native"
	case outcome.EvalBase, outcome.PipBase, outcome.BaseStage:
		return "base"
	case outcome.Push, outcome.Copy:
		return "push"
	case outcome.LookUp, outcome.Confirm, outcome.Inspect:
		return "look"
	}
	if outcome.Waits(phase) {
		return "wait"
	}
	return "other"
}
