package rebase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/OpenHands/eval-images/internal/registry"
)

// Registry is read and written; a *registry.Client does.
type Registry interface {
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	Blob(ctx context.Context, repository, digest string) ([]byte, error)
	HasBlob(ctx context.Context, repository, digest string) (bool, error)
	PutBlob(ctx context.Context, repository string, content []byte) (digest string, err error)
	PutManifest(ctx context.Context, reference string, m registry.Manifest) error
	Mount(ctx context.Context, from, to, digest string, size int64) error
}

// Fetched is an image as a registry has it, and where.
type Fetched struct {
	Image
	Repository, Digest string
}

// errBroken says that the registry lacks a part of what it has. To who wants to make it, that is not there, either.
var errBroken = errors.New("the registry does not have all of it")

// Fetch reads an image: manifest and configuration, no layer. tag is a tag or a digest of the repository. Of an index it
// reads the one image for linux/amd64. Errors are the registry's, or a *Refusal.
func Fetch(ctx context.Context, reg Registry, repository, tag string) (Fetched, error) {
	m, err := reg.Manifest(ctx, at(repository, tag))
	if err == nil && IsIndex(m.MediaType) {
		var digest string
		if digest, _, err = Pick(m.Raw); err == nil {
			m, err = reg.Manifest(ctx, at(repository, digest))
			err = broken(err)
		}
	}
	if err != nil {
		return Fetched{}, err
	}
	var named struct {
		Config struct{ Digest string }
	}
	if err := json.Unmarshal(m.Raw, &named); err != nil || named.Config.Digest == "" {
		return Fetched{}, &Refusal{Reason: fmt.Sprintf("the manifest of %s names no configuration", at(repository, tag))}
	}
	config, err := reg.Blob(ctx, repository, named.Config.Digest)
	if err != nil {
		return Fetched{}, broken(err)
	}
	return Fetched{Image{MediaType: m.MediaType, Manifest: m.Raw, Config: config}, repository, m.Digest()}, nil
}

// FetchReference is Fetch by a full reference, with a tag or a digest.
func FetchReference(ctx context.Context, reg Registry, reference string) (Fetched, error) {
	if repository, digest, byDigest := strings.Cut(reference, "@"); byDigest {
		return Fetch(ctx, reg, repository, digest)
	}
	colon := strings.LastIndexByte(reference, ':')
	return Fetch(ctx, reg, reference[:colon], reference[colon+1:])
}

func broken(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return err
}

// at is the reference of a tag or a digest.
func at(repository, tag string) string {
	if len(tag) > len("sha256:") && tag[:len("sha256:")] == "sha256:" {
		return repository + "@" + tag
	}
	return repository + ":" + tag
}

// Layers are an image's layers, bottom up. Errors are a *Refusal.
func Layers(img Image) ([]Layer, error) {
	c, err := read("image", img)
	return c.layers, err
}

// BaseName is the name of the image that a manifest names as its base, or "".
func BaseName(manifest []byte) string { return annotation(manifest, baseName) }

// baseOf is the image that a manifest names as its base.
func baseOf(manifest []byte) (repository, digest string) {
	return annotation(manifest, baseName), annotation(manifest, baseDigest)
}
