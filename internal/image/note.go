package image

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/registry"
)

// A note is what runs tell each other by a tag: an artifact with annotations and one blob (opencontainers/image-spec, manifest.md).

// atAnnotation says when a note was written.
const atAnnotation = "org.opencontainers.image.created"

// emptyNote is the blob of a note that has none.
var emptyNote = []byte("{}")

// emptyType is the media type of an empty blob.
const emptyType = "application/vnd.oci.empty.v1+json"

// putNote writes a note.
func putNote(ctx context.Context, r *registry.Client, reference, kind string, content []byte, annotations map[string]string) error {
	const ours = "application/vnd.openhands.eval-images."
	mediaType := ours + kind + "+json"
	if string(content) == string(emptyNote) {
		mediaType = emptyType
	}
	blob := func(mediaType string, content []byte) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest.FromBytes(content).String(), "size": len(content)}
	}
	for _, one := range [][]byte{emptyNote, content} {
		if _, err := r.PutBlob(ctx, repositoryOf(reference), one); err != nil {
			return err
		}
	}
	raw, _ := json.Marshal(map[string]any{ // encoding these values never fails
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": ours + kind,
		"config": blob(emptyType, emptyNote), "layers": []any{blob(mediaType, content)}, "annotations": annotations,
	})
	return r.PutManifest(ctx, reference, registry.Manifest{MediaType: string(types.OCIManifestSchema1), Raw: raw})
}

// readNote reads the annotations of a note, and where its blob is. The error is registry.ErrNotFound where there is none.
func readNote(ctx context.Context, r *registry.Client, reference string) (annotations map[string]string, blob string, err error) {
	m, err := r.Manifest(ctx, reference)
	if err != nil {
		return nil, "", err
	}
	var note struct {
		Annotations map[string]string
		Layers      []struct{ Digest string }
	}
	if err := json.Unmarshal(m.Raw, &note); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", reference, err)
	}
	if len(note.Layers) != 1 {
		return nil, "", fmt.Errorf("reading %s: it is no note of a run", reference)
	}
	return note.Annotations, note.Layers[0].Digest, nil
}
