package rebase

import (
	"strings"
	"time"
)

// MarkAnnotation is the annotation of an eval-base's manifest that says that its files were checked when it was made:
// whether it holds a path, or a user, that the agent layers would land on otherwise than a build's COPY does. Manifest
// and config cannot show that.
const MarkAnnotation = "dev.openhands.eval-images.checked"

// A verdict is MarkPlain for an eval-base that can be rebased upon, or else MarkRefused and the reason.
const (
	MarkPlain   = "1"
	MarkRefused = "refused: "
)

// Mark puts a verdict into an eval-base's manifest, with the base image that it was made of and the time at which, and
// leaves all else as it is. A manifest that cannot be read is given back unmarked.
func Mark(img Image, verdict, name, digest string, made time.Time) Image {
	img.Manifest = annotate(img.Manifest, [][2]string{
		{MarkAnnotation, verdict}, {baseName, name}, {baseDigest, digest}, {createdAt, made.UTC().Format(time.RFC3339)},
	})
	return img
}

// annotate puts annotations into a manifest, in their order, and leaves all else as it is. A manifest that cannot be read
// is given back as it was.
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

// IsRebasable is nil for an eval-base that was checked and can be rebased upon, and else a *Refusal with the reason.
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

// CreatedAt gives the time at which a marked eval-base was made, in whole seconds, where its manifest has one.
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

// WithBase puts the repository and the digest of an image's base into the annotations of its manifest, and leaves all else as
// it is.
func WithBase(manifest []byte, repository, digest string) []byte {
	return annotate(manifest, [][2]string{{baseName, repository}, {baseDigest, digest}})
}

// BaseOf returns the repository, or the name with its tag, and the digest of the image that a manifest names as its base.
func BaseOf(manifest []byte) (name, digest string) {
	return annotation(manifest, baseName), annotation(manifest, baseDigest)
}
