package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OpenHands/eval-images/internal/engine"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// builder is the one that the run builds with.
type builder struct {
	// name is buildx's, known from the start: workers get it before it is made sure that the builder is there.
	name string
	// begun says that the run has begun to make it, so that it has to be removed.
	begun atomic.Bool
	// once it was tried to reach it, problem says why it cannot be used; missed says that an image needed it all the same.
	once    sync.Once
	problem error
	missed  atomic.Bool
}

// builderName is the name of the builder that was asked for, or of the one that the run makes if it has to build.
func (r *run) builderName() string {
	switch given := r.config.Builder; {
	case given == "":
		return engine.OwnName(stepIdentity(r.getenv), ownContainer())
	case engine.IsAddress(given):
		return engine.RemoteName
	default:
		return given
	}
}

// stepIdentity tells one step of one job from all others: legs of a matrix have the same job, but another runner.
func stepIdentity(getenv func(string) string) string {
	var parts []string
	for _, name := range []string{"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB",
		"GITHUB_ACTION", "RUNNER_NAME"} {
		parts = append(parts, getenv(name))
	}
	return strings.Join(parts, "\n")
}

// ownContainer is the id of the container that this process runs in, or "".
func ownContainer() string {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer mounts.Close()
	return engine.OwnContainer(mounts)
}

// useBuilder reaches, adopts or makes the builder, and begins to watch its disk.
func (r *run) useBuilder(ctx context.Context) (engine.Builder, error) {
	buildx := engine.Buildx{Environ: r.buildEnviron(), Log: r.setupLog}
	if engine.IsAddress(r.config.Builder) {
		d := r.watchDisk(buildx, "")
		d.remote = true
		r.watch(d)
		return buildx.UseAddress(ctx, r.config.Builder)
	}
	docker, err := engine.Connect(ctx, r.getenv("DOCKER_HOST"))
	if err != nil {
		return engine.Builder{}, err
	}
	defer docker.Close()
	place, err := docker.Place(ctx, ownContainer())
	if err != nil {
		return engine.Builder{}, err
	}
	d := r.watchDisk(buildx, place.Disk)
	d.passing = r.config.Builder == ""
	r.watch(d)
	if r.config.Builder != "" {
		return buildx.Adopt(ctx, docker, r.config.Builder)
	}
	return r.makeBuilder(ctx, docker, buildx, place.Network)
}

// builderState is the name of the state by which the post step finds a builder that a killed run has left.
const builderState = "builder"

func (r *run) makeBuilder(ctx context.Context, docker *engine.Engine, buildx engine.Buildx, network string) (engine.Builder, error) {
	file := ""
	if r.config.BuildkitdConfig != "" {
		file = filepath.Join(r.temporary, "buildkitd.toml")
		if err := os.WriteFile(file, []byte(r.config.BuildkitdConfig+"\n"), 0o600); err != nil {
			return engine.Builder{}, fmt.Errorf("writing the builder's configuration: %w", err)
		}
	}
	if err := r.actions.SaveState(builderState, r.builder.name); err != nil {
		r.actions.Info("the post step finds the builder only by its name: " + err.Error())
	}
	r.builder.begun.Store(true)
	r.learn(func(f *ledger.Run) { f.Builder = r.builder.name })
	r.actions.Info("making builder " + r.builder.name + onNetwork(network))
	return buildx.Make(ctx, docker, r.builder.name, network, file)
}

func onNetwork(network string) string {
	if network == "" {
		return ""
	}
	return " on network " + network
}

// removeWithin bounds the removal of a builder and its cache at the end of a run that was not cancelled; deleting tens of
// gigabytes takes its time.
const removeWithin = 3 * time.Minute

// removeBuilder removes the run's own builder, if it has one. After a cancel there is little time: then the engine goes on
// alone, and the post step looks after it.
func (r *run) removeBuilder(ctx context.Context) {
	if !r.builder.begun.Load() {
		return
	}
	within := removeWithin
	if ctx.Err() != nil {
		within = cleanWithin
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	docker, err := engine.Connect(ctx, r.getenv("DOCKER_HOST"))
	if err == nil {
		defer docker.Close()
		_, err = docker.RemoveBuilder(ctx, r.builder.name)
	}
	if err == nil {
		r.actions.Info("removed builder " + r.builder.name)
		return
	}
	r.actions.Info(fmt.Sprintf("builder %s is not removed yet: %v", r.builder.name, err))
	if !r.actions.InActions() {
		r.actions.Info("hint: docker rm --force buildx_buildkit_" + r.builder.name + "0; docker volume rm buildx_buildkit_" +
			r.builder.name + "0_state")
	}
}
