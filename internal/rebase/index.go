package rebase

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// IsIndex tells the media types of a list of images: OCI's index and Docker's manifest list.
func IsIndex(mediaType string) bool { return types.MediaType(mediaType).IsIndex() }

// SelectPlatform gives the one image for linux/amd64 out of an index, or a *Refusal where there is none, or more than one. The
// attestations that BuildKit puts beside an image have the platform unknown/unknown, and so fall out like those of
// other platforms do. What names no platform is not guessed at.
func SelectPlatform(index []byte) (digest, mediaType string, err error) {
	var list v1.IndexManifest
	if err := json.Unmarshal(index, &list); err != nil {
		return "", "", refuse("the index cannot be read: %v", err)
	}
	found := 0
	for _, d := range list.Manifests {
		p := d.Platform
		if p == nil || p.OS != "linux" || p.Architecture != "amd64" || p.Variant != "" && p.Variant != "v1" {
			continue
		}
		digest, mediaType = d.Digest.String(), string(d.MediaType)
		found++
	}
	switch {
	case found == 0:
		return "", "", refuse("the index has no image for linux/amd64 among its %d manifests", len(list.Manifests))
	case found > 1:
		return "", "", refuse("the index has %d images for linux/amd64", found)
	case !types.MediaType(mediaType).IsImage():
		return "", "", refuse("the index has the media type %q for linux/amd64, which is no image's", mediaType)
	}
	return digest, mediaType, nil
}
