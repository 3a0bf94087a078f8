package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// smallDisk is a builder with a small disk, and the fake SDK's builds on it. A build takes room from its beginning on. What
// was built stays in the cache; what failed is removed.
type smallDisk struct {
	fakeBuilder
	*fixture
	needs map[string]int // what each image takes of the disk, by base image
	size  int

	mu              sync.Mutex
	running, cached int
	pruned          []string
}

func (d *smallDisk) Build(ctx context.Context, r sdk.Request) (response sdk.Response, err error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.BaseImage, hub+"/"), ":")
	name, _, _ = strings.Cut(name, "@")
	needs, left := d.needs[name], 0
	d.add(needs, 0)
	defer func() { d.add(-needs, left) }()
	time.Sleep(time.Minute)
	d.mu.Lock()
	full := d.running+d.cached > d.size
	d.mu.Unlock()
	if full {
		return response, &sdk.BuildFailure{ReturnCode: 1, Tail: "ERROR: failed to solve: write /var/lib/buildkit/x: no space left on device"}
	}
	if response, err = d.fixture.Build(ctx, r); err == nil {
		left = needs
	}
	return response, err
}

func (d *smallDisk) add(running, cached int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.cached = d.running+running, d.cached+cached
}

func (d *smallDisk) Prune(_ context.Context, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running > 0 {
		d.pruned = append(d.pruned, "beside a build")
	}
	d.cached /= 2
	if all {
		d.cached = 0
	}
	d.pruned = append(d.pruned, fmt.Sprintf("to %d", d.cached))
}

func (d *smallDisk) Space(context.Context) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("free: builder's root %dGB of %dGB", d.size-d.cached, d.size)
}

// What fits on the builder's disk is built, if need be alone and without any cache.
func TestFullDisk(t *testing.T) {
	const size = 24
	const tooLarge = "disk-full"
	cases := []struct {
		name    string
		rebased bool
		retries int
		needs   map[string]int
		want    map[string]string
	}{
		{"images that fit alone only", false, 2, map[string]int{"a": 14, "b": 14, "c": 14}, map[string]string{"a": "native", "b": "native", "c": "native"}},
		{"many of them", false, 2, map[string]int{"a": 9, "b": 9, "c": 9, "d": 9, "e": 9, "f": 9}, map[string]string{
			"a": "native", "b": "native", "c": "native", "d": "native", "e": "native", "f": "native",
		}},
		{"one that fits without any cache only", false, 2, map[string]int{"a": 10, "b": 23, "c": 10}, map[string]string{"a": "native", "b": "native", "c": "native"}},
		{"the same, with one retry", false, 1, map[string]int{"a": 10, "b": 23, "c": 10}, map[string]string{"a": "native", "b": "native", "c": "native"}},
		{"one that never fits", false, 2, map[string]int{"a": 14, "b": 25, "c": 14}, map[string]string{"a": "native", "b": tooLarge, "c": "native"}},
		{"eval-bases that fit alone only", true, 2, map[string]int{"a": 14, "b": 14, "c": 14, "d": 14, "e": 14}, map[string]string{
			"a": "native", "b": "native", "c": "rebase", "d": "rebase", "e": "rebase",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if !c.rebased {
				f.settings.NotRebased = "strategy native"
			}
			f.settings.MaxWorkers, f.settings.MaxRetries = 2, c.retries
			d := &smallDisk{fakeBuilder: fakeBuilder{restarts: &f.restarts}, fixture: f, needs: c.needs, size: size}
			f.workers, f.disk = d, d
			synctest.Test(t, func(t *testing.T) {
				var names []string
				for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
					if c.needs[name] > 0 {
						names = append(names, name)
					}
				}
				r := f.run(t, true, f.targets(t, names...))
				got := map[string]string{}
				for _, out := range r.outcomes {
					got[out.Target.InstanceID] = out.Strategy
					if out.Status() == outcome.Failed {
						got[out.Target.InstanceID] = string(failure.ClassOf(out.Err))
						if !strings.Contains(out.Err.Error(), "no space left on device; free: builder's root 24GB of 24GB") || len(out.Attempts) != c.retries+1 {
							t.Errorf("%s failed by %v after %d attempts; want %d, the last without any cache", out.Target.InstanceID, out.Err, len(out.Attempts), c.retries+1)
						}
					}
				}
				differ(t, "images", c.want, got)
				if told := strings.Join(d.pruned, ", "); len(d.pruned) == 0 || strings.Contains(told, "beside") {
					t.Errorf("prunes: %s; want some, none beside a build", told)
				}
			})
		})
	}
}
