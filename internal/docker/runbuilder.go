package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// runBuilderPrefix starts the name of every builder that a run creates for itself.
const runBuilderPrefix = "eval-images-run-"

// RunBuilderName names the builder that a run creates for itself. step identifies one step of one job: the name contains its
// hash. owner is the id of the container that the run is in. The name contains the id too, so that Orphans can check whether
// the run still exists. If owner is empty, the name is random.
func RunBuilderName(step, owner string) string {
	const short = 12
	if len(owner) < short {
		owner = strings.ToLower(rand.Text())
	}
	return stepPrefix(step) + owner[:short]
}

// IsRunBuilderName reports whether RunBuilderName returned the name.
func IsRunBuilderName(name string) bool { return strings.HasPrefix(name, runBuilderPrefix) }

func stepPrefix(step string) string {
	sum := sha256.Sum256([]byte(step))
	return runBuilderPrefix + hex.EncodeToString(sum[:])[:10] + "-"
}

// Create creates a docker-container builder for this run. network is empty for the engine's default, and configFile is a
// buildkitd.toml or empty. Call [Engine.RemoveBuilder] afterwards, also after an error. The error is an *Unavailable.
func (b Buildx) Create(ctx context.Context, e *Engine, name, network, configFile string) (Builder, error) {
	builder := Builder{Name: name, Driver: "docker-container", environ: proxies(b.Environ, network)}
	made, err := b.use(ctx, builder, createOptions(network, configFile)...)
	if err != nil {
		return Builder{}, unavailable("a builder of this run's own", err, createHint(err.Error(), e.lastLogLine(ctx, name)))
	}
	return made, nil
}

func createOptions(network, configFile string) (options []string) {
	if network != "" {
		options = append(options, "--driver-opt", "network="+network)
	}
	if configFile != "" {
		options = append(options, "--buildkitd-config", configFile)
	}
	return options
}

// createHint says what the user can do if a builder could not be created. It uses the messages of docker and of the builder.
func createHint(message, lastLogLine string) string {
	message = strings.ToLower(message)
	contains := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(message, word) {
				return true
			}
		}
		return false
	}
	const other = "or pass in builder one that exists, or a buildkitd's unix:// or tcp:// address"
	switch {
	case contains("privileged", "unable to apply caps", "operation not permitted", "userns"):
		return "this engine does not run the privileged container that BuildKit needs: allow it, " + other
	case contains("no such image", "registry-1.docker.io", "pull access denied", "manifest unknown", "toomanyrequests"):
		return "the engine could not pull BuildKit: docker pull moby/buildkit:buildx-stable-1 on its machine shows why; repair that, " + other
	case contains("failed to parse config"):
		return "check buildkitd-config-inline: it is a buildkitd.toml"
	case lastLogLine != "":
		return "BuildKit said " + lastLogLine + "; check buildkitd-config-inline, " + other
	default:
		return "docker info and docker system df show whether the engine is healthy; repair that, " + other
	}
}

// lastLogLine returns the last error in a builder's log, or "".
func (e *Engine) lastLogLine(ctx context.Context, builder string) string {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	log, err := e.api.ContainerLogs(ctx, containerOf(builder), container.LogsOptions{ShowStderr: true, Tail: "200"})
	if err != nil {
		return ""
	}
	defer log.Close()
	var text bytes.Buffer
	const maxLog = 100_000                                     // bytes
	stdcopy.StdCopy(&text, &text, io.LimitReader(log, maxLog)) // after an error, use what was read
	return lastBuildkitdLine(text.String())
}

// lastBuildkitdLine returns the last line of buildkitd itself: the reason why it ended. A stack trace may follow. The engine
// restarts buildkitd, so the log may contain several such lines.
func lastBuildkitdLine(log string) string {
	const from = "buildkitd: "
	complaint := ""
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, from) {
			complaint = strings.TrimSpace(line)
		}
	}
	return complaint
}

// containerOf names the container of a builder's first node (docker/buildx, driver/docker-container).
func containerOf(builder string) string {
	return strings.TrimPrefix(containerPrefix, "/") + builder + firstNode
}

// removeInterval is the pause before a repeated removal.
const removeInterval = 300 * time.Millisecond

// RemoveBuilder removes a builder's container and the volume with its cache. It does not matter if one of them is missing.
// It waits until both are gone, or ctx has ended. The engine continues a removal that nobody waits for.
func (e *Engine) RemoveBuilder(ctx context.Context, name string) (found bool, err error) {
	node := containerOf(name)
	foundContainer, err := removeUntilGone(ctx, func() error {
		return e.api.ContainerRemove(ctx, node, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if err != nil {
		return true, fmt.Errorf("removing the builder's container %s: %w", node, err)
	}
	volume := node + "_state"
	foundVolume, err := removeUntilGone(ctx, func() error {
		return e.api.VolumeRemove(ctx, volume, false) // with force, the engine reports success for a volume that does not exist
	})
	if err != nil {
		return true, fmt.Errorf("removing the builder's volume %s: %w", volume, err)
	}
	return foundContainer || foundVolume, nil
}

// removeUntilGone repeats a removal until there is nothing to remove. A conflict means that the engine is still removing it,
// or that the container still uses the volume.
func removeUntilGone(ctx context.Context, remove func() error) (found bool, err error) {
	for {
		switch err := remove(); {
		case cerrdefs.IsNotFound(err):
			return found, nil
		case err != nil && !cerrdefs.IsConflict(err):
			return found, err
		case err != nil:
			select {
			case <-ctx.Done():
				return found, errors.Join(err, ctx.Err())
			case <-time.After(removeInterval):
			}
		}
		found = true
	}
}

// Orphans lists the builders of one step whose run is gone: its container does not exist or is not running.
func (e *Engine) Orphans(ctx context.Context, step string) ([]string, error) {
	all, err := e.builders(ctx)
	if err != nil {
		return nil, err
	}
	var orphans []string
	for _, name := range all {
		owner, ok := strings.CutPrefix(name, stepPrefix(step))
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		inspected, err := e.api.ContainerInspect(ctx, owner)
		cancel()
		if cerrdefs.IsNotFound(err) || err == nil && inspected.ContainerJSONBase != nil && inspected.State != nil && !inspected.State.Running {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}
