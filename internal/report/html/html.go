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
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/report"
)

//go:embed page.html.tmpl
var pageText string

//go:embed style.css
var style string

//go:embed script.js
var script string

var page = template.Must(template.New("report.html").Parse(pageText))

// content is what the page shows.
type content struct {
	Title      string
	Failed     bool
	Verdict    string
	SetupError string
	Facts      []fact
	Problems   []problem
	Groups     []group
	Images     []image
	Classes    []string
	Phases     []phase
	Comparison *comparison
	Timeline   timeline
	Limit      string
	Style      template.CSS
	Script     template.JS
	Policy     string
}

type fact struct{ Name, Value string }

// comparison is what has changed since an earlier run.
type comparison struct {
	With                     string
	Facts                    []fact
	NewlyFailing, NewlyBuilt []string
	Slower, Faster           []change
}

type change struct{ What, Before, Now string }

// problem is what went wrong beside the images of the agent.
type problem struct{ What, Text string }

// group has the failures of one class that one remedy helps against.
type group struct {
	Class, Words, Hint string
	Images             []image
}

type image struct {
	ID, Status, Class, Strategy, Took, Shard, Cause, About, Error, Output, Log, Reason, Digest string
	Tags                                                                                       []string
	Attempts                                                                                   int
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

// Write writes the report of a run. c may be nil.
func Write(w io.Writer, s ledger.Summary, entries []ledger.Entry, c *ledger.Comparison) error {
	shown := content{
		Title: cmp.Or(s.Run.Title, "Image build"), Failed: s.Fails(),
		Verdict: report.Headline(s), SetupError: string(s.Run.SetupError), Facts: facts(s), Problems: problems(s.Run),
		Comparison: newComparison(s, c), Timeline: newTimeline(s, entries), Limit: strings.ReplaceAll(report.Limit(s, entries), "`", ""),
		Style: template.CSS(style), Script: template.JS(script),
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hashOf(script) + "; style-src " + hashOf(style),
	}
	for _, p := range s.Run.Phases {
		shown.Phases = append(shown.Phases, phase{p.Name, report.Duration(p.Seconds), p.Within != ""})
	}
	groups := map[report.Remedy][]image{}
	for _, e := range slices.SortedFunc(slices.Values(entries), func(a, b ledger.Entry) int { return cmp.Compare(a.InstanceID, b.InstanceID) }) {
		i := newImage(e)
		shown.Images = append(shown.Images, i)
		if i.Status == string(outcome.Failed) {
			r := report.RemedyFor(failure.Class(i.Class), i.Error)
			groups[r] = append(groups[r], i)
		}
	}
	for _, r := range report.Remedies(groups) {
		shown.Groups = append(shown.Groups, group{string(r.Class), r.Class.Words(), r.Hint, groups[r]})
		shown.Classes = append(shown.Classes, string(r.Class))
	}
	slices.Sort(shown.Classes)
	shown.Classes = slices.Compact(shown.Classes)
	if err := page.Execute(w, shown); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// problems are the images that are not as the SDK makes them, the missing environments, what the record lacks, and the warnings.
func problems(run ledger.Run) (all []problem) {
	for _, v := range run.Rebase.Verified {
		switch v.Result {
		case ledger.VerifiedOK:
		case ledger.VerifiedDifferent:
			all = append(all, problem{v.Instance + " differs from its native build", strings.Join(v.Differences, "\n")})
		default:
			all = append(all, problem{v.Instance + " could not be compared with a native build", strings.Join(v.Differences, "\n")})
		}
	}
	if e := run.EvalEnv; e != nil {
		if e.Missing() > 0 {
			all = append(all, problem{fmt.Sprintf("Environment images of SWT-Bench: %d of %d missing", e.Missing(), e.Planned), string(e.Problem)})
		}
		for _, i := range e.Images {
			if i.Status == outcome.Failed {
				all = append(all, problem{i.Name + ": " + failure.Class(i.Class).Words(), string(i.Error)})
			}
		}
	}
	if len(run.RecordErrors) > 0 {
		all = append(all, problem{"The record is incomplete", strings.Join(run.RecordErrors, "\n")})
	}
	if len(run.Warnings) > 0 {
		all = append(all, problem{"Warnings", strings.Join(run.Warnings, "\n")})
	}
	return all
}

// hashOf is the source of a Content-Security-Policy that allows this text and no other.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func newComparison(s ledger.Summary, c *ledger.Comparison) *comparison {
	if c == nil {
		return nil
	}
	changes := func(all []ledger.Change) (shown []change) {
		for _, one := range all {
			what := one.InstanceID
			if what == "" {
				what = report.Median(one.Strategy)
			}
			shown = append(shown, change{what, report.Duration(one.Before), report.Duration(one.Now)})
		}
		return shown
	}
	return &comparison{
		With: "the run of " + report.StartOf(c),
		Facts: []fact{
			{"Missing", fmt.Sprintf("%d → %d", c.Missing, s.Missing())}, {"Time", report.Duration(c.Seconds) + " → " + report.Duration(s.WallClockSeconds)},
		},
		NewlyFailing: c.NewlyFailing, NewlyBuilt: c.NewlyBuilt, Slower: changes(c.Slower), Faster: changes(c.Faster),
	}
}

func facts(s ledger.Summary) []fact {
	all := []fact{
		{"Built", fmt.Sprint(s.Built)},
		{"Already existed", fmt.Sprint(s.Skipped)},
		{"Missing", fmt.Sprint(s.Missing())},
		{"Time", report.Duration(s.WallClockSeconds)},
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
	i.Cause, i.About = failure.Cause(i.Error)
	if e.DurationSeconds != nil {
		i.Took = report.Duration(*e.DurationSeconds)
	}
	return i
}

// statusOf is a status in one word.
func statusOf(e ledger.Entry) string {
	switch class := failure.Class(e.ErrorClass); {
	case e.Status == outcome.Skipped:
		return "present"
	case class.NotStarted(e.AttemptCount):
		return "not started"
	case class == failure.ClassCancelled:
		return "cancelled"
	}
	return string(e.Status)
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
