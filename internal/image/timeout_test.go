package image

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// slowBlobs sends blobs byte by byte, each in a given time.
type slowBlobs struct {
	next http.RoundTripper
	take map[string]time.Duration // by digest
}

func (s *slowBlobs) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Method == http.MethodPut { // the registry locks itself while it reads
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := s.next.RoundTrip(r)
	_, digest, isBlob := strings.Cut(r.URL.Path, "/blobs/")
	if err != nil || !isBlob || r.Method != http.MethodGet || s.take[digest] == 0 {
		return resp, err
	}
	content, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(&trickle{r.Context(), bytes.NewReader(content), s.take[digest] / time.Duration(len(content))})
	return resp, err
}

// trickle reads one byte at a time, and ends with its request.
type trickle struct {
	ctx      context.Context
	content  io.Reader
	interval time.Duration
}

func (s *trickle) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.interval):
		return s.content.Read(p[:1])
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}

// layerDigest is that of a layer of an instance's eval-base: 0 is the base image's.
func (h *fixture) layerDigest(t *testing.T, id string, i int) string {
	t.Helper()
	layers, err := registrytest.EvalBase(h.bases[id], "unknown", id).Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := layers[i].Digest()
	return digest.String()
}

// Layers of eval-bases that arrive byte by byte end the images that need them, and no others. An image does not pay for the time in which
// it waits for a layer that another one copies, nor for the references.
func TestImageTimeoutCoversCopies(t *testing.T) {
	const timeout = 50 * time.Second
	all := map[string]string{"i0": "rebase", "i1": "rebase", "i2": "rebase"}
	without := func(ids ...string) map[string]string {
		left := maps.Clone(all)
		for _, id := range ids {
			left[id] = "timeout"
		}
		return left
	}
	type layer struct {
		instance string
		number   int // 0 is that of the base image, which i0 and i1 share
	}
	cases := []struct {
		name    string
		take    map[layer]time.Duration
		builds  time.Duration // of each reference
		retries int
		want    map[string]string
		within  time.Duration
	}{
		{"one that never ends", map[layer]time.Duration{{"i2", 1}: time.Hour}, 0, 0, without("i2"), timeout + 5*time.Second},
		{"tried once more", map[layer]time.Duration{{"i2", 1}: time.Hour}, 0, 5, without("i2"), 2*timeout + 5*time.Second},
		{"two that take too long together", map[layer]time.Duration{{"i2", 0}: 30 * time.Second, {"i2", 1}: 30 * time.Second}, 0, 0, without("i2"), timeout + 5*time.Second},
		{"one that takes nearly as long", map[layer]time.Duration{{"i2", 1}: 40 * time.Second}, 0, 0, all, timeout},
		{"one that two need", map[layer]time.Duration{{"i0", 0}: time.Hour}, 0, 0, without("i0", "i1"), timeout + 5*time.Second},
		{"one after another's", map[layer]time.Duration{{"i0", 0}: 40 * time.Second, {"i1", 1}: 40 * time.Second}, 0, 0, all, 2 * timeout},
		{"references that take longer", nil, 40 * time.Second, 0, all, time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, "hub.test/bases")
			h.settings.ImageTimeout, h.settings.MaxRetries = timeout, c.retries
			synctest.Test(t, func(t *testing.T) {
				h.bases["i0"], h.bases["i1"] = registrytest.Base("i0"), registrytest.WithConfig(registrytest.Base("i0"), func(c *v1.ConfigFile) { c.Author = "i1" })
				for _, id := range []string{"i0", "i1"} {
					h.push(t, hub+"/"+id+":latest", h.bases[id])
				}
				h.takes = func(string) time.Duration { return c.builds }
				targets := h.targetsWithEvalBases(t, 3)
				h.hub.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
					if strings.Contains(r.URL.Path, "/i1/manifests") { // the copy is i0's
						time.Sleep(time.Second)
					}
					return false
				}
				slow := &slowBlobs{take: map[string]time.Duration{}}
				for which, take := range c.take {
					slow.take[h.layerDigest(t, which.instance, which.number)] = take
				}
				h.between = func(next http.RoundTripper) http.RoundTripper {
					slow.next = next
					return slow
				}
				begin := time.Now()
				r := h.run(t, true, targets)
				took := time.Since(begin)
				made := r.made()
				delete(made, "a")
				delete(made, "b")
				differ(t, "images", c.want, made)
				if took > c.within {
					t.Errorf("it took %s, want at most %s", took, c.within)
				}
				for _, out := range r.outcomes {
					if out.Err != nil && !strings.Contains(out.Err.Error(), "image-timeout") {
						t.Errorf("%s: %v", out.Target.InstanceID, out.Err)
					}
				}
				h.between = nil
				h.whole(t, targets)
			})
		})
	}
}

// The layers of an eval-base and those of the references share one image-timeout.
func TestImageTimeoutCoversBothCopies(t *testing.T) {
	const timeout = 50 * time.Second
	for each, want := range map[time.Duration]string{20 * time.Second: "rebase", 30 * time.Second: "timeout"} {
		t.Run(each.String(), func(t *testing.T) {
			h := with(t, "hub.test/bases")
			h.settings.ImageTimeout = timeout
			synctest.Test(t, func(t *testing.T) {
				h.takes = func(string) time.Duration { return 0 }
				targets := h.targetsWithEvalBases(t, 1)
				h.run(t, true, targets[:2])
				h.ours.Forget("eval", h.agentLayer())
				h.between = func(next http.RoundTripper) http.RoundTripper {
					return &slowBlobs{next: next, take: map[string]time.Duration{h.layerDigest(t, "i0", 1): each, h.agentLayer(): each}}
				}
				begin := time.Now()
				r := h.run(t, false, targets[2:])
				differ(t, "images", map[string]string{"i0": want}, r.made())
				if took := time.Since(begin); took > timeout+5*time.Second {
					t.Errorf("it took %s, want at most %s", took, timeout+5*time.Second)
				}
			})
		})
	}
}

// A reporter knows at any time what the images wait for.
func TestMakerTellsWhatImagesWaitFor(t *testing.T) {
	h := with(t, "hub.test/bases")
	h.settings.MaxWorkers = 1
	synctest.Test(t, func(t *testing.T) {
		targets := h.targetsWithEvalBases(t, 5) // the first three may have to become references
		targets = append(targets, h.targets(t, "new")...)
		layer := h.layerDigest(t, "i4", 1)
		h.between = func(next http.RoundTripper) http.RoundTripper {
			return &slowBlobs{next: next, take: map[string]time.Duration{layer: 50 * time.Second}}
		}
		r := h.newRun(t, true)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.makeAll(t, h, targets)
		}()
		at := func(moment time.Duration, want map[string]string) {
			t.Helper()
			time.Sleep(moment - time.Since(start))
			got := r.does()
			for id, what := range want {
				if got[id] != what {
					t.Errorf("after %s %s is %q, want %q", moment, id, got[id], what)
				}
			}
		}
		at(30*time.Second, map[string]string{"i3": "waiting for the references", "new": "waiting for an eval-base", "a": ""})
		<-r.maker.references.done
		at(time.Since(start)+20*time.Second, map[string]string{"i4": "pushing " + layer, "i3": ""})
		<-ended
		at(time.Since(start), map[string]string{"i3": "", "i4": "", "new": "", "a": "", "b": ""})
	})
}

// image-timeout ends the inspection of an eval-base, and a build of its stage that does not end by itself. Of two images that wait for the
// eval-base, both fail by it, and a later one tries again.
func TestImageTimeoutCoversEvalBases(t *testing.T) {
	cases := []struct {
		name   string
		docker string // in real time
		builds time.Duration
	}{
		{"an inspection", "sleep 60", 0},
		{"a build", "", time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			h.takes = func(string) time.Duration { return 0 }
			h.run(t, true, h.targets(t, "a", "b"))
			h.settings.ImageTimeout = 300 * time.Millisecond
			h.takes = func(string) time.Duration { return c.builds }
			if c.docker != "" {
				h.dockerIs(t, c.docker)
			}
			one := h.targets(t, "c")[0]
			other := plan.Target{
				InstanceID: "other", BaseImage: one.BaseImage, CustomTag: "other",
				Tags: []string{h.tag(ours, h.sha, "other", h.settings.Request.Target)},
			}
			begin := time.Now()
			r := h.run(t, true, []plan.Target{one, other})
			differ(t, "images", map[string]string{"c": "timeout", "other": "timeout"}, r.made())
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			for _, out := range r.outcomes {
				if !strings.Contains(out.Err.Error(), "image-timeout") {
					t.Errorf("%s: %v", out.Target.InstanceID, out.Err)
				}
			}
		})
	}
}

// A question to a registry that image-timeout ends is no cancel.
func TestImageTimeoutIsNoCancel(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 0, sdk.ErrTimeout)
	defer cancel()
	<-ctx.Done()
	if class := failure.ClassOf(registryFailure(ctx, "checking", ctx.Err())); class != failure.ClassTimeout {
		t.Errorf("it is %s", class)
	}
}
