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

// ownPrefix begins the name of every builder that a run makes for itself.
const ownPrefix = "eval-images-run-"

// OwnName is the name of a run's own builder. step is whatever tells one step of one job from all others: its hash is in
// the name. owner is the id of the container that the run is in, which is in the name too, so that a look at the engine
// tells whether that run is still there; "" gives a name that no other run has.
func OwnName(step, owner string) string {
	const short = 12
	if len(owner) < short {
		owner = strings.ToLower(rand.Text())
	}
	return ownPrefixOf(step) + owner[:short]
}

// IsOwnName tells a name that [OwnName] gives from every other builder's.
func IsOwnName(name string) bool { return strings.HasPrefix(name, ownPrefix) }

func ownPrefixOf(step string) string {
	sum := sha256.Sum256([]byte(step))
	return ownPrefix + hex.EncodeToString(sum[:])[:10] + "-"
}

// Make makes a docker-container builder of the run's own, on a network ("" being the engine's default) and with a
// buildkitd.toml ("" for none). Whatever happens, [Engine.RemoveBuilder] has to follow. The error is an *Unavailable.
func (b Buildx) Make(ctx context.Context, e *Engine, name, network, configFile string) (Builder, error) {
	made, err := b.use(ctx, Builder{Name: name, Driver: "docker-container"}, makeOptions(network, configFile)...)
	if err != nil {
		return Builder{}, &Unavailable{Part: "a builder of this run's own", Err: err, hint: notMade(err.Error(), e.lastWords(ctx, name))}
	}
	return made, nil
}

func makeOptions(network, configFile string) (options []string) {
	if network != "" {
		options = append(options, "--driver-opt", "network="+network)
	}
	if configFile != "" {
		options = append(options, "--buildkitd-config", configFile)
	}
	return options
}

// notMade says what to do where a builder could not be made, by what docker and the builder itself said.
func notMade(said, lastWords string) string {
	said = strings.ToLower(said)
	says := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(said, word) {
				return true
			}
		}
		return false
	}
	const other = "or pass in builder one that exists, or a buildkitd's unix:// or tcp:// address"
	switch {
	case says("privileged", "unable to apply caps", "operation not permitted", "userns"):
		return "this engine does not run the privileged container that BuildKit needs: allow it, " + other
	case says("no such image", "registry-1.docker.io", "pull access denied", "manifest unknown", "toomanyrequests"):
		return "the engine could not pull BuildKit: docker pull moby/buildkit:buildx-stable-1 on its machine shows why; repair that, " + other
	case says("failed to parse config"):
		return "check buildkitd-config-inline: it is a buildkitd.toml"
	case lastWords != "":
		return "BuildKit said " + lastWords + "; check buildkitd-config-inline, " + other
	default:
		return "docker info and docker system df show whether the engine is healthy; repair that, " + other
	}
}

// lastWords is why a builder's own process ended, by its log; "" where that does not say.
func (e *Engine) lastWords(ctx context.Context, builder string) string {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	log, err := e.api.ContainerLogs(ctx, containerOf(builder), container.LogsOptions{ShowStderr: true, Tail: "200"})
	if err != nil {
		return ""
	}
	defer log.Close()
	var text bytes.Buffer
	const most = 100_000
	stdcopy.StdCopy(&text, &text, io.LimitReader(log, most)) // what was read before an error is still worth saying
	return lastComplaint(text.String())
}

// lastComplaint is the last line that buildkitd, which the engine starts again and again, ended with; its stack follows.
func lastComplaint(log string) string {
	const from = "buildkitd: "
	complaint := ""
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, from) {
			complaint = strings.TrimSpace(line)
		}
	}
	return complaint
}

// containerOf is the container of a builder's first node (docker/buildx, driver/docker-container).
func containerOf(builder string) string {
	return strings.TrimPrefix(containerPrefix, "/") + builder + firstNode
}

// betweenLooks is the pause between two looks whether the engine has removed what it was told to.
const betweenLooks = 300 * time.Millisecond

// RemoveBuilder removes a builder's container and the volume with its cache, also if the one or the other is there no
// more, and waits until both are gone or ctx is done. The engine goes on with a removal that nobody waits for.
func (e *Engine) RemoveBuilder(ctx context.Context, name string) (found bool, err error) {
	node := containerOf(name)
	foundContainer, err := gone(ctx, func() error {
		return e.api.ContainerRemove(ctx, node, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if err != nil {
		return true, fmt.Errorf("removing the builder's container %s: %w", node, err)
	}
	volume := node + "_state"
	foundVolume, err := gone(ctx, func() error { return e.removeVolume(ctx, volume) })
	if err != nil {
		return true, fmt.Errorf("removing the builder's volume %s: %w", volume, err)
	}
	return foundContainer || foundVolume, nil
}

// removeVolume asks without force: with it the engine answers that an absent volume is removed.
func (e *Engine) removeVolume(ctx context.Context, name string) error {
	return e.api.VolumeRemove(ctx, name, false)
}

// gone repeats a removal until there is nothing to remove. A conflict means that the engine is at it already, or that
// the container still holds the volume.
func gone(ctx context.Context, remove func() error) (found bool, err error) {
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
			case <-time.After(betweenLooks):
			}
		}
		found = true
	}
}

// Orphans are the builders of one step whose run is gone: its container is not there, or has ended.
func (e *Engine) Orphans(ctx context.Context, step string) ([]string, error) {
	all, err := e.builders(ctx)
	if err != nil {
		return nil, err
	}
	var orphans []string
	for _, name := range all {
		owner, ours := strings.CutPrefix(name, ownPrefixOf(step))
		if !ours {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		it, err := e.api.ContainerInspect(ctx, owner)
		cancel()
		if cerrdefs.IsNotFound(err) || err == nil && it.ContainerJSONBase != nil && it.State != nil && !it.State.Running {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}
