package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// ProbePush starts an upload to the repository and cancels it, so that a registry that accepts no pushes is found before the
// first build. The error is a *Denied if the repository's name, the credentials or the connection is wrong. A repository that accepted
// one is not asked again: an upload and its cancellation are two writes, and registries limit these.
func (c *Client) ProbePush(ctx context.Context, repository string) error {
	ref, err := parse(repository)
	if err != nil {
		return err
	}
	u := upload{repository: ref.Context(), doing: "pushing to " + repository}
	if _, accepted := c.pushed.Load(u.repository.Name()); accepted {
		return nil
	}
	resp, err := c.do(ctx, request{
		doing: u.doing, method: http.MethodPost, repository: u.repository, scopes: pushScope(u.repository),
		url: endpoint(u.repository, "blobs/uploads/"), success: []int{http.StatusAccepted},
	})
	if err != nil {
		return pushError(ctx, u.doing, err)
	}
	if u.location, err = location(resp); err == nil {
		c.cancelUpload(ctx, u)
	}
	c.pushed.Store(u.repository.Name(), true)
	return nil
}

// pushError returns a *Denied if err means that there is no registry, or that it accepts no uploads.
func pushError(ctx context.Context, doing string, err error) error {
	if _, limited := errors.AsType[*RateLimited](err); limited || ctx.Err() != nil {
		return err
	}
	// After a bad certificate the library tries plain http at private names, and a server of https answers that with a 400.
	if isBadCertificate(err) {
		return &Denied{Doing: doing, Err: errors.Unwrap(err)}
	}
	switch status(err) {
	case 0, http.StatusNotFound, http.StatusMethodNotAllowed:
		return &Denied{Doing: doing, Err: errors.Unwrap(err)}
	}
	return err
}

// ProbeManifest reports whether the registry checks that the blobs of a manifest exist. If it does not, the caller has to check
// each blob, or a tag could point to an image that nobody can pull. It probes a repository once per run.
func (c *Client) ProbeManifest(ctx context.Context, repository string) (checks bool, err error) {
	ref, err := parse(repository)
	if err != nil {
		return false, err
	}
	repo := ref.Context().Name()
	err = c.share(ctx, "probe "+repo, "probing the manifests of "+repo, func() error {
		if _, known := c.probed.Load(repo); known {
			return nil
		}
		checks, err := c.probeManifest(ctx, repo)
		if err == nil {
			c.probed.Store(repo, checks)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	found, _ := c.probed.Load(repo)
	return found.(bool), nil
}

// noLayer is the digest of a layer that no registry has.
var noLayer = digest.FromString("eval-images asks whether this registry checks the layers of a manifest").String()

// probeManifest puts the manifest of an image whose layer does not exist. Its config exists, because some registries could check
// the config alone. It is put by its digest: a tag would stay where deletes are refused, and block the next run where tags are
// immutable. It is the same in each run, so that a registry which keeps it keeps one.
func (c *Client) probeManifest(ctx context.Context, repository string) (checks bool, err error) {
	config := fmt.Sprintf(
		`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, noLayer)
	d, err := c.PutBlob(ctx, repository, []byte(config))
	if err != nil {
		return false, err
	}
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1,
		"config": map[string]any{"mediaType": types.OCIConfigJSON, "size": len(config), "digest": d},
		"layers": []any{map[string]any{"mediaType": types.OCILayer, "size": 32, "digest": noLayer}},
	})
	if err != nil {
		return false, fmt.Errorf("encoding a manifest: %w", err)
	}
	m := Manifest{string(types.OCIManifestSchema1), raw}
	reference := repository + "@" + m.Digest()
	err = c.PutManifest(ctx, reference, m)
	switch {
	case err == nil:
		_ = c.Delete(ctx, reference) // nothing uses it, so a failure changes nothing
		return false, nil
	case rejectsManifest(err):
		return true, nil
	case refusesProbe(err):
		return false, nil
	}
	return false, err
}

// refusesProbe reports whether a registry answered that it does not take this manifest, for a reason of its own. Then the probe
// tells nothing, and the caller asks for each blob.
func refusesProbe(err error) bool {
	_, limited := errors.AsType[*RateLimited](err)
	code := status(err)
	return Answered(err) && !limited && !isTransient(err) && code != http.StatusUnauthorized && code != http.StatusNotFound
}

// rejectsManifest reports whether the registry rejected the content of a manifest, rather than the request.
func rejectsManifest(err error) bool {
	if _, ok := errors.AsType[*UnknownBlobs](err); ok {
		return true
	}
	switch status(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		for _, d := range diagnostics(err) {
			if strings.HasPrefix(string(d.Code), "MANIFEST_") {
				return true
			}
		}
	}
	return false
}
