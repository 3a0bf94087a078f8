package bench

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/OpenHands/eval-images/internal/lab/bases"
)

// pushDistinctBases gives each instance a base image of its own: one of the lab's with one more file.
func (b *bench) pushDistinctBases(ctx context.Context, instances []string) error {
	for i, instance := range instances {
		image, err := b.distinctBase(ctx, b.Instances[i%len(b.Instances)], i)
		if err != nil {
			return err
		}
		ref, err := b.base(instance)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("pushing a base image: %w", err)
		}
	}
	return nil
}

// pushLabelledBases gives each instance a copy of a base image in having that differs in a label only.
func (b *bench) pushLabelledBases(ctx context.Context, instances, having []string) error {
	var from []name.Tag
	for _, instance := range having {
		ref, err := b.base(instance)
		if err != nil {
			return err
		}
		from = append(from, ref)
	}
	var to []name.Tag
	for _, instance := range instances {
		ref, err := b.base(instance)
		if err != nil {
			return err
		}
		to = append(to, ref)
	}
	return bases.PushLabelled(ctx, from, to, nil)
}

// base returns an instance's base image, by its name on the host.
func (b *bench) base(instance string) (name.Tag, error) {
	ref, err := name.NewTag(b.Values["LAB_REGISTRY"] + "/" + b.path("bases") + ":" + instance)
	if err != nil {
		return ref, fmt.Errorf("naming the base image of %s: %w", instance, err)
	}
	return ref, nil
}

// distinctBase returns an instance's base image with a small layer of its own.
func (b *bench) distinctBase(ctx context.Context, instance string, number int) (v1.Image, error) {
	ref, err := name.ParseReference(b.Values["LAB_REGISTRY"] + "/" + bases.Repository(instance))
	if err != nil {
		return nil, fmt.Errorf("naming a base image of the lab: %w", err)
	}
	image, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading a base image of the lab: %w", err)
	}
	layer, err := fileLayer("etc/bench-base", fmt.Sprintln(number))
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "bench"}})
	if err != nil {
		return nil, fmt.Errorf("adding a layer to a base image: %w", err)
	}
	return image, nil
}

func fileLayer(path, content string) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
}
