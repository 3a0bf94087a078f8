package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// FetchedImage is an image as a registry has it, and where.
type FetchedImage struct {
	rebase.Image
	// Reference is what it was fetched by, with a tag or a digest.
	Reference, Repository, Digest string
}

// errIncomplete says that the registry lacks a part of an image that it has.
var errIncomplete = errors.New("the registry does not have all of it")

// Fetch reads an image by a full reference, with a tag or a digest: manifest and configuration, no layer. Of an index it
// reads the one image for linux/amd64. Errors are the registry's, or a *rebase.Refusal.
func Fetch(ctx context.Context, r *registry.Client, reference string) (FetchedImage, error) {
	m, err := r.Manifest(ctx, reference)
	if err != nil {
		return FetchedImage{}, err
	}
	return fetchRest(ctx, r, reference, m)
}

// fetchRest reads what a manifest names: the image for the platform, where it is an index, and the configuration.
func fetchRest(ctx context.Context, r *registry.Client, reference string, m registry.Manifest) (FetchedImage, error) {
	repository := repositoryOf(reference)
	if rebase.IsIndex(m.MediaType) {
		digest, _, err := rebase.SelectPlatform(m.Raw)
		if err != nil {
			return FetchedImage{}, err
		}
		if m, err = r.Manifest(ctx, repository+"@"+digest); err != nil {
			return FetchedImage{}, incomplete(err)
		}
	}
	var named struct {
		Config struct{ Digest string }
	}
	if err := json.Unmarshal(m.Raw, &named); err != nil || named.Config.Digest == "" {
		return FetchedImage{}, &rebase.Refusal{Reason: fmt.Sprintf("the manifest %s of %s names no configuration", m.Digest(), repository)}
	}
	config, err := r.Blob(ctx, repository, named.Config.Digest)
	if err != nil {
		return FetchedImage{}, incomplete(err)
	}
	return FetchedImage{rebase.Image{MediaType: m.MediaType, Manifest: m.Raw, Config: config}, reference, repository, m.Digest()}, nil
}

func incomplete(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return fmt.Errorf("%w: %w", errIncomplete, err)
	}
	return err
}

// repositoryOf is the repository of a reference with a tag or a digest.
func repositoryOf(reference string) string {
	if repository, _, byDigest := strings.Cut(reference, "@"); byDigest {
		return repository
	}
	return reference[:strings.LastIndexByte(reference, ':')]
}

// registryFailure is an error of a registry as a *failure.Error. A *rebase.Refusal, and what is a *failure.Error already,
// stays as it is.
func registryFailure(ctx context.Context, doing string, err error) error {
	var refusal *rebase.Refusal
	var known *failure.Error
	switch {
	case err == nil, errors.As(err, &refusal), errors.As(err, &known):
		return err
	case errors.Is(context.Cause(ctx), sdk.ErrTimeout):
		return &failure.Error{Class: failure.ClassTimeout, Err: fmt.Errorf("%s: %w", doing, context.Cause(ctx))}
	case ctx.Err() != nil:
		return &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("%s: %w", doing, context.Cause(ctx))}
	default:
		return failure.OfRegistry(doing, err)
	}
}
