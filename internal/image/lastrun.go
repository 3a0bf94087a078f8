package image

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/OpenHands/eval-images/internal/registry"
)

// The tags of eval-bases, of references with the base stages that were brought with them, and of base images with Python packages.
var (
	evalBaseForm  = regexp.MustCompile(`^eval-base-([0-9a-f]+)$`)
	referenceForm = regexp.MustCompile(`^(reference-([0-9a-f]{40})-[0-9a-f]{16}-[12])(-base)?$`)
	pipBaseForm   = regexp.MustCompile(`^base-[0-9a-f]{16}$`)
)

// Kept counts what is in a repository of eval-bases.
type Kept struct{ EvalBases, References, PipBases int }

func (k Kept) String() string {
	return fmt.Sprintf("eval-bases: %d, references: %d, base images with Python packages: %d", k.EvalBases, k.References, k.PipBases)
}

// KeptIn counts what is in the repository.
func KeptIn(ctx context.Context, r *registry.Client, repository string) (k Kept, err error) {
	tags, err := r.Tags(ctx, repository)
	for _, tag := range tags {
		if count, _ := k.of(tag); count != nil {
			*count++
		}
	}
	return k, err
}

// of returns the count to which a tag belongs, and what the tag is. The count is nil if the tag is of another kind.
func (k *Kept) of(tag string) (count *int, what string) {
	switch {
	case evalBaseForm.MatchString(tag):
		return &k.EvalBases, "eval-base"
	case isReference(tag):
		return &k.References, "reference"
	case pipBaseForm.MatchString(tag):
		return &k.PipBases, "base image with Python packages"
	}
	return nil, ""
}

func isReference(tag string) bool {
	found := referenceForm.FindStringSubmatch(tag)
	return found != nil && found[3] == ""
}

// LastRunTag is the tag under which a run leaves its date, and what there was at its end. What is missing later was deleted: runs delete
// nothing of it.
const LastRunTag = "last-run"

// LastRun is what the last run has left.
type LastRun struct {
	Kept
	At time.Time
}

// The annotations of LastRunTag.
const (
	evalBasesAnnotation  = "dev.openhands.eval-images.eval-bases"
	referencesAnnotation = "dev.openhands.eval-images.references"
	pipBasesAnnotation   = "dev.openhands.eval-images.bases"
)

// ReadLastRun reads what the last run has left. The error is registry.ErrNotFound where none has.
func ReadLastRun(ctx context.Context, r *registry.Client, repository string) (last LastRun, err error) {
	told, _, err := readNote(ctx, r, repository+":"+LastRunTag)
	if err != nil {
		return last, err
	}
	var wrong [4]error
	last.At, wrong[0] = time.Parse(time.RFC3339, told[atAnnotation])
	last.EvalBases, wrong[1] = strconv.Atoi(told[evalBasesAnnotation])
	last.References, wrong[2] = strconv.Atoi(told[referencesAnnotation])
	last.PipBases, wrong[3] = strconv.Atoi(told[pipBasesAnnotation])
	if err := errors.Join(wrong[:]...); err != nil {
		return last, fmt.Errorf("reading %s:%s: %w", repository, LastRunTag, err)
	}
	return last, nil
}

// WriteLastRun leaves what there is now.
func WriteLastRun(ctx context.Context, r *registry.Client, repository string, now Kept) error {
	return putNote(ctx, r, repository+":"+LastRunTag, LastRunTag, emptyNote, map[string]string{
		atAnnotation: time.Now().UTC().Format(time.RFC3339), evalBasesAnnotation: strconv.Itoa(now.EvalBases),
		referencesAnnotation: strconv.Itoa(now.References), pipBasesAnnotation: strconv.Itoa(now.PipBases),
	})
}
