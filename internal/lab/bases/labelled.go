package bases

import (
	"context"
	"fmt"
	"maps"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// pushes is how many images are put into the registry at once.
const pushes = 8

// PushLabelled pushes to each tag in to one of the images in from, in turn, with the tag as a label. All have a
// configuration of their own, but no layer is new. Where bases is not nil, it has the name of each one's base image, for its annotations.
func PushLabelled(ctx context.Context, from, to []name.Tag, bases []string) error {
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
			image, err := withLabel(images[i%len(images)], ref.TagStr())
			if err == nil && bases != nil {
				image = mutate.Annotations(image, map[string]string{"org.opencontainers.image.base.name": bases[i]}).(v1.Image)
			}
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
	config.Labels["eval-images.lab.copy"] = value
	return mutate.Config(image, config)
}
