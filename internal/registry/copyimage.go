package registry

import (
	"bytes"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// CopyImage writes a manifest of one repository under a reference in another one, after everything that it names: blobs are mounted or
// copied as by Mount, the images of an index are copied by their digests. The manifest stays as it is, so its digest does too.
func (c *Client) CopyImage(ctx context.Context, from string, m Manifest, to string) error {
	return c.bringImage(ctx, from, m, to, true)
}

// MountImage is CopyImage where the registry mounts blobs. Where it does not, the error is ErrNotMounted, and no blob is copied.
func (c *Client) MountImage(ctx context.Context, from string, m Manifest, to string) error {
	return c.bringImage(ctx, from, m, to, false)
}

func (c *Client) bringImage(ctx context.Context, from string, m Manifest, to string, copies bool) error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(m.Raw)) // an image has no manifests in it
	var blobs []v1.Descriptor
	if err == nil {
		blobs, err = m.descriptors()
	}
	if err != nil {
		return fmt.Errorf("reading the manifest %s of %s: %w", m.Digest(), from, err)
	}
	ref, err := parse(to)
	if err != nil {
		return err
	}
	repository := ref.Context().Name()
	for _, image := range index.Manifests {
		child, err := c.Manifest(ctx, from+"@"+image.Digest.String())
		if err == nil {
			err = c.bringImage(ctx, from, child, repository+"@"+image.Digest.String(), copies)
		}
		if err != nil {
			return err
		}
	}
	for _, blob := range blobs {
		if err := c.bring(ctx, from, repository, blob.Digest.String(), blob.Size, copies); err != nil {
			return err
		}
	}
	return c.PutManifest(ctx, to, m)
}
