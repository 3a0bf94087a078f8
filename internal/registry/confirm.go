package registry

import (
	"context"
	"fmt"
	"strings"
)

// Confirm reads the manifest of an image by its tag and compares its bytes with the digest that Digest gave. pinned is
// name:tag@digest. A HEAD has no content that could be checked, so a proxy or a cache that mixes up two images is not
// found out until then. A GET of a manifest counts as a pull on Docker Hub
// (https://docs.docker.com/docker-hub/usage/pulls/): a pair of tag and digest is confirmed once per run.
func (c *Client) Confirm(ctx context.Context, pinned string) error {
	at := strings.LastIndexByte(pinned, '@')
	if at < 0 {
		return fmt.Errorf("confirming the digest of %s: it has none", pinned)
	}
	reference, digest := pinned[:at], pinned[at+1:]
	return c.flights.share(ctx, "confirm "+pinned, func() error {
		if _, done := c.confirmed.Load(pinned); done {
			return nil
		}
		m, err := c.Manifest(ctx, reference)
		if err != nil {
			return err
		}
		if got := m.Digest(); got != digest {
			return fmt.Errorf("the registry named %s as the digest of %s, but its manifest has %s: "+
				"it was pushed anew just now, or a proxy or mirror mixes up images", digest, reference, got)
		}
		c.confirmed.Store(pinned, true)
		return nil
	})
}
