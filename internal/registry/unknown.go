package registry

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// UnknownBlobs is a registry's refusal of a manifest, for it misses blobs that the manifest names.
type UnknownBlobs struct {
	// Digests are those that the registry names, each once: not all registries do, or name all.
	Digests []string
	Err     error
}

func (e *UnknownBlobs) Error() string { return e.Err.Error() }

// Unwrap gives the refusal.
func (e *UnknownBlobs) Unwrap() error { return e.Err }

// unknownBlobs is err as such a refusal, or nil. The status does not matter: distribution answers with that of its first
// error of several, which can be a 500.
func unknownBlobs(err error) *UnknownBlobs {
	if !has(err, transport.ManifestBlobUnknownErrorCode, transport.BlobUnknownErrorCode) {
		return nil
	}
	unknown := &UnknownBlobs{Err: err}
	for _, said := range refusals(err) {
		if said.Code == transport.ManifestBlobUnknownErrorCode || said.Code == transport.BlobUnknownErrorCode {
			unknown.Digests = append(unknown.Digests, digestsIn(said.Message)...)
			unknown.Digests = append(unknown.Digests, digestsIn(said.Detail)...)
		}
	}
	slices.Sort(unknown.Digests)
	unknown.Digests = slices.Compact(unknown.Digests)
	return unknown
}

var digestText = regexp.MustCompile(`\b(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\b`)

// digestsIn finds digests in any JSON value: detail is the digest itself, a text, an object that has the digest under any
// of several names, or a list of these.
func digestsIn(value any) []string { return digestText.FindAllString(fmt.Sprint(value), -1) }
