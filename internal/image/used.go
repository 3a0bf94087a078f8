package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
)

// usedTags are the tags of the eval-bases, references and base images with Python packages that a run has used.
type usedTags struct {
	mu   sync.Mutex
	tags map[string]bool
}

func (u *usedTags) add(tag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tags == nil {
		u.tags = map[string]bool{}
	}
	u.tags[tag] = true
}

// Used returns the tags of what the run has used, sorted.
func (m *Maker) Used() []string {
	m.used.mu.Lock()
	defer m.used.mu.Unlock()
	return slices.Sorted(maps.Keys(m.used.tags))
}

// usedForm is the tag of a list of what a run has used, with its month. The tag has a hash of the list: runs at once do not overwrite each
// other's, and runs that use the same add nothing.
var usedForm = regexp.MustCompile(`^used-([0-9]{4}-[0-9]{2})-[0-9a-f]{16}$`)

const usedMonth = "2006-01"

// LeaveUsed leaves a list of tags that were used at that time.
func LeaveUsed(ctx context.Context, r *registry.Client, repository string, used []string, at time.Time) error {
	if len(used) == 0 {
		return nil
	}
	reference := fmt.Sprintf("%s:used-%s-%s", repository, at.UTC().Format(usedMonth), hash(used...)[:16])
	if there, err := r.Digest(ctx, reference); err != nil || there != "" {
		return err
	}
	content, _ := json.Marshal(used) // strings always encode
	return putNote(ctx, r, reference, "used", content, nil)
}

// readUsed reads a list that a run has left.
func readUsed(ctx context.Context, r *registry.Client, repository, tag string) (used []string, err error) {
	_, blob, err := readNote(ctx, r, repository+":"+tag)
	if err != nil {
		return nil, err
	}
	content, err := r.Blob(ctx, repository, blob)
	if err == nil {
		err = json.Unmarshal(content, &used)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s:%s: %w", repository, tag, err)
	}
	return used, nil
}

// usedUntil is when the month of a list was over. The list counts until then, because it does not tell the day.
func usedUntil(tag string) (time.Time, bool) {
	found := usedForm.FindStringSubmatch(tag)
	if found == nil {
		return time.Time{}, false
	}
	month, err := time.Parse(usedMonth, found[1])
	return month.AddDate(0, 1, 0), err == nil
}

// NotKnown is the error for the question what was not used since a moment, when the lists of runs do not go back so far.
type NotKnown struct {
	Since time.Time
	// From is when they will go back far enough; zero where there are none.
	From time.Time
}

func (e *NotKnown) Error() string {
	return "it is not known what was used before " + e.Since.Format(time.DateOnly) + ": no run has left a list from before then"
}

// Hint says when it will be known.
func (e *NotKnown) Hint() string {
	if e.From.IsZero() {
		return "run it again when runs of this version have left lists for that many days, or give a smaller number of days"
	}
	return "run it again after " + e.From.Format(time.DateOnly) + ", or give a smaller number of days"
}

// Unused are the tags that can go.
type Unused struct {
	Tags []UnusedTag
	// Kept counts what stays of each kind, and Gone what does not.
	Kept, Gone Kept
}

// UnusedTag is a tag that no run has used.
type UnusedTag struct {
	Tag string
	// What it is, and when it was made; zero for lists.
	What string
	Made time.Time
}

// FindUnused finds the eval-bases, references and base images with Python packages that no run has used since a moment, that are older, and
// the tags of their parts. It never names another tag. The error is a *NotKnown if it is not known what was used.
func FindUnused(ctx context.Context, r *registry.Client, repository string, since time.Time) (unused Unused, err error) {
	tags, err := r.Tags(ctx, repository)
	if err != nil {
		return unused, err
	}
	slices.Sort(tags)
	used, expired, err := usedSince(ctx, r, repository, tags, since)
	if err != nil {
		return unused, err
	}
	parts := partsOf(tags)
	for _, tag := range tags {
		kept, what := unused.Kept.of(tag)
		if kept == nil {
			continue
		}
		made := time.Time{} // of what was used, and of what has no date, which is not ours
		if !used[tag] {
			if made, err = madeAt(ctx, r, repository+":"+tag); err != nil {
				return unused, err
			}
		}
		if made.IsZero() || !made.Before(since) {
			*kept++
			continue
		}
		gone, _ := unused.Gone.of(tag)
		*gone++
		unused.Tags = append(unused.Tags, UnusedTag{tag, what, made})
		for _, part := range parts[tag] {
			unused.Tags = append(unused.Tags, UnusedTag{part, "part of " + what, made})
		}
	}
	for _, tag := range stagesOf(tags, unused.Tags) {
		unused.Tags = append(unused.Tags, UnusedTag{Tag: tag, What: "part of a reference"})
	}
	for _, tag := range expired {
		unused.Tags = append(unused.Tags, UnusedTag{Tag: tag, What: "list of what was used"})
	}
	return unused, nil
}

// usedSince returns the tags that runs have used since a moment, and the lists that say nothing about that. The newest of those stays: it
// shows that runs have left lists before that moment.
func usedSince(ctx context.Context, r *registry.Client, repository string, tags []string, since time.Time) (used map[string]bool, expired []string, err error) {
	used = map[string]bool{}
	first := time.Time{}
	for _, tag := range tags { // sorted, so the months are in their order
		until, isList := usedUntil(tag)
		switch {
		case !isList:
			continue
		case !until.After(since):
			expired = append(expired, tag)
			continue
		case first.IsZero():
			first = until
		}
		list, err := readUsed(ctx, r, repository, tag)
		if err != nil {
			return nil, nil, err
		}
		for _, one := range list {
			used[one] = true
		}
	}
	if len(expired) == 0 {
		unknown := &NotKnown{Since: since}
		if !first.IsZero() {
			unknown.From = first.Add(time.Since(since))
		}
		return nil, nil, unknown
	}
	return used, expired[:len(expired)-1], nil
}

// madeAt is when an image was made, by the annotation of an eval-base or by its configuration; zero where neither says it, or the image is
// gone meanwhile.
func madeAt(ctx context.Context, r *registry.Client, reference string) (time.Time, error) {
	f, err := Fetch(ctx, r, reference)
	var refusal *rebase.Refusal // it is no image
	if errors.Is(err, registry.ErrNotFound) || errors.As(err, &refusal) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, registryFailure(ctx, "reading "+reference, err)
	}
	if made, ok := rebase.CreatedAt(f.Manifest); ok {
		return made, nil
	}
	var config struct{ Created time.Time }
	_ = json.Unmarshal(f.Config, &config) // an image with a date of another form has none
	return config.Created, nil
}

// partForm are the SDK's own tag of an eval-base, and stageForm the one of a reference's base stage.
var (
	partForm  = regexp.MustCompile(`^unknown-([0-9a-f]+)-base-image-minimal$`)
	stageForm = regexp.MustCompile(`^([0-9a-f]{7,40})-reference-base-[0-9a-f]{16}-[a-z2-7]{8}-base-image-minimal$`)
)

// partsOf returns the tags that are only there for another one, which they share layers with.
func partsOf(tags []string) map[string][]string {
	parts := map[string][]string{}
	for _, tag := range tags {
		if found := partForm.FindStringSubmatch(tag); found != nil {
			whole := EvalBaseTag(found[1])
			parts[whole] = append(parts[whole], tag)
		}
		if found := referenceForm.FindStringSubmatch(tag); found != nil && found[3] != "" {
			parts[found[1]] = append(parts[found[1]], tag)
		}
	}
	return parts
}

// stagesOf returns the base stages of commits all of whose references go.
func stagesOf(tags []string, gone []UnusedTag) (stages []string) {
	stays, goes := map[string]bool{}, map[string]bool{}
	for _, tag := range tags {
		if found := referenceForm.FindStringSubmatch(tag); found != nil {
			if slices.ContainsFunc(gone, func(u UnusedTag) bool { return u.Tag == tag }) {
				goes[found[2]] = true
			} else {
				stays[found[2]] = true
			}
		}
	}
	for _, tag := range tags {
		found := stageForm.FindStringSubmatch(tag)
		if found == nil {
			continue
		}
		of := func(commits map[string]bool) bool {
			for commit := range commits {
				if strings.HasPrefix(commit, found[1]) {
					return true
				}
			}
			return false
		}
		if of(goes) && !of(stays) {
			stages = append(stages, tag)
		}
	}
	return stages
}
