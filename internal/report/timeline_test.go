package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// after is so many seconds after the start of the run.
func after(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

func span(begin float64, phase, slot string) outcome.Span {
	return outcome.Span{Begin: after(begin), Phase: phase, Slot: slot}
}

// spanned gives an outcome its spans and its end. What it did in them is its work.
func spanned(o *outcome.Outcome, end float64, spans ...outcome.Span) *outcome.Outcome {
	o.Started, o.Finished, o.Spans, o.Check, o.Build = spans[0].Begin, after(end), spans, 0, 0
	for i, s := range spans {
		until := o.Finished
		if i+1 < len(spans) {
			until = spans[i+1].Begin
		}
		if !outcome.Waits(s.Phase) {
			o.Build += until.Sub(s.Begin)
		}
	}
	return o
}

func timed(name string, begin, seconds float64, within ledger.Text) ledger.Phase {
	started := after(begin)
	return ledger.Phase{Name: name, StartedAt: &started, Seconds: seconds, Within: within}
}

// wholeRun is a run with all that a record has: references, rebased images, failures of three kinds, and a verification.
func wholeRun() (ledger.Run, []ledger.Entry) {
	run := exampleRun(26)
	run.Strategy, run.Shard, run.PlannedTotal, run.Finished, run.Workers = "auto", "", 26, after(281), 2
	run.Phases = []ledger.Phase{
		timed("dataset", 0, 0.4, ""), timed("checkout", 0.5, 6.2, ""), timed("environment", 6.7, 21.4, ""), timed("sdist", 28.1, 2.6, ""), timed("import", 28.1, 11.9, ""),
		timed("resolve-tags", 40, 0.4, ""), timed("check-registry", 40.4, 1.1, ""), timed("preflight", 41.5, 3.3, ""),
		timed("references", 58, 154, "build"), timed("verify", 212, 61, "build"), timed(ledger.BuildPhase, 44.8, 236, ""),
	}
	run.Files.Report, run.Files.Trace = "builds/x/report.html", "builds/x/trace.json"
	run.Files.Failed = "builds/x/failed.txt"
	run.Rebase = ledger.Rebase{
		EvalBasesMade: 19, References: []ledger.Reference{
			{Instance: "django__django-11099", Tag: reference + "1", Digest: "sha256:1"}, {Instance: "sympy__sympy-11618", Tag: reference + "2", Digest: "sha256:2"},
		},
		Verified: []ledger.Verified{{Instance: "astropy__astropy-13033", Result: ledger.VerifiedOK}},
		Requests: map[string]int{"PUT": 120, "GET": 60, "HEAD": 80},
	}
	outcomes := []*outcome.Outcome{
		spanned(built("django__django-11099", 81), 140, span(45, outcome.LookUp, "look-up 1"), span(46, outcome.WaitingForEvalBase, ""), span(58, outcome.NativeBuild, "build 1"), span(139, outcome.Confirm, "build 1")),
		spanned(built("sympy__sympy-11618", 70), 212, span(45, outcome.LookUp, "look-up 2"), span(46, outcome.WaitingForTurn, ""), span(120, outcome.NativeBuild, "build 2"), span(211, outcome.Confirm, "build 2")),
		spanned(failed("astropy__astropy-12907", failure.ClassBaseMissing, 1, 1, "building docker.io/swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:latest: docker.io/swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:latest: not found"), 46, span(45, outcome.LookUp, "look-up 3")),
		spanned(printing(failed("astropy__astropy-14096", failure.ClassBuild, 1, 2, "making the eval-base: docker buildx build ended with 1: process \"/bin/sh -c apt-get update\" did not complete successfully: exit code: 100")),
			99, span(45, outcome.LookUp, "look-up 4"), span(46, outcome.WaitingToBuild, ""), span(61, outcome.EvalBase, "build 2"), span(80, outcome.WaitingToRetry, ""), span(86, outcome.EvalBase, "build 2")),
		spanned(failed("scikit-learn__scikit-learn-25570", failure.ClassNetwork, 0, 3, `putting scikit-learn__scikit-learn-25570 on its eval-base: Put "https://ghcr.io/v2/x/manifests/y": dial tcp: lookup ghcr.io on 127.0.0.11:53: no such host`), 230, span(212, outcome.Push, "push 3")),
	}
	for i := range 18 {
		begin := 62 + 8*float64(i/2)
		o := rebasedImage(fmt.Sprintf("%s-%d", []string{"django__django", "sphinx-doc__sphinx", "pylint-dev__pylint"}[i%3], 11100+i))
		outcomes = append(outcomes, spanned(o, 214+float64(i)/4, span(45, outcome.LookUp, "look-up 5"), span(46, outcome.WaitingToBuild, ""),
			span(begin, outcome.EvalBase, fmt.Sprintf("build %d", i%2+1)), span(begin+5+float64(i%4), outcome.WaitingForDelta, ""), span(212+float64(i)/4, outcome.Push, "push 1")))
	}
	outcomes = append(outcomes, skipped("sympy__sympy-20154"), skipped("sympy__sympy-20155"), skipped("sympy__sympy-20156"))
	return run, entries(outcomes)
}

// wholeMerge is the merge of two shards with all that records have.
func wholeMerge() (ledger.Summary, []ledger.Entry) {
	var parts []ledger.Part
	run, all := wholeRun()
	for i, some := range [][]ledger.Entry{all[:13], all[13:]} {
		run.Shard, run.PlannedTotal, run.Planned = ledger.Text(fmt.Sprintf("%d/2", i+1)), 26, 13
		run.Started, run.Finished = after(float64(10*i)), after(281-float64(40*i))
		run.URL, run.Artifact = ledger.Text(fmt.Sprint(runURL, i)), ledger.Text(fmt.Sprint("build-record-", i+1))
		parts = append(parts, ledger.Part{Dir: fmt.Sprint(i), Summary: ledger.Summarize(run, some), Entries: some})
	}
	merged, entries, err := ledger.Merge(parts)
	if err != nil {
		panic(err)
	}
	return merged, entries
}

// manyRun is a run of which most failed, in a few ways.
func manyRun() ledger.Summary {
	var outcomes []*outcome.Outcome
	for i := range 24 {
		id := fmt.Sprintf("django__django-%d", 11000+i)
		switch {
		case i < 16:
			outcomes = append(outcomes, failed(id, failure.ClassBaseMissing, 1, 1, "building on docker.io/swebench/"+id+":latest: docker.io/swebench/"+id+":latest: not found"))
		case i < 20:
			outcomes = append(outcomes, failed(id, failure.ClassQuota, 1, 1, "asking for the digest of the base image docker.io/swebench/"+id+":latest: 429 Too Many Requests: You have reached your unauthenticated pull rate limit."))
		default:
			outcomes = append(outcomes, built(id, 60))
		}
	}
	return ledger.Summarize(exampleRun(24), entries(outcomes))
}

func TestWholeSummariesGolden(t *testing.T) {
	run, entries := wholeRun()
	s := ledger.Summarize(run, entries)
	golden(t, "whole.md", Markdown(s, entries, &ledger.Comparison{
		StartedAt: noon.Add(-24 * time.Hour), SDK: strings.Repeat("b", 40), URL: runURL + "0", Missing: 5, Seconds: 640,
		NewlyFailing: []string{"scikit-learn__scikit-learn-25570"}, NewlyBuilt: []string{"django__django-11100", "sphinx-doc__sphinx-11101", "sympy__sympy-20154"},
		Slower: []ledger.Change{{InstanceID: "django__django-11099", Before: 48, Now: 81}},
		Faster: []ledger.Change{{Strategy: "rebase", Before: 21, Now: 7.5}, {InstanceID: "sympy__sympy-11618", Before: 160, Now: 92}},
	}))
	golden(t, "many.md", Markdown(manyRun(), nil, nil))
	merged, entries := wholeMerge()
	golden(t, "whole-merged.md", Markdown(merged, entries, nil))
}

// Whatever is in a record, each line of the picture is one that Mermaid takes: a mark, harmless characters, and a time.
func TestPictureOfHostileRecord(t *testing.T) {
	bar := regexp.MustCompile(`^  [•↳✓✗] [A-Za-z0-9._/ ·…,-]+ :(?:(?:crit|active|done), )?2000-01-\d\d \d\d:\d\d:\d\d\.\d{3}, \d+ms$`)
	for _, text := range []string{hostile, "section a", "click b href", "2026-01-01", "a:b;c#d%%{init}%%", "``` \n```", "a\nsection b", strings.Repeat("long", 100)} {
		run := exampleRun(3)
		run.Phases = []ledger.Phase{timed(text, 0, 40, ""), timed(text, 50, 40, ledger.Text(text)), timed(ledger.BuildPhase, 40, 100, "")}
		all := entries([]*outcome.Outcome{
			spanned(built(text, 30), 90, span(50, text, text), span(60, outcome.NativeBuild, text)),
			spanned(failed(text+"2", failure.Class(text), 1, 1, text), 90, span(50, outcome.NativeBuild, "build 1")),
		})
		picture, _, _ := strings.Cut(gantt(ledger.Summarize(run, all), all), "\n\n")
		if text == hostile {
			golden(t, "hostile-picture.md", picture+"\n")
		}
		lines := strings.Split(picture, "\n")
		bars := 0
		for i, line := range lines {
			switch {
			case bar.MatchString(line):
				bars++
			case i < 10 || i == len(lines)-1:
			default:
				t.Errorf("%q in the picture of %q", line, text)
			}
		}
		if bars != 5 || lines[0] != "```mermaid" || lines[len(lines)-1] != "```" {
			t.Errorf("%d bars of %q, want 5:\n%s", bars, text, strings.Join(lines, "\n"))
		}
	}
}

// Of many images those are drawn that mattered, and no more than can be read.
func TestPictureHasTheImagesThatMattered(t *testing.T) {
	run := exampleRun(500)
	for i := range 20 {
		run.Phases = append(run.Phases, timed(fmt.Sprint("phase-", i), float64(10*i), 10, ""))
		run.Rebase.References = append(run.Rebase.References, ledger.Reference{Instance: ledger.Text(fmt.Sprintf("a__built-%03d", i))})
	}
	var outcomes []*outcome.Outcome
	for i := range 250 {
		begin, worked := float64(i)/2, float64(20+i)
		outcomes = append(outcomes,
			spanned(built(fmt.Sprintf("a__built-%03d", i), worked), begin+worked, span(begin, outcome.NativeBuild, "build 1")),
			spanned(failed(fmt.Sprintf("a__failed-%03d", i), failure.ClassBuild, 1, 1, "x"), begin+20, span(begin, outcome.NativeBuild, "build 1")))
	}
	all := entries(outcomes)
	got := gantt(ledger.Summarize(run, all), all)
	for want, n := range map[string]int{"ms\n": 36, "✓ built-01": 4, "✓ built-24": 8, "✓ built-242": 1, "✗ failed-": 12, "• phase-": 12} {
		if count := strings.Count(got, want); count != n {
			t.Errorf("%d of %q, want %d:\n%s", count, want, n, got)
		}
	}
}

// Older records say when an image was made, and have no spans.
func TestPictureOfEntriesWithoutSpans(t *testing.T) {
	all := entries([]*outcome.Outcome{spanned(built("a__b-1", 30), 90, span(60, outcome.NativeBuild, "build 1")), built("a__b-2", 30)})
	all[0].Spans, all[1].Spans, all[1].StartedAt, all[1].FinishedAt = nil, nil, nil, nil
	got := gantt(ledger.Summarize(exampleRun(2), all), all)
	if !strings.Contains(got, "✓ b-1") || !strings.Contains(got, "2000-01-01 00:01:00.000, 30000ms") || strings.Contains(got, "b-2") {
		t.Errorf("want b-1 from 1:00 for 30 s, and no b-2, whose times are not known:\n%s", got)
	}
}

// Long runs and long ids have labels and an axis that can be read, which the browser's test looks at.
func TestPictureOfALongRun(t *testing.T) {
	for name, hours := range map[string]float64{"hours-picture.md": 5.6, "days-picture.md": 50} {
		whole := hours * 3600
		run := exampleRun(3)
		run.Phases, run.Finished = []ledger.Phase{timed("environment", 0, whole/40, ""), timed(ledger.BuildPhase, whole/40, 39*whole/40, "")}, after(whole)
		var outcomes []*outcome.Outcome
		for i, id := range []string{"scikit-learn__scikit-learn-25570", "oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc", "Automattic__wp-calypso-21409"} {
			begin := float64(i+1) * whole / 4
			outcomes = append(outcomes, spanned(built(id, 1), begin+float64(i+1)*whole/13, span(begin, outcome.NativeBuild, "build 1")))
		}
		all := entries(outcomes)
		picture, _, _ := strings.Cut(gantt(ledger.Summarize(run, all), all), "\n\n")
		golden(t, name, picture+"\n")
	}
}

// A run of which nobody can see what it did has no picture.
func TestNoPictureOfNothing(t *testing.T) {
	all := entries([]*outcome.Outcome{skipped("a__b-1"), cancelled("a__b-2")})
	if got := timeline(ledger.Summarize(exampleRun(2), all), all); got != "" {
		t.Errorf("there is a picture of nothing:\n%s", got)
	}
}

// The sentence comes from what images waited for, and names an input. Without a wait that took most of the build nothing is said.
func TestSummarySaysWhatLimitedTheRun(t *testing.T) {
	cases := []struct {
		name, want string
		waited     string
		begin, end float64 // of the wait, in a build from 0 to 100
		work       string
	}{
		{"workers that build", "Images waited for one of 4 workers for 80 % of the build; they mostly built natively, which takes CPU and disk: a larger `max-workers`", outcome.WaitingToBuild, 5, 85, outcome.NativeBuild},
		{"workers that pull", "Images waited for one of 4 workers for 80 % of the build; they mostly made eval-bases, for which the builder pulls base images: a larger `max-workers`", outcome.WaitingToBuild, 5, 85, outcome.EvalBase},
		{"references", "Images waited for the references for 75 % of the build: a `builder`", outcome.WaitingForDelta, 5, 80, outcome.Push},
		{"registry", "Images waited to be pushed for 60 % of the build, and the registry asked 7 times to slow down: ", outcome.WaitingToPush, 30, 90, outcome.Push},
		{"disk", "Builds waited for room on the disk for 55 % of the build: ", outcome.Prune, 30, 85, outcome.NativeBuild},
		{"one alone", "The first image went alone for 55 % of the build, ", outcome.WaitingForTurn, 0, 55, outcome.NativeBuild},
		{"verification", "The verification went on for 90 % of the build when all images had ended: a smaller `verify`", outcome.LookUp, 0, 9, outcome.Push},
		{"nothing", "", outcome.WaitingForDelta, 5, 40, outcome.NativeBuild},
		{"references that wait for workers", "Images waited for one of 4 workers for 80 % of the build; ", outcome.WaitingForDelta, 5, 98, outcome.NativeBuild},
		{"references that go on", "Images waited for the references for 90 % of the build", outcome.WaitingForDelta, 5, 95, outcome.NativeBuild},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			run := exampleRun(2)
			run.AskedAgain = map[string]int{"rate-limit": 7}
			run.Phases = []ledger.Phase{timed("verify", 5, 95, "build"), timed(ledger.BuildPhase, 0, 100, "")}
			end := 99.0
			var others []*outcome.Outcome
			switch c.name {
			case "verification":
				end = 10
			case "references that wait for workers":
				others = []*outcome.Outcome{spanned(built("a__b-3", 3), end, span(3, outcome.WaitingToBuild, ""), span(83, outcome.EvalBase, "build 3"))}
			case "references that go on":
				others = []*outcome.Outcome{spanned(built("a__b-3", 3), end, span(3, outcome.WaitingToBuild, ""), span(55, outcome.EvalBase, "build 3"))}
			}
			all := entries(append(others,
				spanned(built("a__b-1", 3), end, span(c.begin, c.waited, ""), span(c.end, c.work, "build 1")),
				spanned(built("a__b-2", 3), end, span(c.begin, c.waited, ""), span(c.end, c.work, "build 2")),
			))
			got := Limit(ledger.Summarize(run, all), all)
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			run.MergedFrom = 2
			if got := Limit(ledger.Summarize(run, all), all); got != "" {
				t.Errorf("of a merge it says %s", got)
			}
			run.MergedFrom = 0
			for i := range all {
				all[i].Spans = nil
			}
			if got := Limit(ledger.Summarize(run, all), all); got != "" {
				t.Errorf("of a record without spans it says %s", got)
			}
		})
	}
}
