package docker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const gigabytes = 1_000_000_000

// keeper is a CacheKeeper with its Storage and its CacheReporter. The disk is 70% full with a cache of 80 GB, and a prune frees
// 20 GB.
type keeper struct {
	*CacheKeeper
	used, size     int64
	usedErr        error
	sizeErr        error
	pruneErr       error
	takes          time.Duration // a look at the cache, or a prune
	mu             sync.Mutex
	looks          int
	kept           []int64 // by each prune
	pruned         int     // prunes that were reported
	said, warnings []string
}

func newKeeper() *keeper {
	k := &keeper{used: 70, size: 80 * gigabytes}
	k.CacheKeeper = &CacheKeeper{Storage: k, Reporter: k, Batch: 2, Threshold: 60, Keep: 60 * gigabytes, DiskVisible: true}
	return k
}

func (k *keeper) DiskUsed() (float64, error) { return float64(k.used), k.usedErr }

func (k *keeper) CacheSize(context.Context) (int64, error) {
	k.mu.Lock()
	k.looks++
	k.mu.Unlock()
	return k.size, k.sizeErr
}

func (k *keeper) Prune(_ context.Context, keep int64) (int64, error) {
	time.Sleep(k.takes)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pruneErr == nil {
		k.kept = append(k.kept, keep)
	}
	return 20 * gigabytes, k.pruneErr
}

func (k *keeper) Info(message string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said = append(k.said, message)
}

func (k *keeper) Warn(message string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.warnings = append(k.warnings, message)
}

func (k *keeper) Pruned(time.Time, float64, int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pruned++
}

func TestLookPrunesACacheThatIsTooLargeOnAFullDisk(t *testing.T) {
	cases := []struct {
		name   string
		change func(*keeper)
		kept   []int64
		says   string
		warns  string
	}{
		{"above the threshold", func(*keeper) {}, []int64{60 * gigabytes}, "freed 20GB", ""},
		{"below it", func(k *keeper) { k.used = 60 }, nil, "60% of the engine's disk is used", ""},
		{"never", func(k *keeper) { k.Threshold, k.used = 100, 100 }, nil, "100%", ""},
		{"a small cache", func(k *keeper) { k.Keep = 90 * gigabytes }, nil, "below keep-storage-gb (90GB) is not pruned", ""},
		{"no disk in sight", func(k *keeper) { k.DiskVisible = false }, nil, "holds 80GB; this process cannot see its disk", ""},
		{"a buildkitd at an address", func(k *keeper) { k.Remote = true }, nil, "it is never pruned, because others may use it too", ""},
		{"no disk", func(k *keeper) { k.usedErr = errors.New("gone") }, nil, "", "gone"},
		{"no cache", func(k *keeper) { k.sizeErr = errors.New("no builder") }, nil, "", "no builder"},
		{"a prune that fails", func(k *keeper) { k.pruneErr = errors.New("busy") }, nil, "pruning it down", "busy"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			c.change(k)
			k.Batch = 1
			k.ImageEnded(t.Context(), 1)
			k.Wait()
			if diff := cmp.Diff(c.kept, k.kept); diff != "" {
				t.Errorf("prunes (-want +got):\n%s", diff)
			}
			if said := strings.Join(k.said, "\n"); !strings.Contains(said, c.says) {
				t.Errorf("it said %q, want %q in it", said, c.says)
			}
			warned := strings.Join(k.warnings, "\n")
			if !strings.Contains(warned, c.warns) || (warned == "") != (c.warns == "") {
				t.Errorf("it warned %q, want %q in it", warned, c.warns)
			}
			if k.pruned != len(c.kept) {
				t.Errorf("%d prunes were reported, want %d", k.pruned, len(c.kept))
			}
		})
	}
}

func TestALookFollowsEachBatch(t *testing.T) {
	cases := []struct {
		name              string
		images, batch     int
		temporary, cancel bool
		looks             int
	}{
		{"every second of five", 5, 2, false, false, 2},
		{"also after the last, for whoever uses the builder next", 4, 2, false, false, 2},
		{"not after the last of a builder that goes with the run", 4, 2, true, false, 1},
		{"none in a small run", 3, 15, false, false, 0},
		{"none in a cancelled run", 4, 1, false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			k.Batch, k.Temporary = c.batch, c.temporary
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				cancel()
			}
			for i := range c.images {
				k.ImageEnded(ctx, c.images-1-i)
				k.Wait()
			}
			if k.pruned != c.looks {
				t.Errorf("%d looks, want %d", k.pruned, c.looks)
			}
		})
	}
}

// slowCache takes half a minute to tell its size.
type slowCache struct{ *keeper }

func (s slowCache) CacheSize(ctx context.Context) (int64, error) {
	time.Sleep(30 * time.Second)
	_, _ = s.keeper.CacheSize(ctx)
	return 0, nil
}

func TestImagesDoNotWaitForALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper()
		k.Storage = slowCache{k}
		begin := time.Now()
		for i := range 8 {
			k.ImageEnded(t.Context(), 7-i)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %s", took)
		}
		k.Wait()
		if k.looks != 1 {
			t.Errorf("%d looks at once, want 1", k.looks)
		}
	})
}

func TestPruneForAFullDiskLeavesHalfOfASmallCache(t *testing.T) {
	cases := []struct {
		name string
		size int64
		all  bool
		keep int64
	}{
		{"a large cache", 200, false, 60},
		{"one below keep-storage-gb", 50, false, 25},
		{"one a little above it", 62, false, 31},
		{"all of it", 200, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			k.size = c.size * gigabytes
			if err := k.CacheKeeper.Prune(t.Context(), c.all); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int64{c.keep * gigabytes}, k.kept); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPruneLeavesTheCacheOfABuildkitdAtAnAddress(t *testing.T) {
	k := newKeeper()
	k.Remote = true
	if err := k.CacheKeeper.Prune(t.Context(), true); err == nil || len(k.kept) > 0 {
		t.Errorf("Prune = %v and %d prunes, want an error and none", err, len(k.kept))
	}
}

// A prune that a look began may leave too much: who has found the disk full prunes once more.
func TestOnePruneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper()
		k.takes, k.Batch = time.Minute, 1
		k.ImageEnded(t.Context(), 1)
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.CacheKeeper.Prune(impatient, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller whose time is over got %v", err)
		}
		begin := time.Now()
		if err := k.CacheKeeper.Prune(t.Context(), true); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 119*time.Second {
			t.Errorf("it took %s, want the rest of the first prune's minute, and its own", took)
		}
		if diff := cmp.Diff([]int64{60 * gigabytes, 0}, k.kept); diff != "" {
			t.Errorf("prunes (-want +got):\n%s", diff)
		}
	})
}
