package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// builder is the BuildKit builder of a run. The first build connects to it, adopts it or creates it.
type builder struct {
	config  config.Config
	env     environment
	environ []string // of docker commands
	work    *workspace
	record  *record
	// name is the name in buildx. It is known from the start, because workers get it before the builder exists.
	name string

	reach   sync.Mutex
	reached bool
	problem error       // why it cannot be used, or nil
	begun   atomic.Bool // the run has started to create it, so it must remove it

	storage storage // valid after Reach

	mu    sync.Mutex
	cache *docker.CacheKeeper // nil before Reach
	left  int                 // images that have not ended
}

func newBuilder(c config.Config, env environment, work *workspace, rec *record) *builder {
	name := builderName(c.Builder, env)
	return &builder{config: c, env: env, environ: work.buildEnviron(env, name), work: work, record: rec, name: name}
}

// builderName returns the name of the given builder, or of the one that the run creates.
func builderName(given string, env environment) string {
	switch {
	case given == "":
		return docker.RunBuilderName(stepIdentity(env.get), ownContainer())
	case docker.IsAddress(given):
		return docker.RemoteName
	default:
		return given
	}
}

// stepIdentity identifies a step of a job. Jobs of a matrix have the same GITHUB_JOB, but different runners.
func stepIdentity(getenv func(string) string) string {
	var parts []string
	for _, name := range []string{
		"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB",
		"GITHUB_ACTION", "RUNNER_NAME",
	} {
		parts = append(parts, getenv(name))
	}
	return strings.Join(parts, "\n")
}

// ownContainer returns the id of the container that this process runs in, or "".
func ownContainer() string {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer mounts.Close()
	return docker.OwnContainer(mounts)
}

// Reach connects to, adopts or creates the builder on the first call. A later call looks whether the builder still runs, and
// brings it back if it does not; the others wait for that. When the builder cannot be used, later calls return the same error.
func (b *builder) Reach(ctx context.Context) error {
	b.reach.Lock()
	defer b.reach.Unlock()
	if b.problem != nil {
		return b.problem
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for the builder: %w", err)
	}
	var err error
	if b.reached {
		err = b.bringBack(ctx)
	} else {
		var found docker.Builder
		if found, err = b.use(ctx); err == nil {
			b.reached = true
			b.record.Info(fmt.Sprintf("builder %s (%s, BuildKit %s)", found.Name, found.Driver, found.BuildKit))
		}
	}
	if ctx.Err() == nil {
		b.problem = err
	}
	return err
}

// bringBack makes sure of a builder that has answered before.
func (b *builder) bringBack(ctx context.Context) error {
	if docker.IsAddress(b.config.Builder) {
		return docker.Redial(ctx, b.config.Builder)
	}
	buildx := docker.Buildx{Environ: b.environ, Log: b.work.setupLog}
	action, err := buildx.BringBack(ctx, b.env.get, b.name, b.config.Builder == "")
	if action != "" {
		_ = buildx.KeepReserve(ctx, b.name)
		b.record.Warn(fmt.Sprintf("The builder %s had ended; it was %s.", b.name, action))
	}
	return err
}

// Instance identifies the BuildKit that runs now: another one runs after a restart. It is empty if none runs, and for a builder
// at an address.
func (b *builder) Instance(ctx context.Context) string {
	if docker.IsAddress(b.config.Builder) {
		return ""
	}
	return docker.Instance(ctx, b.env.get, b.name)
}

func (b *builder) use(ctx context.Context) (docker.Builder, error) {
	buildx := docker.Buildx{Environ: b.environ, Log: b.work.setupLog}
	if docker.IsAddress(b.config.Builder) {
		b.keepCache(buildx, "", true)
		return buildx.UseAddress(ctx, b.config.Builder)
	}
	engine, err := docker.Connect(ctx, b.env.get)
	if err != nil {
		return docker.Builder{}, err
	}
	defer engine.Close()
	place, err := engine.Place(ctx, ownContainer())
	if err != nil {
		return docker.Builder{}, err
	}
	b.keepCache(buildx, place.Disk, false)
	var found docker.Builder
	if b.config.Builder != "" {
		found, err = buildx.Adopt(ctx, engine, b.config.Builder)
	} else {
		found, err = b.makeOwn(ctx, engine, buildx, cmp.Or(place.Network, networkFor(b.config)))
	}
	if err == nil {
		_ = buildx.KeepReserve(ctx, b.name) // most prunes need none
	}
	return found, err
}

// onLocalhost matches the name of an image in a registry on this machine.
var onLocalhost = regexp.MustCompile(`^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?/`)

// networkFor returns the network for the run's own builder when this process is in no network of the engine. For a registry on localhost
// that is the machine's network: in a network of its own, the builder has another localhost. Otherwise it is empty.
func networkFor(c config.Config) string {
	if onLocalhost.MatchString(c.Image) || onLocalhost.MatchString(c.BaseImageTemplate) {
		return "host"
	}
	return ""
}

// builderState is the name of the saved state that tells the post step which builder a killed run left behind.
const builderState = "builder"

func (b *builder) makeOwn(ctx context.Context, engine *docker.Engine, buildx docker.Buildx, network string) (docker.Builder, error) {
	file := ""
	if b.config.BuildkitdConfig != "" {
		file = filepath.Join(b.work.temporary, "buildkitd.toml")
		if err := os.WriteFile(file, []byte(b.config.BuildkitdConfig+"\n"), 0o600); err != nil {
			return docker.Builder{}, fmt.Errorf("writing the builder's configuration: %w", err)
		}
	}
	if err := b.record.actions.SaveState(builderState, b.name); err != nil {
		b.record.Info("the post step finds the builder only by its name: " + err.Error())
	}
	b.begun.Store(true)
	b.record.set(func(f *ledger.Run) { f.Builder = b.name })
	on := ""
	if network != "" {
		on = " on network " + network
	}
	b.record.Info("making builder " + b.name + on)
	return buildx.Create(ctx, engine, b.name, network, file)
}

// storage is the storage of the builder's cache.
type storage struct {
	buildx docker.Buildx
	name   string
	disk   string // a path on the engine's disk, or "" when that is not visible
	remote bool   // the builder is a buildkitd at an address
}

func (s storage) DiskUsed() (float64, error) {
	space, err := docker.SpaceOf(s.disk)
	if err != nil {
		return 0, err
	}
	return space.Used(), nil
}

func (s storage) CacheSize(ctx context.Context) (int64, error) {
	return s.buildx.CacheSize(ctx, s.name)
}

func (s storage) Prune(ctx context.Context, keep int64) (int64, error) {
	return s.buildx.Prune(ctx, s.name, keep)
}

// keepCache starts to monitor the builder's disk. disk is a path on the engine's disk, or "" when that disk is not visible.
func (b *builder) keepCache(buildx docker.Buildx, disk string, remote bool) {
	const gigabyte = 1_000_000_000
	b.storage = storage{buildx, b.name, disk, remote}
	keeper := &docker.CacheKeeper{
		Storage: b.storage, Reporter: b.record,
		Batch: b.config.BatchSize, Threshold: float64(b.config.PruneThreshold), Keep: int64(b.config.KeepStorageGB) * gigabyte,
		DiskVisible: disk != "", Remote: remote, Temporary: b.config.Builder == "",
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cache = keeper
}

func (b *builder) keeper() *docker.CacheKeeper {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cache
}

// nextBatch sets the number of images between two checks of disk and cache, when no image is being made.
func (b *builder) nextBatch(size int) {
	b.config.BatchSize = size
	if keeper := b.keeper(); keeper != nil {
		keeper.Wait()
		keeper.Batch = size
	}
}

// expect sets the number of images that will end.
func (b *builder) expect(images int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = images
}

// imageEnded counts an image that ended. From time to time it checks the disk.
func (b *builder) imageEnded(ctx context.Context) {
	b.mu.Lock()
	b.left--
	left, keeper := b.left, b.cache
	b.mu.Unlock()
	keeper.ImageEnded(ctx, left)
}

// Prune frees space on the builder's disk.
func (b *builder) Prune(ctx context.Context, all bool) { _ = b.keeper().Prune(ctx, all) } // it reports errors itself

// spaceWithin limits the time to find out how full the builder is. It may not answer when its disk is full.
const spaceWithin = 20 * time.Second

// Space says how much room the disks of a build have, and what the images took. It leaves out what it cannot find out.
func (b *builder) Space(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, spaceWithin)
	defer cancel()
	var disks []disk
	if !b.storage.remote {
		root, err := b.storage.buildx.RootSpace(ctx, b.name)
		disks = append(disks, disk{"builder's root", root, err})
	}
	if b.storage.disk != "" {
		disks = append(disks, diskOf("engine's disk", b.storage.disk))
	}
	text := free(append(disks, b.work.disks()...))
	if size, err := b.storage.CacheSize(ctx); err == nil {
		text += "; the builder's cache takes " + units.HumanSizeWithPrecision(float64(size), 3)
	}
	return text
}

// removeWithin limits the time to remove a builder at the end of a run that was not cancelled. Deleting tens of gigabytes of cache
// is slow.
const removeWithin = 3 * time.Minute

// remove removes the builder that the run created, if any. After a cancel there is little time: if the removal takes longer, the
// engine continues it and the post step checks the result.
func (b *builder) remove(ctx context.Context) {
	if !b.begun.Load() {
		b.dropReserve(ctx)
		return
	}
	within := removeWithin
	if ctx.Err() != nil {
		within = cleanWithin
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	engine, err := docker.Connect(ctx, b.env.get)
	if err == nil {
		defer engine.Close()
		_, err = engine.RemoveBuilder(ctx, b.name)
	}
	if err == nil {
		b.record.Info("removed builder " + b.name)
		return
	}
	b.record.Info(fmt.Sprintf("builder %s is not removed yet: %v", b.name, err))
	if !b.record.actions.InActions() {
		b.record.Info("hint: docker rm --force buildx_buildkit_" + b.name + "0; docker volume rm buildx_buildkit_" + b.name + "0_state")
	}
}

// dropReserve removes what the run has left in a builder that is not its own.
func (b *builder) dropReserve(ctx context.Context) {
	if keeper := b.keeper(); keeper == nil || keeper.Remote {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	_ = docker.Buildx{Environ: b.environ}.DropReserve(ctx, b.name) // it is small
}

// reporter receives the events of the run's images.
type reporter struct {
	*record
	builder *builder
}

// Ended records the outcome of a target.
func (r reporter) Ended(ctx context.Context, out *outcome.Outcome) {
	r.record.Ended(ctx, out)
	r.builder.imageEnded(ctx)
}
