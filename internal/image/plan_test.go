package image

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// planned are the decisions of a dry run, which has no builder.
func (h *fixture) planned(t *testing.T, missing []plan.Target) (plan.Decisions, *ran) {
	t.Helper()
	r := h.newRun(t, false)
	return r.maker.Plan(t.Context(), missing), r
}

func hows(d plan.Decisions) map[string]plan.How {
	all := map[string]plan.How{}
	for id, one := range d.Images {
		all[id] = one.How
	}
	return all
}

// evalBasesToMake are the different eval-bases that a plan has to make.
func evalBasesToMake(d plan.Decisions) int {
	missing := map[string]bool{}
	for _, one := range d.Images {
		if one.Missing {
			missing[one.EvalBase] = true
		}
	}
	return len(missing)
}

// plantReferences leaves the references of an earlier run.
func (h *fixture) plantReferences(t *testing.T) {
	t.Helper()
	h.run(t, true, h.targets(t, "x", "y"))
}

// plantEvalBase leaves the eval-base of an instance as an earlier run does.
func (h *fixture) plantEvalBase(t *testing.T, id, mark string, made time.Time) {
	t.Helper()
	h.plantOn(t, ours, h.bases[id], "planted", mark, made)
}

// plantOn leaves an eval-base on an image in some repository.
func (h *fixture) plantOn(t *testing.T, repository string, base v1.Image, build, mark string, made time.Time) {
	t.Helper()
	img := registrytest.EvalBase(base, "unknown", build)
	h.push(t, repository+":"+key(t, base), mutate.Annotations(img, map[string]string{
		rebase.MarkAnnotation: mark, "org.opencontainers.image.created": made.UTC().Format(time.RFC3339),
	}).(v1.Image))
}

// What a plan decides depends on what the registries have. It looks at each reference once, and writes nothing.
func TestPlanDecidesByWhatIsThere(t *testing.T) {
	const (
		native, reference, rebased, none = plan.Native, plan.Reference, plan.Rebase, plan.None
	)
	cases := []struct {
		name    string
		prepare func(t *testing.T, h *fixture, missing []plan.Target)
		want    map[string]plan.How
		missing int // eval-bases
		verify  int
	}{
		{
			"nothing is there", func(*testing.T, *fixture, []plan.Target) {},
			map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased},
			2, 1,
		},
		{"references and eval-bases are there", func(t *testing.T, h *fixture, missing []plan.Target) {
			h.plantReferences(t)
			for _, target := range missing {
				h.plantEvalBase(t, target.InstanceID, rebase.MarkPlain, time.Now())
			}
		}, map[string]plan.How{"a": rebased, "b": rebased, "c": rebased, "d": rebased}, 0, 1},
		{"one reference", func(t *testing.T, h *fixture, _ []plan.Target) {
			h.plantReferences(t)
			h.delete(t, h.reference("2"))
		}, map[string]plan.How{"a": reference, "b": rebased, "c": rebased, "d": rebased}, 3, 1},
		{"forced", func(t *testing.T, h *fixture, _ []plan.Target) {
			h.plantReferences(t)
			h.settings.Force = true
		}, map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased}, 2, 1},
		// A run asks for no eval-base then: it would make one in vain.
		{"references that do not agree", func(t *testing.T, h *fixture, _ []plan.Target) {
			n := 0
			h.configured = func(c *v1.ConfigFile) {
				n++
				c.Config.Env = append(c.Config.Env, fmt.Sprint("OF=", n))
			}
			h.plantReferences(t)
		}, map[string]plan.How{"a": native, "b": native, "c": native, "d": native}, 0, 0},
		{"an eval-base that was refused", func(t *testing.T, h *fixture, _ []plan.Target) {
			h.plantEvalBase(t, "c", rebase.MarkRefused+"a link", time.Now())
		}, map[string]plan.How{"a": reference, "b": reference, "c": native, "d": rebased}, 1, 1},
		{"the same, and only rebases will do", func(t *testing.T, h *fixture, _ []plan.Target) {
			h.settings.Strict = true
			h.plantEvalBase(t, "c", rebase.MarkRefused+"a link", time.Now())
		}, map[string]plan.How{"a": reference, "b": reference, "c": none, "d": rebased}, 1, 1},
		{"an eval-base that is too old", func(t *testing.T, h *fixture, _ []plan.Target) {
			h.settings.EvalBaseMaxAge = time.Hour
			h.plantEvalBase(t, "c", rebase.MarkPlain, time.Now().Add(-2*time.Hour))
			h.plantEvalBase(t, "d", rebase.MarkPlain, time.Now())
		}, map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased}, 1, 1},
		{
			"a base image that is not there", func(_ *testing.T, _ *fixture, missing []plan.Target) { missing[3].BaseImage += "er" },
			map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": native},
			1, 1,
		},
		{"a base image that needs Python packages", func(_ *testing.T, _ *fixture, missing []plan.Target) {
			missing[3].PipRequirements = "roman"
		}, map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased}, 2, 1},
		{"two images on one base image", func(_ *testing.T, _ *fixture, missing []plan.Target) {
			missing[3].BaseImage = missing[2].BaseImage
		}, map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased}, 1, 1},
		{
			"as many to verify as are rebased", func(_ *testing.T, h *fixture, _ []plan.Target) { h.settings.Verify = 9 },
			map[string]plan.How{"a": reference, "b": reference, "c": rebased, "d": rebased},
			2, 2,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			missing := h.targets(t, "a", "b", "c", "d")
			c.prepare(t, h, missing)
			if h.settings.Verify == 0 { // else references would be verified, too
				h.settings.Verify = 1
			}
			h.ours.Reset()
			h.hub.Reset()
			got, r := h.planned(t, missing)
			differ(t, "how they would be made", c.want, hows(got))
			if n := evalBasesToMake(got); n != c.missing || got.Verify != c.verify {
				t.Errorf("%d eval-bases to be made, %d to verify; want %d, %d", n, got.Verify, c.missing, c.verify)
			}
			asked := 2
			if h.settings.Force {
				asked = 0
			}
			if n := h.ours.Count(http.MethodGet, "/reference-"); n != asked {
				t.Errorf("it asked for %d references, want %d", n, asked)
			}
			for _, registry := range []*registrytest.GitHub{h.ours, h.hub} {
				for method, n := range registry.Methods() {
					if method != http.MethodGet && method != http.MethodHead {
						t.Errorf("it sent %d %s", n, method)
					}
				}
			}
			if logs, err := os.ReadDir(r.logs); err != nil || len(logs) > 0 {
				t.Errorf("it wrote %v (%v)", logs, err)
			}
		})
	}
}

// Each image whose eval-base a run would look for costs a HEAD and a GET, and no more.
func TestPlanAsksLittle(t *testing.T) {
	h := atOnce(t)
	missing := h.targets(t, "a", "b", "c", "d")
	h.plantEvalBase(t, "d", rebase.MarkPlain, time.Now())
	h.ours.Reset()
	h.hub.Reset()
	h.planned(t, missing)
	if heads, gets := h.hub.Count(http.MethodHead, "/v2/bench/"), h.ours.Count(http.MethodGet, "/eval-base-"); heads != 2 || gets != 2 {
		t.Errorf("%d HEADs of base images and %d GETs of eval-bases, want 2 each", heads, gets)
	}
	if pulls := h.hub.Count(http.MethodGet, "/v2/bench/"); pulls != 0 {
		t.Errorf("%d GETs of base images, each of which counts as a pull at Docker Hub", pulls)
	}
	if all := h.ours.Count(http.MethodGet, "/v2/eval/"); all != 2+2 {
		t.Errorf("%d GETs in all, want those and one for each reference", all)
	}
}

// A user whose machine reaches no registry of base images still gets the plan, with one warning.
func TestPlanWithoutAnswers(t *testing.T) {
	h := atOnce(t)
	missing := h.targets(t, "a", "b", "c", "d", "e")
	h.hub.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	missing[4].BaseImage = "absent.test/e:latest"
	got, r := h.planned(t, missing)
	differ(t, "how they would be made", map[string]plan.How{
		"a": plan.Reference, "e": plan.Reference,
		"b": plan.Unknown, "c": plan.Unknown, "d": plan.Unknown,
	}, hows(got))
	if len(r.warnings) != 1 || !strings.HasPrefix(r.warnings[0], "It is not known how 3 of the missing images would be made: ") {
		t.Errorf("warnings: %q", r.warnings)
	}
}

// A registry of base images that does not answer is asked for the first images only: each question may take its time.
func TestPlanAsksSilentHostsOnce(t *testing.T) {
	h := atOnce(t)
	synctest.Test(t, func(t *testing.T) {
		h.plantReferences(t)
		missing := h.targets(t, "c")
		asked := map[string]bool{}
		silent := registrytest.New(nil, 0, 1)
		silent.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		h.hosts["silent.test"] = silent
		for i := range 5 * requestsAtOnce {
			id := fmt.Sprint("s", i)
			missing = append(missing, plan.Target{InstanceID: id, BaseImage: "silent.test/" + id + ":latest", Tags: []string{ours + ":" + id}})
		}
		begin := time.Now()
		got, _ := h.planned(t, missing)
		for _, target := range missing[1:] {
			d := got.Images[target.InstanceID]
			if d.How != plan.Unknown || d.EvalBase != "" || d.Reason == "" {
				t.Errorf("%s: %+v", target.InstanceID, d)
			}
			asked[d.Reason] = true
		}
		if took := time.Since(begin); took > 90*time.Second { // as long as the library waits for one answer, and a half
			t.Errorf("the plan took %s", took)
		}
		if len(asked) > requestsAtOnce {
			t.Errorf("the host was asked for %d images, want the first %d at most", len(asked), requestsAtOnce)
		}
		if d := got.Images["c"]; d.How != plan.Rebase {
			t.Errorf("an image of another registry: %+v", d)
		}
	})
}

// The last image that is missing is built: for later runs, too, where it makes two references of one, and for itself where
// there is none to begin with. It is rebased where there are two.
func TestPlanOfTheLastOne(t *testing.T) {
	for found, want := range []plan.How{plan.Native, plan.Reference, plan.Rebase} {
		t.Run(fmt.Sprint(found, " references"), func(t *testing.T) {
			h := atOnce(t)
			h.plantReferences(t)
			for _, i := range []string{"1", "2"}[found:] {
				h.delete(t, h.reference(i))
			}
			got, _ := h.planned(t, h.targets(t, "a"))
			if d := got.Images["a"]; d.How != want || (want == plan.Native) != (d.Reason != "") {
				t.Errorf("%+v, want %s", d, want)
			}
		})
	}
}

// Where the SDK does not tell how it builds, no image is rebased: each is built natively, or fails where only a rebase will do.
// A plan says so, and so it comes.
func TestRunThatRebasesNone(t *testing.T) {
	for _, c := range []struct {
		name   string
		strict bool
		want   plan.How
		made   string
	}{
		{"auto", false, plan.Native, "native: too new"},
		{"rebase", true, plan.None, "not-rebased: too new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := atOnce(t)
			h.settings.NotRebased, h.settings.Strict = "too new", c.strict
			targets := h.targets(t, "a", "b")
			got, _ := h.planned(t, targets)
			d := plan.Decision{How: c.want, Reason: "too new"}
			differ(t, "decisions", map[string]plan.Decision{"a": d, "b": d}, got.Images)
			r := h.run(t, !c.strict, targets)
			differ(t, "images", map[string]string{"a": c.made, "b": c.made}, r.made())
			if r.err != nil {
				t.Error(r.err)
			}
		})
	}
}

// A plan's counts are those of the run that follows.
func TestPlanComesTrue(t *testing.T) {
	h := newFixture(t)
	h.settings.Verify = 1
	synctest.Test(t, func(t *testing.T) {
		for _, when := range []string{"first commit", "next commit", "forced", "again"} {
			if when == "next commit" {
				h.sha = strings.Repeat("b", 40)
			}
			h.settings.Force = when == "forced"
			targets := h.targets(t, "a", "b", "c", "d", "e")

			dry := h.newRun(t, false)
			missing := targets
			if !h.settings.Force {
				var err error
				if missing, _, err = FindMissing(t.Context(), dry.registry, ours, targets, 0); err != nil {
					t.Fatal(err)
				}
			}
			var p plan.Decisions
			if len(missing) > 0 {
				p = dry.maker.Plan(t.Context(), missing)
			}
			foreseen := map[plan.How]int{}
			for _, how := range hows(p) {
				foreseen[how]++
			}

			r := h.run(t, true, targets)
			made := map[string]int{}
			for _, out := range r.outcomes {
				made[out.Strategy]++
			}
			differ(t, when+": images rebased, built",
				[]int{foreseen[plan.Rebase], foreseen[plan.Native] + foreseen[plan.Reference]},
				[]int{made[outcome.Rebase], made[outcome.Native]})
			differ(t, when+": eval-bases, base stages, comparisons", []int{evalBasesToMake(p), foreseen[plan.Reference], p.Verify},
				[]int{len(h.did("eval-base")), len(h.did("base stage")), len(h.did("comparison"))})
			if want := map[string]int{"first commit": 5, "next commit": 5, "forced": 5, "again": 0}[when]; len(p.Images) != want {
				t.Errorf("%s: %d decisions, want %d", when, len(p.Images), want)
			}
		}
	})
}

// Each base image that nothing was decided on is asked for. A registry that does not answer is not asked for each of its images, and says
// nothing about them.
func TestLookForBases(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "there", "absent", "denied", "known", "unknown")
		targets[1].BaseImage = hub + "/nothing:latest"
		for i := range 3 * requestsAtOnce {
			targets = append(targets, plan.Target{InstanceID: fmt.Sprint("silent", i), BaseImage: fmt.Sprintf("gone.test/silent%d:latest", i)})
		}
		h.hub.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			denied := strings.Contains(r.URL.Path, "/denied/manifests/")
			if denied {
				w.WriteHeader(http.StatusForbidden)
			}
			return denied
		}
		h.hub.Reset()
		var silent sync.Map // the paths that are asked for
		h.hosts["gone.test"] = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				silent.Store(r.URL.Path, true)
				panic(http.ErrAbortHandler)
			}
		})
		unknown := plan.Decision{How: plan.Unknown, Reason: "no answer"}
		decisions := plan.Decisions{Images: map[string]plan.Decision{"known": {Base: plan.BaseMissing}, "unknown": unknown}}
		LookForBases(t.Context(), h.newRun(t, false).registry, targets, &decisions)

		denied := decisions.Images["denied"]
		if !strings.Contains(denied.BaseProblem, "403, not allowed") || denied.Class != string(failure.ClassAuth) {
			t.Errorf("of the denied one: %+v", denied)
		}
		delete(decisions.Images, "denied")
		differ(t, "decisions", map[string]plan.Decision{
			"there": {Base: plan.BasePresent}, "absent": {Base: plan.BaseMissing}, "known": {Base: plan.BaseMissing}, "unknown": unknown,
		}, decisions.Images)
		for _, path := range []string{"/known/", "/unknown/"} {
			differ(t, "requests for "+path, 0, h.hub.Count(http.MethodHead, path))
		}
		asked := 0
		silent.Range(func(any, any) bool { asked++; return true })
		if asked == 0 || asked > requestsAtOnce {
			t.Errorf("the registry that does not answer was asked for %d images", asked)
		}
	})
}
