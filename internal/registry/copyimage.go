package registry

import (
	"context"
	"encoding/json"
	"fmt"
)

// CopyImage writes a manifest of one repository under a reference in another one, after everything that it names: blobs are mounted or
// copied as by Mount, the images of an index are copied by their digests. The manifest stays as it is, so its digest does too.
func (c *Client) CopyImage(ctx context.Context, from string, m Manifest, to string) error {
	return c.copyImage(ctx, from, m, to, func(d named) *int64 { return &d.Size })
}

// MountImage is CopyImage where the registry mounts blobs. Where it does not, the error is ErrNotMounted, and no blob is copied.
func (c *Client) MountImage(ctx context.Context, from string, m Manifest, to string) error {
	return c.copyImage(ctx, from, m, to, func(named) *int64 { return nil })
}

// named is what a manifest names.
type named struct {
	Digest string   `json:"digest"`
	Size   int64    `json:"size"`
	URLs   []string `json:"urls"`
}

func (c *Client) copyImage(ctx context.Context, from string, m Manifest, to string, size func(named) *int64) error {
	var parsed struct {
		Config            *named  `json:"config"`
		Layers, Manifests []named // encoding/json takes these names in lower case, too
	}
	if err := json.Unmarshal(m.Raw, &parsed); err != nil {
		return fmt.Errorf("reading the manifest %s of %s: %w", m.Digest(), from, err)
	}
	ref, err := parse(to)
	if err != nil {
		return err
	}
	repository := ref.Context().Name()
	for _, image := range parsed.Manifests {
		child, err := c.Manifest(ctx, from+"@"+image.Digest)
		if err == nil {
			err = c.copyImage(ctx, from, child, repository+"@"+image.Digest, size)
		}
		if err != nil {
			return err
		}
	}
	blobs := parsed.Layers
	if parsed.Config != nil {
		blobs = append(blobs, *parsed.Config)
	}
	for _, blob := range blobs {
		if len(blob.URLs) > 0 { // clients fetch it from there
			continue
		}
		if err := c.bring(ctx, from, repository, blob.Digest, size(blob)); err != nil {
			return err
		}
	}
	return c.PutManifest(ctx, to, m)
}
