package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/go-units"
)

// Storage is the disk and the cache of a builder.
type Storage interface {
	// DiskUsed returns how much of the disk is used, in percent. It is called only if DiskVisible is set.
	DiskUsed() (percent float64, err error)
	// CacheSize returns the size of the builder's cache in bytes.
	CacheSize(ctx context.Context) (int64, error)
	// Prune removes cache until keep bytes are left. It returns how many bytes it freed.
	Prune(ctx context.Context, keep int64) (freed int64, err error)
}

// CacheReporter receives a CacheKeeper's messages.
type CacheReporter interface {
	Info(message string)
	Warn(message string)
	// Pruned reports a prune that started at begin, when the disk was used by that many percent.
	Pruned(begin time.Time, diskUsedPercent float64, freed int64)
}

// CacheKeeper checks the engine's disk and the builder's cache while images are built. It prunes the cache when the disk is
// nearly full. Builds continue during such a prune: BuildKit keeps what they use. Only one prune runs at a time. A nil
// CacheKeeper does nothing.
type CacheKeeper struct {
	Storage  Storage
	Reporter CacheReporter
	// Batch is the number of images between two checks.
	Batch int
	// Threshold is the disk usage in percent above which the cache is pruned. Keep is how many bytes of cache a prune leaves.
	Threshold float64
	Keep      int64
	// DiskVisible reports that this process can see the engine's disk.
	DiskVisible bool
	// Remote reports that the builder is a buildkitd at an address. Others may use its cache, so it is never pruned.
	Remote bool
	// Temporary reports that the builder is removed after the run, so that no check is needed after the last image.
	Temporary bool

	checks   sync.WaitGroup
	mu       sync.Mutex
	ended    int
	checking bool
	pruning  chan struct{} // closed when the prune that runs has ended; nil when none runs
}

// ImageEnded counts an image that has ended, and starts a check after each batch. It does not wait for the check. left is
// the number of images that have not ended.
func (k *CacheKeeper) ImageEnded(ctx context.Context, left int) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended++
	if ctx.Err() != nil || k.checking || k.ended%k.Batch != 0 || k.Temporary && left == 0 {
		return
	}
	k.checking = true
	k.checks.Go(func() {
		k.check(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.checking = false
	})
}

// Wait waits until the current check has ended. The end of its context ends a check early.
func (k *CacheKeeper) Wait() {
	if k != nil {
		k.checks.Wait()
	}
}

// checkTimeout bounds one check. pruneTimeout bounds one prune, which takes longer because it deletes files.
const checkTimeout, pruneTimeout = time.Minute, 10 * time.Minute

// check reports the usage of disk and cache, and prunes the cache if the disk is too full.
func (k *CacheKeeper) check(ctx context.Context) {
	size, err := k.cacheSize(ctx)
	if err != nil {
		k.warn(ctx, err)
		return
	}
	text := "disk: the builder's cache holds " + humanSize(size)
	if k.Remote {
		k.Reporter.Info(text + "; it is never pruned, because others may use it too")
		return
	}
	if !k.DiskVisible {
		k.Reporter.Info(text + "; this process cannot see its disk, so the cache is pruned only when a build finds the disk full")
		return
	}
	used, err := k.Storage.DiskUsed()
	if err != nil {
		k.warn(ctx, err)
		return
	}
	text += fmt.Sprintf(", %.0f%% of the engine's disk is used", used)
	switch {
	case used <= k.Threshold || k.Threshold >= 100:
		k.Reporter.Info(text)
	case size <= k.Keep:
		k.Reporter.Info(text + fmt.Sprintf(", more than prune-threshold-percent; a cache below keep-storage-gb (%s) is not pruned", humanSize(k.Keep)))
	default:
		k.Reporter.Info(text + fmt.Sprintf(", more than prune-threshold-percent: pruning it down to %s", humanSize(k.Keep)))
		k.warn(ctx, k.pruneAlone(ctx, k.Keep, used))
	}
}

func (k *CacheKeeper) cacheSize(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return k.Storage.CacheSize(ctx)
}

// warn reports an error as a warning, because builds can continue. The cancel of a check is no error.
func (k *CacheKeeper) warn(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		k.Reporter.Warn("Checking the disk: " + err.Error())
	}
}

// errNeverPruned is the reason not to prune after a build has found the disk full.
var errNeverPruned = errors.New("the cache of a buildkitd at an address is never pruned, because others may use it too")

// Prune makes room after a build has found the disk full. It keeps Keep bytes or half of the cache, whichever is less,
// because the disk may be smaller than Keep; with all it keeps nothing. Prune also reports its error as a warning.
func (k *CacheKeeper) Prune(ctx context.Context, all bool) error {
	if k == nil || k.Remote {
		return errNeverPruned
	}
	size, err := k.cacheSize(ctx)
	if err == nil {
		keep := min(k.Keep, size/2)
		if all {
			keep = 0
		}
		err = k.pruneAlone(ctx, keep, 100)
	}
	k.warn(ctx, err)
	return err
}

// pruneAlone prunes when no other prune runs.
func (k *CacheKeeper) pruneAlone(ctx context.Context, keep int64, used float64) error {
	k.mu.Lock()
	for running := k.pruning; running != nil; running = k.pruning {
		k.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		k.mu.Lock()
	}
	ended := make(chan struct{})
	k.pruning = ended
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.pruning = nil
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	begin := time.Now()
	freed, err := k.Storage.Prune(ctx, keep)
	if err != nil {
		return err
	}
	k.Reporter.Pruned(begin, used, freed)
	k.Reporter.Info(fmt.Sprintf("disk: freed %s of the builder's cache in %.1f s", humanSize(freed), time.Since(begin).Seconds()))
	return nil
}

func humanSize(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }
