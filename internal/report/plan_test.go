package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// three targets: one is there, one is missing, of one the registry did not say.
func three() ([]plan.Target, []*outcome.Outcome) {
	var targets []plan.Target
	for _, id := range []string{"a__there-1", "b__missing-2", "c__unknown-3"} {
		targets = append(targets, plan.Target{InstanceID: id, BaseImage: "docker.io/x/" + id + ":latest", Tags: []string{"r/i:1-" + id, "r/i:2-" + id}})
	}
	return targets, []*outcome.Outcome{
		{Target: targets[0], Skipped: true, Tags: targets[0].Tags, Digest: "sha256:1111"},
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
	return NewPlan(run, targets, found, plan.Decisions{}, force)
}

// mixed has an image for each way to be made, and one more on the eval-base of the third.
func mixed(force bool) Plan {
	ways := []plan.Decision{
		{How: plan.Reference},
		{How: plan.Reference},
		{How: plan.Rebase, EvalBase: "eval-base-1", Missing: true, Base: plan.BasePresent},
		{How: plan.Rebase, EvalBase: "eval-base-1", Missing: true, Base: plan.BasePresent},
		{How: plan.Rebase, EvalBase: "eval-base-2", Base: plan.BasePresent},
		{How: plan.Native, Reason: "the eval-base:\n::error::x", EvalBase: "eval-base-3", Base: plan.BasePresent},
		{How: plan.Native, Reason: "the base image's registry does not have it", Base: plan.BaseMissing},
		{How: plan.None, Reason: "ONBUILD", EvalBase: "eval-base-4", Base: plan.BasePresent},
		{How: plan.Unknown, Reason: "asking for the base image r/b:latest: HEAD https://r/v2/b/manifests/latest: 401 Unauthorized", Class: "registry-auth"},
	}
	var targets []plan.Target
	decisions := plan.Decisions{Images: map[string]plan.Decision{}, Verify: 2}
	for i, m := range ways {
		id := fmt.Sprintf("x__%s-%d", m.How, i)
		targets = append(targets, plan.Target{InstanceID: id, BaseImage: "docker.io/x/" + id + ":latest", Tags: []string{"r/i:1-" + id, "r/i:2-" + id}})
		decisions.Images[id] = m
	}
	var found []*outcome.Outcome
	if force {
		found = []*outcome.Outcome{{Target: targets[4], Skipped: true, Tags: targets[4].Tags, Digest: "sha256:1111"}}
	}
	run := exampleRun(len(targets))
	run.Strategy = "auto"
	return NewPlan(run, targets, found, decisions, force)
}

func TestPlanGolden(t *testing.T) {
	for name, p := range map[string]Plan{
		"plan": planned(false, true), "plan-untagged": planned(false, false), "plan-rebased": mixed(false),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := p.JSON(&out, strings.Clone); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", out.String())
			golden(t, name+".md", p.Markdown())
			golden(t, name+".txt", strings.Join(p.Lines(), "\n")+"\n")
		})
	}
}

func TestPlanInJSONIsRedacted(t *testing.T) {
	targets, found := three()
	found[1].Err = errors.New("asking for c: s3cret")
	decisions := plan.Decisions{Images: map[string]plan.Decision{"b__missing-2": {How: plan.Native, Reason: "the eval-base: s3cret", BaseProblem: "the base image: s3cret"}}}
	run := exampleRun(3)
	run.EvalEnv = &ledger.EvalEnv{Images: []ledger.EvalEnvImage{{Error: "the environment: s3cret"}}}
	p := NewPlan(run, targets, found, decisions, false)
	var out bytes.Buffer
	if err := p.JSON(&out, func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"asking for c: ***", "the eval-base: ***", "the base image: ***", "the environment: ***"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan does not say %q:\n%s", want, &out)
		}
	}
}

// What is left to do: an image that is missing, or every one when builds are forced.
func TestWork(t *testing.T) {
	rebases := Work{Builds: 3, ReferenceBases: 2, EvalBases: 1, Rebases: 3, VerifyBuilds: 2, Unknown: 1}
	cases := []struct {
		name string
		plan Plan
		want *Work
	}{
		{"without tags", planned(false, false), nil},
		{"with tags", planned(false, true), &Work{Builds: 1}},
		{"forced", planned(true, true), &Work{Builds: 3}},
		{"rebases", mixed(false), &rebases},
		{"rebases, forced", mixed(true), &rebases},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.plan.Work); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is there is told, and what is done about it all the same.
func TestForcedPlan(t *testing.T) {
	lines := strings.Join(mixed(true).Lines(), "\n")
	if want := "exists: sha256:1111; will be rebased\n"; !strings.Contains(lines, want) {
		t.Errorf("the plan lacks %q:\n%s", want, lines)
	}
}

func TestPlanOfNothing(t *testing.T) {
	p := NewPlan(ledger.Run{Shard: "3/3", PlannedTotal: 2, Dataset: "d", Split: "s"}, nil, nil, plan.Decisions{}, false)
	if got, want := strings.Join(p.Lines(), "|"), "Plan: 0 images of d, split s, shard 3/3 of 2|This shard has no images.|Deadline: none; fail-on: any."; got != want {
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
	p := NewPlan(exampleRun(len(targets)), targets, nil, plan.Decisions{}, false)
	markdown := p.Markdown()
	if len(markdown) > maxMarkdown || !strings.Contains(markdown, "owner__repository-1000<") {
		t.Errorf("the summary has %d bytes", len(markdown))
	}
	if !strings.Contains(markdown, "more: ") || !strings.HasSuffix(strings.TrimSpace(markdown), "</details>") {
		t.Errorf("it ends %q", markdown[len(markdown)-100:])
	}
}

// The beginning of the tags has the name by which the benchmark's evaluation reads it: benchmarks/utils/version.py of
// OpenHands/benchmarks and, of swesmith, prepare_workspace in benchmarks/swesmith/run_infer.py. swegym has no run_infer.py.
func TestSummariesSayWhatTheEvaluationReads(t *testing.T) {
	cases := map[string]string{
		"swebench":              "<pre>IMAGE_TAG_PREFIX: 0a1b2c3-9f8e7d6</pre>",
		"swebench-multilingual": "<pre>IMAGE_TAG_PREFIX: 0a1b2c3-9f8e7d6</pre>",
		"swesmith":              "<pre>SDK_SHORT_SHA: 0a1b2c3-9f8e7d6</pre>",
		"swegym":                "has no evaluation of this benchmark\ntag prefix: 0a1b2c3-9f8e7d6</pre>",
	}
	for benchmark, block := range cases {
		t.Run(benchmark, func(t *testing.T) {
			run := exampleRun(1)
			run.Benchmark = benchmark
			for what, markdown := range map[string]string{
				"run":     Markdown(ledger.Summarize(run, nil), nil, nil),
				"dry run": NewPlan(run, nil, nil, plan.Decisions{}, false).Markdown(),
			} {
				if strings.Count(markdown, "0a1b2c3-9f8e7d6") != 1 || !strings.Contains(markdown, block) {
					t.Errorf("the summary of a %s lacks %s:\n%s", what, block, markdown)
				}
			}
		})
	}
}
