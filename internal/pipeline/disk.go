package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/engine"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// disk watches the engine's disk and the builder's cache while images are built, and prunes the cache, one prune at a
// time. Builds go on meanwhile: BuildKit leaves alone what they use.
type disk struct {
	batch     int     // finished images between two looks
	threshold float64 // percent of the disk above which is pruned
	keep      int64   // bytes that a prune leaves
	// remote says that the builder is a buildkitd at an address: its cache may be others', too, and is never pruned.
	remote bool
	// passing says that the builder goes with the run: then nobody needs room when the last image is there.
	passing bool

	used  func() (float64, error) // percent of the disk; nil where it cannot be seen
	size  func(context.Context) (int64, error)
	prune func(ctx context.Context, keep int64) (freed int64, err error)

	tell, warn func(string)
	pruned     func(ledger.Pruning)

	looks sync.WaitGroup

	mu       sync.Mutex
	left     int // images that have not finished
	finishes int
	looking  bool
	pruning  chan struct{} // closed when the prune that runs has ended; nil when none runs
}

// watchDisk is the disk of the run's builder; path is on the engine's disk, or "" where that cannot be seen.
func (r *run) watchDisk(buildx engine.Buildx, path string) *disk {
	const gigabyte = 1_000_000_000
	d := &disk{
		batch: r.config.BatchSize, threshold: float64(r.config.PruneThreshold), keep: int64(r.config.KeepStorageGB) * gigabyte,
		size: func(ctx context.Context) (int64, error) { return buildx.CacheSize(ctx, r.builder.name) },
		prune: func(ctx context.Context, keep int64) (int64, error) {
			return buildx.Prune(ctx, r.builder.name, keep)
		},
		tell: r.actions.Info, warn: r.warn,
		pruned: func(p ledger.Pruning) { r.learn(func(f *ledger.Run) { f.Pruned = append(f.Pruned, p) }) },
	}
	if path != "" {
		d.used = func() (float64, error) { return engine.DiskUsed(path) }
	}
	return d
}

// watch makes d the disk of the run.
func (r *run) watch(d *disk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.left = r.expected
	r.disk = d
}

// finished counts an image that has ended.
func (r *run) finished(ctx context.Context) {
	r.mu.Lock()
	r.expected--
	d := r.disk
	r.mu.Unlock()
	d.finished(ctx)
}

// watched is the disk of the run, or nil while there is no builder; its methods know.
func (r *run) watched() *disk {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.disk
}

// expect says how many images will finish.
func (r *run) expect(images int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = images
	if r.disk != nil {
		r.disk.expect(images)
	}
}

func (d *disk) expect(images int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = images
}

// finished counts an image that has ended, and begins a look after each batch. It does not wait for it.
func (d *disk) finished(ctx context.Context) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finishes++
	d.left--
	if ctx.Err() != nil || d.looking || d.finishes%d.batch != 0 || d.passing && d.left == 0 {
		return
	}
	d.looking = true
	d.looks.Go(func() {
		d.look(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.looking = false
	})
}

// wait waits until the last look has ended, which ends early with its context.
func (d *disk) wait() {
	if d != nil {
		d.looks.Wait()
	}
}

// lookWithin bounds one look, and pruneWithin one prune, which deletes files.
const lookWithin, pruneWithin = time.Minute, 10 * time.Minute

// look says how full disk and cache are, and prunes where it is time to.
func (d *disk) look(ctx context.Context) {
	size, err := d.cacheSize(ctx)
	if err != nil {
		d.complain(ctx, err)
		return
	}
	says := "disk: the builder's cache holds " + human(size)
	if d.remote || d.used == nil {
		d.tell(says + "; its disk cannot be seen from here, so it is not pruned before it is full" + d.never())
		return
	}
	used, err := d.used()
	if err != nil {
		d.complain(ctx, err)
		return
	}
	says += fmt.Sprintf(", %.0f%% of the engine's disk is used", used)
	switch {
	case used <= d.threshold || d.threshold >= 100:
		d.tell(says)
	case size <= d.keep:
		d.tell(says + fmt.Sprintf(", more than prune-threshold-percent; a cache below keep-storage-gb (%s) is not pruned", human(d.keep)))
	default:
		d.tell(says + fmt.Sprintf(", more than prune-threshold-percent: pruning it down to %s", human(d.keep)))
		d.complain(ctx, d.pruneOnce(ctx, d.keep, used))
	}
}

// never ends the sentence for a cache that is not pruned even then.
func (d *disk) never() string {
	if d.remote {
		return ", and not then: what shares it is not known"
	}
	return ""
}

func (d *disk) cacheSize(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	return d.size(ctx)
}

// complain makes a warning of an error: images can be built all the same. A cancelled look is none.
func (d *disk) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		d.warn("Looking after the disk: " + err.Error())
	}
}

// errNeverPruned is why a full disk stays full.
var errNeverPruned = errors.New("the cache of a buildkitd at an address is not pruned: what shares it is not known")

// Prune makes room on a disk that a build has found full: down to what keep-storage-gb says or to half of what the cache
// holds, whichever is less, for a disk may be smaller than that. It may be called from many goroutines: who comes while a
// prune runs waits for that one's end, and begins none. A failed prune is a warning; the error is for the caller alone.
func (d *disk) Prune(ctx context.Context) error {
	if d == nil || d.remote {
		return errNeverPruned
	}
	size, err := d.cacheSize(ctx)
	if err == nil {
		err = d.pruneOnce(ctx, min(d.keep, size/2), 100)
	}
	d.complain(ctx, err)
	return err
}

// pruneOnce prunes, or waits for the prune that runs.
func (d *disk) pruneOnce(ctx context.Context, keep int64, used float64) error {
	d.mu.Lock()
	if running := d.pruning; running != nil {
		d.mu.Unlock()
		select {
		case <-running:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	ended := make(chan struct{})
	d.pruning = ended
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pruning = nil
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, pruneWithin)
	defer cancel()
	begin := time.Now()
	freed, err := d.prune(ctx, keep)
	if err != nil {
		return err
	}
	d.pruned(ledger.Pruning{At: begin, DiskUsedPercent: used, FreedBytes: freed})
	d.tell(fmt.Sprintf("disk: freed %s of the builder's cache in %.1f s", human(freed), time.Since(begin).Seconds()))
	return nil
}

func human(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }
