package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

const (
	// restartTimeout is how long an engine, or a buildkitd at an address, may take to restart. Supervisors restart them within
	// seconds; an engine first restores its containers.
	restartTimeout = 2 * time.Minute
	// restartInterval is the pause between two tries to connect.
	restartInterval = 500 * time.Millisecond
)

// BringBack makes sure of a builder that has answered before, for the next build. It waits for an engine that restarts, and
// starts the builder's container if that is stopped. If the container was removed, or does not start, BringBack makes it
// again with the options that it was created with, but only an own builder: one that this run has created. action says what it
// did, or is empty if the builder still runs. The error is an *Unavailable.
func (b Buildx) BringBack(ctx context.Context, getenv func(string) string, name string, own bool) (action string, err error) {
	engine, err := reconnect(ctx, getenv)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	node, err := engine.node(ctx, name)
	switch {
	case err != nil:
		return "", &Unavailable{Part: fmt.Sprintf("the builder %q", name), Err: err, hint: engineHint}
	case node.running:
		return "", nil
	case node.id == "" && !own:
		return "", &Unavailable{
			Part: fmt.Sprintf("the builder %q", name),
			Err:  errors.New("its container " + containerOf(name) + " was removed during the run"),
			hint: "make the builder again, and run again: a run never makes a builder in the place of one that it was given",
		}
	}
	action = "started again"
	if node.id == "" {
		action = "made again"
	}
	builder := Builder{Name: name, Driver: "docker-container"}
	err = b.bootWithin(ctx, builder)
	if err != nil && own && ctx.Err() == nil {
		// The state on its disk may be broken: BuildKit was killed while it wrote.
		action = "made again, with an empty cache"
		if _, err = engine.RemoveBuilder(ctx, name); err == nil {
			err = b.bootWithin(ctx, builder)
		}
	}
	if err != nil {
		return "", &Unavailable{
			Part: fmt.Sprintf("the builder %q", name), Err: fmt.Errorf("it has ended, and does not start again: %w", err),
			hint: "look at its log: docker logs " + containerOf(name),
		}
	}
	return action, nil
}

func (b Buildx) bootWithin(ctx context.Context, builder Builder) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	_, err := b.boot(ctx, builder)
	return err
}

// reconnect is Connect for an engine that has answered before: it may restart just now.
func reconnect(ctx context.Context, getenv func(string) string) (engine *Engine, err error) {
	for begin := time.Now(); ; {
		engine, err = Connect(ctx, getenv)
		if err == nil || time.Since(begin) > restartTimeout || !pause(ctx) {
			return engine, err
		}
	}
}

// Redial waits until the buildkitd at an address that has answered before accepts connections. It may restart just now. The
// error is an *Unavailable.
func Redial(ctx context.Context, address string) error {
	network, address, _ := strings.Cut(address, "://")
	dialer := net.Dialer{Timeout: callTimeout}
	for begin := time.Now(); ; {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			return conn.Close()
		}
		if time.Since(begin) > restartTimeout || !pause(ctx) {
			return &Unavailable{
				Part: "the buildkitd at " + network + "://" + address, Err: fmt.Errorf("it has ended: %w", err),
				hint: "find out why it ended: its log, and the memory of its machine; then run again",
			}
		}
	}
}

// pause waits before another try. It returns false when ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(restartInterval):
		return true
	case <-ctx.Done():
		return false
	}
}

// node is the container of a builder.
type node struct {
	id      string // empty if there is none
	running bool
	started string // when it was started last
}

func (e *Engine) node(ctx context.Context, builder string) (node, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	it, err := e.api.ContainerInspect(ctx, containerOf(builder))
	switch {
	case cerrdefs.IsNotFound(err):
		return node{}, nil
	case err != nil:
		return node{}, fmt.Errorf("inspecting the builder's container: %w", err)
	case it.ContainerJSONBase == nil || it.State == nil:
		return node{}, errors.New("inspecting the builder's container: the engine reports no state")
	}
	return node{id: it.ID, running: it.State.Running, started: it.State.StartedAt}, nil
}

// Instance identifies the BuildKit that runs in a builder's container: another one runs there after a restart. It is empty if
// none runs, or if the engine does not answer.
func Instance(ctx context.Context, getenv func(string) string, builder string) string {
	engine, err := Connect(ctx, getenv)
	if err != nil {
		return ""
	}
	defer engine.Close()
	node, err := engine.node(ctx, builder)
	if err != nil || !node.running {
		return ""
	}
	return node.id + " " + node.started
}
