package rebase

import (
	"strings"
	"time"
)

// MarkAnnotation is the annotation of an eval-base's manifest that holds the result of the check of its files. The check
// looks for paths and users on which the agent layers would have another effect than a build's COPY. Manifest and config
// do not show these.
const MarkAnnotation = "dev.openhands.eval-images.checked"

// The result is MarkPlain if the eval-base can be used for rebasing. Otherwise it is MarkRefused and the reason.
const (
	MarkPlain   = "1"
	MarkRefused = "refused: "
)

// Mark adds the result of the check to an eval-base's manifest, with its base image and the time of its creation. A manifest
// that cannot be parsed stays unmarked.
func Mark(img Image, verdict, name, digest string, made time.Time) Image {
	img.Manifest = annotate(img.Manifest, [][2]string{
		{MarkAnnotation, verdict}, {baseName, name}, {baseDigest, digest}, {createdAt, made.UTC().Format(time.RFC3339)},
	})
	return img
}

// annotate adds annotations to a manifest in their order, and keeps everything else. It returns a manifest that cannot be
// parsed unchanged.
func annotate(raw []byte, annotations [][2]string) []byte {
	manifest, err := parseObject(raw)
	if err != nil {
		return raw
	}
	all, err := parseObject(manifest.get("annotations"))
	if err != nil {
		return raw
	}
	for _, a := range annotations {
		all = all.with(a[0], quote(a[1]))
	}
	return manifest.with("annotations", all.raw()).raw()
}

// IsRebasable returns nil if the eval-base was checked and can be used for rebasing. Otherwise it returns a *Refusal.
func IsRebasable(manifest []byte) error {
	switch verdict := annotation(manifest, MarkAnnotation); verdict {
	case MarkPlain:
		return nil
	case "":
		return refuse("the eval-base was not checked for paths and users that a layer would land on")
	default:
		return refuse("the eval-base: %s", strings.TrimPrefix(verdict, MarkRefused))
	}
}

// CreatedAt returns when a marked eval-base was created, in whole seconds. ok is false if its manifest does not say so.
func CreatedAt(manifest []byte) (time.Time, bool) {
	made, err := time.Parse(time.RFC3339, annotation(manifest, createdAt))
	return made, err == nil
}

func annotation(manifest []byte, name string) string {
	m, err := parseObject(manifest)
	if err != nil {
		return ""
	}
	annotations, err := parseObject(m.get("annotations"))
	if err != nil {
		return ""
	}
	return annotations.text(name)
}

// WithBase adds the repository and the digest of an image's base to the annotations of its manifest.
func WithBase(manifest []byte, repository, digest string) []byte {
	return annotate(manifest, [][2]string{{baseName, repository}, {baseDigest, digest}})
}

// BaseOf returns the name and the digest of the base image in a manifest's annotations. The name may lack a tag.
func BaseOf(manifest []byte) (name, digest string) {
	return annotation(manifest, baseName), annotation(manifest, baseDigest)
}
