package bench

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Images that the bench adds to the engine.
const (
	stubbedImage  = "eval-images-lab/bench-action"
	noEngineImage = "eval-images-lab/bench-no-engine"
)

// cached returns the ids in the builder's cache, or those that a filter selects.
func (b *bench) cached(ctx context.Context, filter ...string) (map[string]bool, error) {
	said, err := b.buildctl(ctx, append([]string{"du", "--format", `{{range .}}{{.ID}} {{end}}`}, filter...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the builder's cache: %w", err)
	}
	ids := map[string]bool{}
	for _, id := range strings.Fields(said) {
		ids[id] = true
	}
	return ids, nil
}

// clean removes what the bench has added to the engine and to the builder's cache, which is gigabytes. Pushed images
// stay in the registry, where they share layers.
func (b *bench) clean(ctx context.Context) error {
	for _, image := range []string{stubbedImage, noEngineImage} {
		_ = exec.CommandContext(ctx, "docker", "image", "rm", image).Run() // it is there where its part has run
	}
	return b.uncache(ctx)
}

// cleanAgents removes the agent layers that the bench has added to the builder's cache: 0.7 GB for each image, useless
// at another commit.
func (b *bench) cleanAgents(ctx context.Context) error {
	return b.uncache(ctx, "--filter", "description~=source-minimal")
}

func (b *bench) uncache(ctx context.Context, filter ...string) error {
	now, err := b.cached(ctx, filter...)
	if err != nil {
		return err
	}
	added := addedTo(b.cache, now)
	if len(added) == 0 {
		return nil
	}
	args := []string{"prune"}
	for _, id := range added { // one pattern of them all takes BuildKit minutes: it is compiled for each record
		args = append(args, "--filter", "id=="+id)
	}
	if _, err := b.buildctl(ctx, args...); err != nil {
		return fmt.Errorf("removing what was added to the builder's cache: %w", err)
	}
	return nil
}

// addedTo returns the members of now that are not in before.
func addedTo(before, now map[string]bool) (added []string) {
	for id := range now {
		if !before[id] {
			added = append(added, id)
		}
	}
	return added
}

// buildctl runs buildctl in the builder's container.
func (b *bench) buildctl(ctx context.Context, args ...string) (string, error) {
	container := "buildx_buildkit_" + b.Values["LAB_BUILDER"] + "0"
	said, err := exec.CommandContext(ctx, "docker", append([]string{"exec", container, "buildctl"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running buildctl: %w: %.500s", err, said)
	}
	return string(said), nil
}
