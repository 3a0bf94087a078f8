package image

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// workers is a fake pool that answers by a function.
type workers func(ctx context.Context, r sdk.Request) (sdk.Response, error)

func (w workers) Build(ctx context.Context, r sdk.Request) (sdk.Response, error) { return w(ctx, r) }

// one makes one image.
func (f *fixture) one(t *testing.T, target plan.Target) *outcome.Outcome {
	t.Helper()
	r := f.newRun(t, true)
	if err := r.maker.All(t.Context(), []plan.Target{target}); err != nil || len(r.outcomes) != 1 {
		t.Fatalf("%d outcomes, %v", len(r.outcomes), err)
	}
	return r.outcomes[0]
}

// Every slot is used, and never one more.
func TestBuildsFillTheirSlots(t *testing.T) {
	h := native(t)
	h.settings.MaxWorkers = 3
	synctest.Test(t, func(t *testing.T) {
		r, begin := h.newRun(t, true), time.Now()
		var all sync.WaitGroup
		for range 7 {
			all.Go(func() {
				err := r.maker.inSlot(t.Context(), plan.Target{}, &outcome.Outcome{}, func() error {
					time.Sleep(time.Minute)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if r.most != 3 || r.started != 7 || r.running != 0 {
			t.Errorf("at most %d at once, %d started, %d not ended; want 3, 7 and 0", r.most, r.started, r.running)
		}
		if took := time.Since(begin); took != 3*time.Minute {
			t.Errorf("7 builds of a minute took %v in 3 slots, want 3m", took)
		}
	})
}

// A cancelled run begins no further image, and those that waited say that they were never started.
func TestCancelStopsScheduling(t *testing.T) {
	h := native(t)
	h.settings.MaxWorkers, h.settings.MaxRetries = 1, 2
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		targets, r := h.numbered(t, 3), h.newRun(t, true)
		time.AfterFunc(45*time.Second, cancel) // the first has passed the shared stages, and the others wait for its slot
		_ = r.maker.All(ctx, targets)
		differ(t, "classes", map[failure.Class]int{failure.ClassCancelled: 3}, classes(r.outcomes))
		differ(t, "builds", []string{numbered(0)}, h.did("image"))
		for _, out := range r.outcomes {
			first := out.Target.InstanceID == numbered(0)
			if len(out.Attempts) != map[bool]int{true: 1}[first] || strings.HasPrefix(out.Err.Error(), "not started: ") == first {
				t.Errorf("%s: %d attempts, %v", out.Target.InstanceID, len(out.Attempts), out.Err)
			}
		}
	})
}

func TestEndedContextTakesNoFreeSlot(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // a choice between a free slot and the end of a context may be taken either way
		err := newSlots("build", 1).do(ctx, &outcome.Outcome{}, outcome.WaitingToBuild, func() error {
			t.Fatal("it was begun")
			return nil
		})
		if failure.ClassOf(err) != failure.ClassCancelled {
			t.Fatalf("%v; want a cancelled image", err)
		}
	}
}

func TestOneFailedImageNeverStopsTheOthers(t *testing.T) {
	h := native(t)
	h.settings.MaxWorkers = 2
	synctest.Test(t, func(t *testing.T) {
		h.failsFor(map[string]error{numbered(2): noBase(numbered(2))})
		r := h.run(t, true, h.numbered(t, 12))
		differ(t, "classes", map[failure.Class]int{"": 11, failure.ClassBaseMissing: 1}, classes(r.outcomes))
		for _, out := range r.outcomes {
			if want := map[bool]outcome.Status{true: outcome.Failed, false: outcome.Built}[out.Target.InstanceID == numbered(2)]; out.Status() != want {
				t.Errorf("%s is %s", out.Target.InstanceID, out.Status())
			}
		}
	})
}

// refusing answers requests for a part of a path with a status.
func refusing(part string, status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

// tagOf is the tag in a reference.
func tagOf(reference string) string { return reference[strings.LastIndexByte(reference, ':')+1:] }

func TestPresentTellsMissingFromUnknown(t *testing.T) {
	h := native(t)
	synctest.Test(t, func(t *testing.T) {
		targets := h.numbered(t, 4)
		h.push(t, targets[0].Tags[0], h.bases[numbered(0)])
		h.ours.Fault = refusing(tagOf(targets[2].Tags[0]), http.StatusBadGateway)
		missing, done, err := FindMissing(t.Context(), h.newRun(t, true).registry, ours, targets, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]outcome.Status{}
		for _, o := range done {
			got[o.Target.InstanceID] = o.Status()
		}
		differ(t, "done", map[string]outcome.Status{numbered(0): outcome.Skipped, numbered(2): outcome.Failed}, got)
		differ(t, "missing", []plan.Target{targets[1], targets[3]}, missing)
	})
}

// An image is looked for once more before it is built.
func TestImageIsBuiltOnlyWhereItIsMissing(t *testing.T) {
	cases := []struct {
		name   string
		there  bool
		status int // by which the registry refuses to tell
		force  bool
		builds int
		want   outcome.Status
		class  failure.Class
	}{
		{"missing is built", false, 0, false, 1, outcome.Built, ""},
		{"present is skipped", true, 0, false, 0, outcome.Skipped, ""},
		{"present is built when that is forced", true, 0, true, 1, outcome.Built, ""},
		{"no answer fails, and is not built over", false, http.StatusBadGateway, false, 0, outcome.Failed, failure.ClassRegistry},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			h.settings.Force = c.force
			synctest.Test(t, func(t *testing.T) {
				target := h.numbered(t, 1)[0]
				if c.there {
					h.push(t, target.Tags[0], h.bases[target.InstanceID])
				}
				if c.status != 0 {
					h.ours.Fault = refusing("/manifests/", c.status)
				}
				out := h.one(t, target)
				if builds := len(h.did("image")); builds != c.builds || out.Status() != c.want || failure.ClassOf(out.Err) != c.class {
					t.Errorf("%d builds, %s, class %q; want %d, %s, %q", builds, out.Status(), failure.ClassOf(out.Err), c.builds, c.want, c.class)
				}
			})
		})
	}
}

// What was pushed must be in the registry under every tag, or it was not built.
func TestPushIsConfirmed(t *testing.T) {
	cases := []struct {
		name  string
		after func(h *fixture, response *sdk.Response)
		class failure.Class
		says  string
	}{
		{"it is there", func(*fixture, *sdk.Response) {}, "", ""},
		{
			"it is lost", func(h *fixture, _ *sdk.Response) { h.ours.Fault = refusing("/manifests/", http.StatusNotFound) },
			failure.ClassRegistry, "its tags are not all there on one digest",
		},
		{
			"one of two tags is missing", func(_ *fixture, response *sdk.Response) { response.Tags = append(response.Tags, ours+":other") },
			failure.ClassRegistry, "its tags are not all there on one digest",
		},
		{
			"another image's digest", func(h *fixture, response *sdk.Response) {
				h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodHead || !strings.HasSuffix(r.URL.Path, tagOf(response.Tags[0])) {
						return false
					}
					w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
					w.Header().Set("Content-Length", "100")
					w.Header().Set("Docker-Content-Digest", digestOf(nil))
					return true
				}
			},
			failure.ClassRegistry, "the registry named " + digestOf(nil) + " as the digest of ",
		},
		{
			"no answer", func(h *fixture, _ *sdk.Response) { h.ours.Fault = refusing("/manifests/", http.StatusBadGateway) },
			failure.ClassRegistry, "confirming the push: ",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			h.workers = workers(func(ctx context.Context, r sdk.Request) (sdk.Response, error) {
				response, err := h.Build(ctx, r)
				c.after(h, &response)
				return response, err
			})
			synctest.Test(t, func(t *testing.T) {
				out := h.one(t, h.numbered(t, 1)[0])
				if failure.ClassOf(out.Err) != c.class || (out.Digest == "") != (c.class != "") {
					t.Errorf("digest %q, %v; want class %q", out.Digest, out.Err, c.class)
				}
				if c.class != "" && !strings.Contains(out.Err.Error(), c.says) {
					t.Errorf("%v does not say %q", out.Err, c.says)
				}
			})
		})
	}
}

// What the registry's answer means decides whether it is asked again.
func TestUnansweredQuestions(t *testing.T) {
	cases := []struct {
		name   string
		answer func(w http.ResponseWriter)
		want   failure.Error
	}{
		{"502", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, failure.Error{Class: failure.ClassRegistry}},
		{"401", func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, failure.Error{Class: failure.ClassAuth}},
		{"403", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, failure.Error{Class: failure.ClassAuth}},
		{"429", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, failure.Error{Class: failure.ClassRateLimit}},
		{"403 that asks to wait", func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "700")
			w.WriteHeader(http.StatusForbidden)
		}, failure.Error{Class: failure.ClassRateLimit, RetryAfter: 700 * time.Second}},
		{"no such host", nil, failure.Error{Class: failure.ClassNetwork}},
		{"something new", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }, failure.Error{Class: failure.ClassRegistry}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := native(t)
			synctest.Test(t, func(t *testing.T) {
				target := h.numbered(t, 1)[0]
				h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					c.answer(w)
					return true
				}
				if c.answer == nil {
					delete(h.hosts, "images.test")
				}
				err := h.one(t, target).Err
				var got *failure.Error
				if !errors.As(err, &got) || got.Class != c.want.Class || got.RetryAfter != c.want.RetryAfter {
					t.Fatalf("%#v (%v); want %s after %v", got, err, c.want.Class, c.want.RetryAfter)
				}
				if !strings.HasPrefix(err.Error(), "asking the registry whether the image exists: ") {
					t.Errorf("%v does not say what was asked", err)
				}
			})
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

// lostBuilder is there for the first build only.
type lostBuilder struct {
	fakeBuilder
	reached *atomic.Int32
}

func (b lostBuilder) Reach(context.Context) error {
	if b.reached.Add(1) > 1 {
		return errNoBuilder
	}
	return nil
}

// An image that was tried, and then cannot be for want of a builder, does not say that it was not tried.
func TestImageWhoseBuilderIsLost(t *testing.T) {
	h := native(t)
	h.settings.MaxRetries = 2
	h.failsFor(map[string]error{"a": noNetwork})
	h.disk = lostBuilder{fakeBuilder{nil, &h.restarts}, new(atomic.Int32)}
	synctest.Test(t, func(t *testing.T) {
		r := h.newRun(t, true)
		_ = r.maker.All(t.Context(), h.targets(t, "a"))
		if out := r.outcomes[0]; len(out.Attempts) != 1 || out.Err.Error() != "not tried again: "+errNoBuilder.Error() {
			t.Errorf("%d attempts, %v", len(out.Attempts), out.Err)
		}
	})
}

// The context of an outcome is the run's. What begins when an image has ended, such as a look at the disk, may last longer than the
// images.
func TestOutcomesHaveTheContextOfTheRun(t *testing.T) {
	for _, h := range []*fixture{native(t), atOnce(t)} {
		synctest.Test(t, func(t *testing.T) {
			r := h.run(t, true, h.targets(t, "a", "b", "c"))
			if err := r.ended.Err(); err != nil {
				t.Errorf("after the images it is over: %v", err)
			}
		})
	}
}
