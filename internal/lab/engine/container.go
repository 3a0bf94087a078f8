package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Label is on everything the lab makes. Its value is the key of the inputs.
const Label = "eval-images.lab"

// Container is a service on the lab's network. It starts again when it is killed or the engine restarts.
type Container struct {
	Name    string
	Image   string
	Alias   string   // its name on the network
	Options []string // further options of docker run
	Command []string
}

// Start makes the container run as described. One that already does is left alone; any other is replaced.
func (e *Engine) Start(ctx context.Context, log io.Writer, c Container) error {
	id, err := e.Output(ctx, "image", "inspect", "--format", "{{.Id}}", c.Image)
	if err != nil {
		return err
	}
	key := Key(id, fmt.Sprintf("%q", c), fmt.Sprint(inodes(c.Options)))
	const format = `{{.State.Running}} {{index .Config.Labels "` + Label + `"}}`
	if state, err := e.Output(ctx, "container", "inspect", "--format", format, c.Name); err == nil && state == "true "+key {
		return nil
	}
	if err := e.Remove(ctx, c.Name); err != nil {
		return err
	}
	args := []string{
		"run", "--detach", "--name", c.Name, "--label", Label + "=" + key, "--restart", "unless-stopped",
		"--network", Network, "--network-alias", c.Alias,
	}
	args = append(append(append(args, c.Options...), c.Image), c.Command...)
	if _, err := e.Output(ctx, args...); err != nil {
		return fmt.Errorf("starting container %s: %w", c.Name, err)
	}
	fmt.Fprintln(log, "started container", c.Name)
	return nil
}

// inodes returns the inodes of the mounted host folders. A container that is older than a new cache folder still has
// the removed one mounted under the same path.
func inodes(options []string) []uint64 {
	var found []uint64
	for i, option := range options {
		if option != "--volume" || i+1 == len(options) {
			continue
		}
		path, _, _ := strings.Cut(options[i+1], ":")
		if info, err := os.Stat(path); err == nil && filepath.IsAbs(path) {
			found = append(found, info.Sys().(*syscall.Stat_t).Ino)
		}
	}
	return found
}

// Remove removes a container with its anonymous volumes, if it exists.
func (e *Engine) Remove(ctx context.Context, container string) error {
	there, err := e.Output(ctx, "ps", "--all", "--quiet", "--filter", "name=^/"+container+"$")
	if err != nil || there == "" {
		return err
	}
	_, err = e.Output(ctx, "rm", "--force", "--volumes", there)
	return err
}

// Await calls ready until it returns nil, or until the time is over.
func Await(ctx context.Context, what string, within time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
