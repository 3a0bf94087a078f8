package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Undeletable is a registry's refusal to delete something, which will not change: it deletes nothing at all (ghcr.io
// answers 405), no tags without their manifests, or nothing for this user.
type Undeletable struct {
	Reference string
	Err       error
}

func (e *Undeletable) Error() string { return e.Err.Error() }

// Unwrap gives the refusal.
func (e *Undeletable) Unwrap() error { return e.Err }

// Delete deletes what the reference says and nothing else: a tag, whose manifest and its other tags stay; or, by a
// digest, a manifest with all tags that are on it. What is not there counts as deleted. It is *Undeletable where the
// registry does not do that.
func (c *Client) Delete(ctx context.Context, reference string) error {
	ref, err := parse(reference)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, question{
		doing: fmt.Sprintf("deleting %s", ref), method: http.MethodDelete, repository: ref.Context(),
		scopes: []string{ref.Context().Scope(transport.DeleteScope)}, url: at(ref.Context(), "manifests/"+ref.Identifier()),
		want: []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent},
	})
	_, tag := ref.(name.Tag)
	switch {
	case err == nil || gone(err):
		return nil
	case undeletable(err, tag):
		return &Undeletable{Reference: ref.Name(), Err: err}
	}
	return err
}

func gone(err error) bool {
	return status(err) == http.StatusNotFound && has(err, transport.ManifestUnknownErrorCode, transport.NameUnknownErrorCode)
}

func undeletable(err error, tag bool) bool {
	if _, ok := errors.AsType[*Busy](err); ok {
		return false
	}
	switch status(err) {
	// 404 without the word that the manifest is unknown: the registry has no such road.
	case http.StatusMethodNotAllowed, http.StatusNotFound, http.StatusNotImplemented,
		http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest: // registries that delete by digest only read the tag as one
		return tag || has(err, transport.UnsupportedErrorCode)
	}
	return has(err, transport.UnsupportedErrorCode)
}
