package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Environment is an image that SWT-Bench's evaluation of instances runs in, or the base of them all.
type Environment struct {
	// Target has the image's one tag. BaseImage is the key of the base, which the Dockerfile builds on; it is empty for the base.
	plan.Target
	// Dockerfile and Script, its setup_env.sh, are swt-bench's own.
	Dockerfile, Script string
}

// builtEnvironment is an environment or a base that exists.
type builtEnvironment struct {
	reference string // with the digest
	created   string // as the evaluation reads it
}

// Environments makes sure of a base and then of the environments on it, each of which is a failure or success of its own.
//
// The evaluation throws away an environment that is older than its base (logic-star-ai/swt-bench, src/docker_build.py). So when
// the base is pushed, all environments are built again, and an environment older than its base counts as missing.
func (m *Maker) Environments(ctx context.Context, base Environment, all []Environment) error {
	var on builtEnvironment
	fresh := false // this run has pushed the base
	out := m.Image(ctx, base.Target, func(ctx context.Context, t plan.Target, out *outcome.Outcome) error {
		return m.inSlot(ctx, t, out, func() (err error) {
			if !m.Force {
				if there, err := m.isThere(ctx, t, out); err != nil {
					return err
				} else if there {
					on, err = m.readBuilt(ctx, out)
					return err
				}
			}
			fresh = true
			on, err = m.buildEnvironment(ctx, base, builtEnvironment{}, out)
			return shared(base, err)
		})
	})
	var making sync.WaitGroup
	for _, e := range all {
		making.Go(func() {
			m.Image(ctx, e.Target, func(ctx context.Context, t plan.Target, environment *outcome.Outcome) error {
				if out.Err != nil {
					return failure.ForOthers(base.InstanceID, notTried(out.Err))
				}
				return m.inSlot(ctx, t, environment, func() error {
					if there, err := m.isUsable(ctx, t, on, m.Force || fresh, environment); err != nil || there {
						return err
					}
					return m.inTime(environmentWay, func() error {
						_, err := m.buildEnvironment(ctx, e, on, environment)
						return err
					})
				})
			})
		})
	}
	making.Wait()
	return m.untried(ctx)
}

// environmentWay is the way of environments in a pace.
const environmentWay = "environment"

// shared marks a failure of the base as one of all environments.
func shared(base Environment, err error) error {
	var failed *failure.Error
	if errors.As(err, &failed) && failed.Shared == "" && !failure.ByEnd(err) {
		failed.Shared = "the image " + base.InstanceID
	}
	return err
}

// notTried is why environments are not tried after the failure of their base, where that is not one of the base's build.
func notTried(err error) error {
	var failed *failure.Error
	if failure.ByEnd(err) || errors.As(err, &failed) && failed.Shared != "" {
		return err
	}
	return &failure.Error{Class: failure.ClassOf(err), NotTried: true, Err: fmt.Errorf("not tried without its base: %w", err)}
}

// isUsable reports whether an environment is there that the evaluation takes with the base.
func (m *Maker) isUsable(ctx context.Context, t plan.Target, on builtEnvironment, again bool, out *outcome.Outcome) (bool, error) {
	if again {
		return false, nil
	}
	there, err := m.isThere(ctx, t, out)
	if err != nil || !there {
		return false, err
	}
	environment, err := m.readBuilt(ctx, out)
	if err != nil {
		return false, err
	}
	if Stale(environment.created, on.created) {
		out.Skipped, out.Tags, out.Digest = false, nil, ""
		m.report.Info(t.InstanceID + " is older than its base, so it is built again")
		return false, nil
	}
	return true, nil
}

// Stale reports whether the evaluation throws an environment away. It compares the times as text, as the engine shows them.
func Stale(environment, base string) bool { return environment < base }

// readBuilt reads when the image of an outcome was made.
func (m *Maker) readBuilt(ctx context.Context, out *outcome.Outcome) (builtEnvironment, error) {
	defer addTime(&out.Check, time.Now())
	repository := repositoryOf(out.Tags[0])
	created, err := Created(ctx, m.registry, repository+"@"+out.Digest)
	if err != nil {
		return builtEnvironment{}, registryFailure(ctx, "asking when the image was made", err)
	}
	return builtEnvironment{repository + "@" + out.Digest, created}, nil
}

// Created returns when an image was made, as the engine shows it: in UTC, without zeros at the end.
func Created(ctx context.Context, r *registry.Client, reference string) (string, error) {
	image, err := Fetch(ctx, r, reference)
	if err != nil {
		return "", err
	}
	var config struct{ Created time.Time }
	if err := json.Unmarshal(image.Config, &config); err != nil {
		return "", fmt.Errorf("reading the configuration of %s: %w", reference, err)
	}
	return config.Created.UTC().Format(time.RFC3339Nano), nil
}

// buildEnvironment builds and pushes an image with swt-bench's own Dockerfile.
func (m *Maker) buildEnvironment(ctx context.Context, e Environment, on builtEnvironment, out *outcome.Outcome) (builtEnvironment, error) {
	bounded, cancel := m.withTimeout(ctx)
	defer cancel()
	log := m.logOf(e.InstanceID, "")
	m.announce(log, "")
	out.LogPath, out.Strategy = m.relative(log), environmentWay
	folder, err := os.MkdirTemp(m.Temporary, "environment-")
	if err != nil {
		return builtEnvironment{}, ofMachine(err)
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "setup_env.sh"), []byte(e.Script), 0o644); err != nil {
		return builtEnvironment{}, ofMachine(err)
	}
	begin := time.Now()
	err = docker.Build(bounded, m.Environ, log, m.StallTimeout, environmentArgs(e, on, begin), folder, e.Dockerfile, on.reference)
	out.Build += time.Since(begin)
	if err != nil {
		return builtEnvironment{}, err
	}
	out.Tags = slices.Clone(e.Tags)
	if err := m.confirm(ctx, out); err != nil {
		return builtEnvironment{}, err
	}
	return m.readBuilt(ctx, out)
}

// environmentArgs are the arguments of a build. The time of an image is that of its build, as whole seconds, also where all of it comes
// from the builder's cache, whose layers may be older than the base; and where this machine's clock is behind that of the base's, it is
// the base's.
func environmentArgs(e Environment, on builtEnvironment, now time.Time) []string {
	args := []string{"--push", "--platform", Platform, "--tag", e.Tags[0]}
	if on.reference != "" {
		args = append(args, "--build-context", e.BaseImage+"=docker-image://"+on.reference)
		if base, err := time.Parse(time.RFC3339Nano, on.created); err == nil && now.Before(base.Add(time.Second)) {
			now = base.Add(time.Second - 1)
		}
	}
	return append(args, "--build-arg", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", now.Unix()))
}
