package pipeline

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/ledger"
)

const gigabytes = 1_000_000_000

// testDisk is a disk that is 70% full with a cache of 80 GB, from which a prune frees 20 GB.
type testDisk struct {
	*disk
	said, warned []string
	kept         []int64 // by each prune
	freed        []ledger.Pruning
}

func newTestDisk() *testDisk {
	d := &testDisk{}
	d.disk = &disk{
		batch: 2, threshold: 60, keep: 60 * gigabytes, left: 10,
		used: func() (float64, error) { return 70, nil },
		size: func(context.Context) (int64, error) { return 80 * gigabytes, nil },
		prune: func(_ context.Context, keep int64) (int64, error) {
			d.kept = append(d.kept, keep)
			return 20 * gigabytes, nil
		},
		tell:   func(s string) { d.said = append(d.said, s) },
		warn:   func(s string) { d.warned = append(d.warned, s) },
		pruned: func(p ledger.Pruning) { d.freed = append(d.freed, p) },
	}
	return d
}

func TestLook(t *testing.T) {
	cases := []struct {
		name   string
		change func(*testDisk)
		kept   []int64
		says   string
		warns  string
	}{
		{"above the threshold", func(*testDisk) {}, []int64{60 * gigabytes}, "freed 20GB", ""},
		{"below it", func(d *testDisk) { d.used = func() (float64, error) { return 60, nil } }, nil, "60% of the engine's disk is used", ""},
		{"never", func(d *testDisk) { d.threshold = 100; d.used = func() (float64, error) { return 100, nil } }, nil, "100%", ""},
		{"a small cache", func(d *testDisk) { d.keep = 90 * gigabytes }, nil, "below keep-storage-gb (90GB) is not pruned", ""},
		{"no disk in sight", func(d *testDisk) { d.used = nil }, nil, "holds 80GB; its disk cannot be seen from here", ""},
		{"a buildkitd at an address", func(d *testDisk) { d.remote = true }, nil, "and not then", ""},
		{"no disk", func(d *testDisk) { d.used = func() (float64, error) { return 0, errors.New("gone") } }, nil, "", "gone"},
		{"no cache", func(d *testDisk) {
			d.size = func(context.Context) (int64, error) { return 0, errors.New("no builder") }
		}, nil, "", "no builder"},
		{"a prune that fails", func(d *testDisk) {
			d.prune = func(context.Context, int64) (int64, error) { return 0, errors.New("busy") }
		}, nil, "pruning it down", "busy"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newTestDisk()
			c.change(d)
			d.look(t.Context())
			if diff := cmp.Diff(c.kept, d.kept); diff != "" {
				t.Errorf("prunes (-want +got):\n%s", diff)
			}
			if said := strings.Join(d.said, "\n"); !strings.Contains(said, c.says) {
				t.Errorf("it said %q, want %q in it", said, c.says)
			}
			warned := strings.Join(d.warned, "\n")
			if !strings.Contains(warned, c.warns) || (warned == "") != (c.warns == "") {
				t.Errorf("it warned %q, want %q in it", warned, c.warns)
			}
			if len(d.freed) != len(c.kept) {
				t.Errorf("%d prunes are in the record, want %d", len(d.freed), len(c.kept))
			}
		})
	}
}

func TestALookFollowsEachBatch(t *testing.T) {
	cases := []struct {
		name            string
		images, batch   int
		passing, cancel bool
		looks           int
	}{
		{"every second of five", 5, 2, false, false, 2},
		{"also after the last, for whoever uses the builder next", 4, 2, false, false, 2},
		{"not after the last of a builder that goes with the run", 4, 2, true, false, 1},
		{"none in a small run", 3, 15, false, false, 0},
		{"none in a cancelled run", 4, 1, false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newTestDisk()
			d.batch, d.passing = c.batch, c.passing
			d.expect(c.images)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				cancel()
			}
			for range c.images {
				d.finished(ctx)
				d.wait()
			}
			if len(d.freed) != c.looks {
				t.Errorf("%d looks, want %d", len(d.freed), c.looks)
			}
		})
	}
}

// Builds must not wait for a look.
func TestFinishedDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		var looks atomic.Int32
		d.size = func(context.Context) (int64, error) {
			looks.Add(1)
			time.Sleep(30 * time.Second)
			return 0, nil
		}
		begin := time.Now()
		for range 8 {
			d.finished(t.Context())
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %s", took)
		}
		d.wait()
		if looks.Load() != 1 {
			t.Errorf("%d looks at once, want 1", looks.Load())
		}
	})
}

func TestPruneForAFullDisk(t *testing.T) {
	cases := []struct {
		name string
		size int64
		keep int64
	}{
		{"a large cache", 200, 60},
		{"one below keep-storage-gb", 50, 25},
		{"one a little above it", 62, 31},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newTestDisk()
			d.size = func(context.Context) (int64, error) { return c.size * gigabytes, nil }
			if err := d.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int64{c.keep * gigabytes}, d.kept); diff != "" {
				t.Error(diff)
			}
		})
	}
	d := newTestDisk()
	d.remote = true
	if err := d.Prune(t.Context()); err == nil || len(d.kept) > 0 {
		t.Errorf("Prune of a buildkitd at an address = %v and %d prunes, want an error and none", err, len(d.kept))
	}
}

func TestOnePruneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		var prunes atomic.Int32
		d.prune = func(ctx context.Context, _ int64) (int64, error) {
			prunes.Add(1)
			time.Sleep(time.Minute)
			return 0, nil
		}
		d.pruned = func(ledger.Pruning) {}
		d.tell = func(string) {}
		ended := make(chan time.Duration, 8)
		begin := time.Now()
		for range 8 {
			go func() {
				if err := d.Prune(t.Context()); err != nil {
					t.Error(err)
				}
				ended <- time.Since(begin)
			}()
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		synctest.Wait()
		if err := d.Prune(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller whose time is over got %v", err)
		}
		for range 8 {
			if took := <-ended; took != time.Minute {
				t.Errorf("a caller waited %s, want until the one prune's end", took)
			}
		}
		if prunes.Load() != 1 {
			t.Errorf("%d prunes for 8 callers, want 1", prunes.Load())
		}
		d.Prune(t.Context())
		if prunes.Load() != 2 {
			t.Error("a later caller gets no prune")
		}
	})
}
