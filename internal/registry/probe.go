package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// probeTag is overwritten by the next run where it cannot be deleted.
const probeTag = "eval-images-probe"

// ProbeManifest tells whether the registry refuses a manifest that names a blob which it does not have. One that does not
// must be asked for each blob, or a tag could point to an image that nobody can pull. It is asked once per repository and
// run.
func (c *Client) ProbeManifest(ctx context.Context, repository string) (refuses bool, err error) {
	ref, err := parse(repository)
	if err != nil {
		return false, err
	}
	repo := ref.Context().Name()
	err = c.flights.share(ctx, "probe "+repo, func() error {
		if _, known := c.probed.Load(repo); known {
			return nil
		}
		refuses, err := c.probe(ctx, repo)
		if err == nil {
			c.probed.Store(repo, refuses)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	found, _ := c.probed.Load(repo)
	return found.(bool), nil
}

// probe puts a whole image but for its layer: what a registry has to look at is layers, and not the config alone.
func (c *Client) probe(ctx context.Context, repository string) (bool, error) {
	layer := digest.FromString(rand.Text()).String()
	config := fmt.Sprintf(
		`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, layer)
	d, err := c.PutBlob(ctx, repository, []byte(config))
	if err != nil {
		return false, err
	}
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1,
		"config": map[string]any{"mediaType": types.OCIConfigJSON, "size": len(config), "digest": d},
		"layers": []any{map[string]any{"mediaType": types.OCILayer, "size": 32, "digest": layer}},
	})
	if err != nil {
		return false, fmt.Errorf("making a manifest: %w", err)
	}
	err = c.PutManifest(ctx, repository+":"+probeTag, Manifest{string(types.OCIManifestSchema1), raw})
	switch {
	case err == nil:
		// Whether it can be deleted does not change the answer; nothing uses the tag.
		_ = c.Delete(ctx, repository+":"+probeTag)
		return false, nil
	case refusesManifest(err):
		return true, nil
	}
	return false, err
}

// refusesManifest tells a refusal of what the manifest says from one of the question.
func refusesManifest(err error) bool {
	if _, ok := errors.AsType[*UnknownBlobs](err); ok {
		return true
	}
	switch status(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		for _, said := range refusals(err) {
			if strings.HasPrefix(string(said.Code), "MANIFEST_") {
				return true
			}
		}
	}
	return false
}
