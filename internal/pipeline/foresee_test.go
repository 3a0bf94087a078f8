package pipeline

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/report"
)

const (
	natively, asReference, byRebase, notAtAll, nobodyKnows = report.HowNative, report.HowReference, report.HowRebase, report.HowNone, report.HowUnknown
)

func hows(f report.Foreseen) map[string]report.How {
	all := map[string]report.How{}
	for id, m := range f.Images {
		all[id] = m.How
	}
	return all
}

func TestForesee(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(t *testing.T, l *lookout, missing []plan.Target)
		want    map[string]report.How
		unmade  int
		verify  int
	}{
		{"nothing is there", func(*testing.T, *lookout, []plan.Target) {},
			map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 2, 1},
		{"references and eval-bases are there", func(t *testing.T, l *lookout, missing []plan.Target) {
			l.makeReferences(t, "agent", "agent")
			for _, target := range missing {
				l.makeEvalBase(t, target, rebase.MarkPlain, time.Now())
			}
		}, map[string]report.How{"a": byRebase, "b": byRebase, "c": byRebase, "d": byRebase}, 0, 1},
		{"one reference", func(t *testing.T, l *lookout, _ []plan.Target) { l.makeReferences(t, "agent") },
			map[string]report.How{"a": asReference, "b": byRebase, "c": byRebase, "d": byRebase}, 3, 1},
		{"forced", func(t *testing.T, l *lookout, _ []plan.Target) {
			l.makeReferences(t, "agent", "agent")
			l.run.config.ForceBuild = true
		}, map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 2, 1},
		{"references that do not agree", func(t *testing.T, l *lookout, _ []plan.Target) { l.makeReferences(t, "agent", "another") },
			map[string]report.How{"a": natively, "b": natively, "c": natively, "d": natively}, 4, 1},
		{"an eval-base that was refused", func(t *testing.T, l *lookout, missing []plan.Target) {
			l.makeEvalBase(t, missing[2], rebase.MarkRefused+"a link", time.Now())
		}, map[string]report.How{"a": asReference, "b": asReference, "c": natively, "d": byRebase}, 1, 1},
		{"the same, and only rebases will do", func(t *testing.T, l *lookout, missing []plan.Target) {
			l.run.config.Strategy = config.StrategyRebase
			l.makeEvalBase(t, missing[2], rebase.MarkRefused+"a link", time.Now())
		}, map[string]report.How{"a": asReference, "b": asReference, "c": notAtAll, "d": byRebase}, 1, 1},
		{"an eval-base that is too old", func(t *testing.T, l *lookout, missing []plan.Target) {
			l.run.config.EvalBaseMaxAge = time.Hour
			l.makeEvalBase(t, missing[2], rebase.MarkPlain, time.Now().Add(-2*time.Hour))
			l.makeEvalBase(t, missing[3], rebase.MarkPlain, time.Now())
		}, map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 1, 1},
		{"a base image that is not there", func(_ *testing.T, _ *lookout, missing []plan.Target) { missing[3].BaseImage += "er" },
			map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": natively}, 1, 1},
		{"a base image to wrap", func(_ *testing.T, _ *lookout, missing []plan.Target) { missing[3].Wrap = "roman" },
			map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 2, 1},
		{"two images on one base image", func(_ *testing.T, _ *lookout, missing []plan.Target) {
			missing[3].BaseImage = missing[2].BaseImage
		}, map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 1, 1},
		{"as many to verify as are rebased", func(_ *testing.T, l *lookout, _ []plan.Target) { l.run.config.Verify = 9 },
			map[string]report.How{"a": asReference, "b": asReference, "c": byRebase, "d": byRebase}, 2, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLookout(t)
			missing := []plan.Target{l.target(t, "a"), l.target(t, "b"), l.target(t, "c"), l.target(t, "d")}
			c.prepare(t, l, missing)
			l.registry.Reset()
			got := l.foresee(t.Context(), missing)
			unmade := map[string]bool{}
			for _, m := range got.Images {
				if m.Unmade {
					unmade[m.EvalBase] = true
				}
			}
			if diff := cmp.Diff(c.want, hows(got)); diff != "" {
				t.Errorf("how they would be made (-want +got):\n%s", diff)
			}
			if len(unmade) != c.unmade || got.Verify != c.verify {
				t.Errorf("%d eval-bases to be made, %d to verify; want %d, %d", len(unmade), got.Verify, c.unmade, c.verify)
			}
			asked := 2
			if l.run.config.ForceBuild {
				asked = 0
			}
			if n := l.registry.Count("GET", "/reference-"); n != asked {
				t.Errorf("it asked for %d references, want %d", n, asked)
			}
			if methods := l.registry.Methods(); methods["PUT"]+methods["POST"]+methods["PATCH"]+methods["DELETE"] != 0 {
				t.Errorf("it wrote: %v", methods)
			}
			if logs, _ := filepath.Glob(filepath.Join(l.run.logs, "*")); len(logs) > 0 {
				t.Errorf("it wrote %v", logs)
			}
		})
	}
}

// Each image of which a run would look for the eval-base costs a HEAD and a GET, and no more.
func TestForeseeAsksLittle(t *testing.T) {
	l := newLookout(t)
	missing := []plan.Target{l.target(t, "a"), l.target(t, "b"), l.target(t, "c"), l.target(t, "d")}
	l.makeEvalBase(t, missing[3], rebase.MarkPlain, time.Now())
	l.registry.Reset()
	l.foresee(t.Context(), missing)
	if heads, gets := l.registry.Count("HEAD", "/v2/hub/"), l.registry.Count("GET", "/eval-base-"); heads != 2 || gets != 2 {
		t.Errorf("%d HEADs of base images and %d GETs of eval-bases, want 2 each", heads, gets)
	}
	if pulls := l.registry.Count("GET", "/v2/hub/"); pulls != 0 {
		t.Errorf("%d GETs of base images, each of which counts as a pull on Docker Hub", pulls)
	}
	if all := l.registry.Count("GET", "/v2/eval/images/"); all != 2+2 {
		t.Errorf("%d GETs in all, want those and one for each reference", all)
	}
}

// Who has no registry of base images at hand still gets the plan, with one warning.
func TestForeseeWithoutAnswers(t *testing.T) {
	l := newLookout(t)
	missing := []plan.Target{l.target(t, "a"), l.target(t, "b"), l.target(t, "c"), l.target(t, "d"), l.target(t, "e")}
	l.registry.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		bad := r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/hub/")
		if bad {
			w.WriteHeader(http.StatusForbidden)
		}
		return bad
	}
	missing[4].BaseImage = "127.0.0.1:1/hub/e:latest"
	got := l.foresee(t.Context(), missing)
	want := map[string]report.How{"a": asReference, "e": asReference, "b": nobodyKnows, "c": nobodyKnows, "d": nobodyKnows}
	if diff := cmp.Diff(want, hows(got)); diff != "" {
		t.Errorf("how they would be made (-want +got):\n%s", diff)
	}
	if n := strings.Count(l.said.String(), "It is not known how 3 of the missing images would be made"); n != 1 || len(l.run.facts.Warnings) != 1 {
		t.Errorf("want one warning in the log and in the plan: %s%q", &l.said, l.run.facts.Warnings)
	}
}

// A registry that does not answer at all is asked for the first images only: each question may take its time.
func TestForeseeAsksSilentHostsOnce(t *testing.T) {
	l := newLookout(t)
	look := l.newLook()
	for i, base := range []string{"127.0.0.1:1/hub/a:latest", "127.0.0.1:1/hub/b:latest"} {
		target := plan.Target{InstanceID: base, BaseImage: base}
		begin := time.Now()
		if m := look.at(t.Context(), target); m.How != nobodyKnows || m.EvalBase != "" || !strings.Contains(m.Reason, "/hub/a") {
			t.Errorf("%s: %+v", base, m)
		}
		if took := time.Since(begin); i > 0 && took > time.Second {
			t.Errorf("the second image was asked for, too, for %v", took)
		}
	}
	if m := look.at(t.Context(), l.target(t, "c")); m.How != byRebase {
		t.Errorf("an image of another registry: %+v", m)
	}
}

// What no registry has to be asked for.
func TestForeseeWithoutReferences(t *testing.T) {
	a, b := plan.Target{InstanceID: "a"}, plan.Target{InstanceID: "b"}
	cases := []struct {
		name             string
		strategy         string
		targets, missing []plan.Target
		want             map[string]report.How
	}{
		{"native", config.StrategyNative, []plan.Target{a, b}, []plan.Target{a, b}, map[string]report.How{}},
		{"all there", config.StrategyAuto, []plan.Target{a, b}, nil, map[string]report.How{}},
		{"a run of one", config.StrategyAuto, []plan.Target{a}, []plan.Target{a}, map[string]report.How{"a": natively}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &run{config: config.Config{Strategy: c.strategy}, targets: c.targets}
			if diff := cmp.Diff(c.want, hows(r.foresee(t.Context(), nil, c.missing))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The last image that is missing is built: for later runs, too, where it makes two references of one, and for itself where
// there are none to begin with. It is rebased where there are two.
func TestForeseeTheLastOne(t *testing.T) {
	for found, want := range []report.How{natively, asReference, byRebase} {
		t.Run(fmt.Sprintf("%d references", found), func(t *testing.T) {
			l := newLookout(t)
			missing := []plan.Target{l.target(t, "a")}
			l.makeReferences(t, []string{"agent", "agent"}[:found]...)
			got := l.foresee(t.Context(), missing)
			if got.Images["a"].How != want || (want == natively) != (got.Images["a"].Reason != "") {
				t.Errorf("%+v, want %s", got.Images["a"], want)
			}
		})
	}
}

// Where the SDK does not tell how it builds, no image is rebased.
func TestRefusedRun(t *testing.T) {
	for strategy, want := range map[string]report.How{config.StrategyAuto: natively, config.StrategyRebase: notAtAll} {
		r := &run{config: config.Config{Strategy: strategy}}
		got := alike([]plan.Target{{InstanceID: "a"}}, r.refused(&rebase.Refusal{Reason: "too new"}))
		if diff := cmp.Diff(map[string]report.Making{"a": {How: want, Reason: "too new"}}, got.Images); diff != "" {
			t.Error(diff)
		}
	}
}
