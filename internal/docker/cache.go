package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/go-units"
)

// Storage is where a builder keeps its cache.
type Storage interface {
	// DiskUsed is how much of the disk is used, in percent. It is only called where DiskVisible.
	DiskUsed() (percent float64, err error)
	// CacheSize is the size of the builder's cache, in bytes.
	CacheSize(ctx context.Context) (int64, error)
	// Prune removes from the cache until it holds keep bytes, and returns how many it freed.
	Prune(ctx context.Context, keep int64) (freed int64, err error)
}

// CacheReporter takes what a CacheKeeper tells.
type CacheReporter interface {
	Info(message string)
	Warn(message string)
	// Pruned reports a prune that began when the disk was used by so many percent.
	Pruned(begin time.Time, diskUsedPercent float64, freed int64)
}

// CacheKeeper looks after the engine's disk and the builder's cache while images are built, and prunes the cache, one prune at
// a time. Builds go on meanwhile: BuildKit leaves alone what they use. A nil CacheKeeper does nothing.
type CacheKeeper struct {
	Storage  Storage
	Reporter CacheReporter
	// Batch is how many images end between two looks.
	Batch int
	// Threshold is the percentage of the disk above which the cache is pruned, and Keep is how many bytes a prune leaves.
	Threshold float64
	Keep      int64
	// DiskVisible says that this process can see the engine's disk.
	DiskVisible bool
	// Remote says that the builder is a buildkitd at an address: others may use its cache too, and it is never pruned.
	Remote bool
	// Temporary says that the builder goes with the run: nobody needs room when the last image has ended.
	Temporary bool

	looks   sync.WaitGroup
	mu      sync.Mutex
	ended   int
	looking bool
	pruning chan struct{} // closed when the prune that runs has ended; nil when none runs
}

// ImageEnded counts an image that has ended, and begins a look after each batch. It does not wait for the look. left is how
// many images have not ended.
func (k *CacheKeeper) ImageEnded(ctx context.Context, left int) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended++
	if ctx.Err() != nil || k.looking || k.ended%k.Batch != 0 || k.Temporary && left == 0 {
		return
	}
	k.looking = true
	k.looks.Go(func() {
		k.look(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.looking = false
	})
}

// Wait waits until the last look has ended, which ends early with its context.
func (k *CacheKeeper) Wait() {
	if k != nil {
		k.looks.Wait()
	}
}

// lookWithin bounds one look, and pruneWithin one prune, which deletes files.
const lookWithin, pruneWithin = time.Minute, 10 * time.Minute

// look reports how full disk and cache are, and prunes where it is time to.
func (k *CacheKeeper) look(ctx context.Context) {
	size, err := k.cacheSize(ctx)
	if err != nil {
		k.warn(ctx, err)
		return
	}
	text := "disk: the builder's cache holds " + human(size)
	if k.Remote || !k.DiskVisible {
		k.Reporter.Info(text + "; its disk cannot be seen from here, so it is not pruned before it is full" + k.neverPruned())
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
		k.Reporter.Info(text + fmt.Sprintf(", more than prune-threshold-percent; a cache below keep-storage-gb (%s) is not pruned", human(k.Keep)))
	default:
		k.Reporter.Info(text + fmt.Sprintf(", more than prune-threshold-percent: pruning it down to %s", human(k.Keep)))
		k.warn(ctx, k.pruneOnce(ctx, k.Keep, used))
	}
}

// neverPruned ends the sentence for a cache that is not pruned even then.
func (k *CacheKeeper) neverPruned() string {
	if k.Remote {
		return ", and not then: what shares it is not known"
	}
	return ""
}

func (k *CacheKeeper) cacheSize(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	return k.Storage.CacheSize(ctx)
}

// warn makes a warning of an error: images can be built all the same. A cancelled look is no error.
func (k *CacheKeeper) warn(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		k.Reporter.Warn("Looking after the disk: " + err.Error())
	}
}

// errNeverPruned is why a full disk stays full.
var errNeverPruned = errors.New("the cache of a buildkitd at an address is not pruned: what shares it is not known")

// Prune makes room on a disk that a build has found full: down to Keep or to half of what the cache holds, whichever is less,
// for a disk may be smaller than Keep. It may be called from many goroutines: a caller that comes while a prune runs waits
// for the end of that one, and begins none. A failed prune is reported as a warning; the error is for the caller alone.
func (k *CacheKeeper) Prune(ctx context.Context) error {
	if k == nil || k.Remote {
		return errNeverPruned
	}
	size, err := k.cacheSize(ctx)
	if err == nil {
		err = k.pruneOnce(ctx, min(k.Keep, size/2), 100)
	}
	k.warn(ctx, err)
	return err
}

// pruneOnce prunes, or waits for the prune that runs.
func (k *CacheKeeper) pruneOnce(ctx context.Context, keep int64, used float64) error {
	k.mu.Lock()
	if running := k.pruning; running != nil {
		k.mu.Unlock()
		select {
		case <-running:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
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
	ctx, cancel := context.WithTimeout(ctx, pruneWithin)
	defer cancel()
	begin := time.Now()
	freed, err := k.Storage.Prune(ctx, keep)
	if err != nil {
		return err
	}
	k.Reporter.Pruned(begin, used, freed)
	k.Reporter.Info(fmt.Sprintf("disk: freed %s of the builder's cache in %.1f s", human(freed), time.Since(begin).Seconds()))
	return nil
}

func human(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }
