package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
)

// three targets: one is there, one is missing, of one the registry did not say.
func three() ([]plan.Target, []build.Outcome) {
	var targets []plan.Target
	for _, id := range []string{"a__there-1", "b__missing-2", "c__unknown-3"} {
		targets = append(targets, plan.Target{InstanceID: id, BaseImage: "docker.io/x/" + id + ":latest", Tags: []string{"r/i:1-" + id, "r/i:2-" + id}})
	}
	return targets, []build.Outcome{
		{Target: targets[0], Result: build.Result{Skipped: true, Tags: targets[0].Tags, Digest: "sha256:1111"}},
		{Target: targets[2], Err: errors.New("503\n::error::x")},
	}
}

func planned(force, named bool) Plan {
	run := exampleRun(3)
	targets, found := three()
	if !named {
		run.SDKSHA, run.SDKVersion, run.SDKRef, run.ImageTagPrefix, found = "", "", "", "", nil
		for i := range targets {
			targets[i].Tags = nil
		}
	}
	return NewPlan(run, targets, found, force)
}

func TestPlanGolden(t *testing.T) {
	for name, p := range map[string]Plan{"plan": planned(false, true), "plan-untagged": planned(false, false)} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := p.JSON(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", out.String())
			golden(t, name+".md", p.Markdown())
			golden(t, name+".txt", strings.Join(p.Lines(), "\n")+"\n")
		})
	}
}

// What is left to do: an image that is missing, or every one when builds are forced.
// Questions are counted as a run asks them: build.Present, build.Skipper and build.Confirmer.
func TestWork(t *testing.T) {
	cases := []struct {
		name         string
		force, named bool
		want         *Work
	}{
		{"without tags", false, false, nil},
		// 2 for the one that is there, 1 each for the others, then 1 before the build and 2 after it.
		{"with tags", false, true, &Work{Builds: 1, Requests: 2 + 1 + 1 + 1 + 2}},
		{"forced", true, true, &Work{Builds: 3, Requests: 2 + 2 + 2}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, planned(c.force, c.named).Work); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanOfNothing(t *testing.T) {
	p := NewPlan(ledger.Run{Shard: "3/3", PlannedTotal: 2, Dataset: "d", Split: "s"}, nil, nil, false)
	if got, want := strings.Join(p.Lines(), "|"), "Plan: 0 images of d, split s, shard 3/3 of 2|No image is in this part of the plan."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	text, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(text), `"images":[]`) {
		t.Errorf("as JSON it is %s, error %v", text, err)
	}
}

// A runner drops a summary that is too long.
func TestPlanOfVeryMany(t *testing.T) {
	var targets []plan.Target
	for i := range 20_000 {
		targets = append(targets, plan.Target{InstanceID: fmt.Sprintf("owner__repository-%d", i), BaseImage: strings.Repeat("x", 100), Tags: []string{"r/i:t"}})
	}
	p := NewPlan(exampleRun(len(targets)), targets, nil, false)
	markdown := p.Markdown()
	if len(markdown) > maxMarkdown || !strings.Contains(markdown, "owner__repository-1000<") {
		t.Errorf("the summary has %d bytes", len(markdown))
	}
	if !strings.Contains(markdown, "more\n") || !strings.HasSuffix(strings.TrimSpace(markdown), "</details>") {
		t.Errorf("it ends %q", markdown[len(markdown)-100:])
	}
}
