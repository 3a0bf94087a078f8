package bench

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// pushes is how many images are put into the registry at once.
const pushes = 8

// pushLabelled pushes to each tag in to one of the images in from, in turn, with another label. All have a configuration of
// their own, but no layer is new.
func pushLabelled(ctx context.Context, from, to []name.Tag) error {
	var images []v1.Image
	for _, ref := range from {
		image, err := remote.Image(ref, remote.WithContext(ctx))
		if err != nil {
			return fmt.Errorf("reading %s: %w", ref, err)
		}
		images = append(images, image)
	}
	pusher, err := remote.NewPusher() // asks for each layer once
	if err != nil {
		return fmt.Errorf("pushing to the lab's registry: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(pushes)
	for i, ref := range to {
		group.Go(func() error {
			image, err := withLabel(images[i%len(images)], fmt.Sprint(i))
			if err == nil {
				err = pusher.Push(ctx, ref, image)
			}
			if err != nil {
				return fmt.Errorf("pushing %s: %w", ref, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func withLabel(image v1.Image, value string) (v1.Image, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := *file.Config.DeepCopy()
	if config.Labels = maps.Clone(config.Labels); config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels["bench"] = value
	return mutate.Config(image, config)
}

// labelEvalBases gives all other instances an eval-base with a configuration of its own, by changing a label. A dry run
// asks the registry for the missing eval-bases, so the access log has their tags. Any layers will do, because nothing
// reads them.
func (b *bench) labelEvalBases(ctx context.Context, commit string) error {
	since := time.Now()
	if _, err := b.plan(ctx, b.rebaseStep(commit, nil, b.image("rebase"), "plan").Inputs); err != nil {
		return err
	}
	asked, err := b.requestsTo(ctx, since, "rebase")
	if err != nil {
		return err
	}
	repository, err := name.NewRepository(b.Values["LAB_REGISTRY"] + "/" + b.path("rebase"))
	if err != nil {
		return fmt.Errorf("naming the repository of the eval-bases: %w", err)
	}
	there, missing := evalBases(asked)
	const want = wholeBenchmark + references - rebased // a plan is for the whole dataset
	if len(there) != rebased || len(missing) != want {
		return fmt.Errorf("a dry run found %d eval-bases and missed %d, want %d and %d", len(there), len(missing), rebased, want)
	}
	tags := func(names []string) (tags []name.Tag) {
		for _, n := range names {
			tags = append(tags, repository.Tag(n))
		}
		return tags
	}
	return pushLabelled(ctx, tags(there), tags(missing))
}

// evalBases returns the tags of eval-bases in the requests, each once.
func evalBases(asked []request) (there, missing []string) {
	seen := map[string]bool{}
	for _, r := range asked {
		tag, ok := strings.CutPrefix(r.path, "manifests/")
		if !ok || !strings.HasPrefix(tag, "eval-base-") || seen[tag] {
			continue
		}
		switch seen[tag] = true; r.status {
		case "200":
			there = append(there, tag)
		case "404":
			missing = append(missing, tag)
		}
	}
	return there, missing
}
