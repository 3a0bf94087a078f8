package image

import (
	"context"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/registry"
)

// The first of several shards makes the references of all. Where it leaves none, it says so by a tag, and the others do not wait in
// vain: its images may all be there, or its builds may fail.

// saidWithin is how long the tag counts. After that it is of an earlier run, whose first shard may have been another case. Runs that are
// less than that apart make a few references twice.
const saidWithin = time.Hour

func noReferencesTag(repository, sha string) string {
	return fmt.Sprintf("%s:reference-%s-none", repository, sha)
}

// SayNoReferences tells the other shards of a plan that the first one leaves fewer references than they need for a commit of the SDK.
// If that cannot be written, they wait as long as they would for a first shard that never began. A run that has ended tells nothing.
func SayNoReferences(ctx context.Context, r *registry.Client, repository, sha string, report Informer) {
	if ctx.Err() != nil {
		return
	}
	at := map[string]string{atAnnotation: time.Now().UTC().Format(time.RFC3339)}
	if err := putNote(ctx, r, noReferencesTag(repository, sha), "no-references", emptyNote, at); err != nil {
		report.Info("the other shards are not told that this one leaves no references: " + err.Error())
	}
}

// sayNoReferences tells the other shards, if any wait, that this run leaves fewer references than they need.
func (m *Maker) sayNoReferences(ctx context.Context) {
	if m.OthersWait {
		SayNoReferences(ctx, m.registry, m.Repository, m.SHA, m.report)
	}
}

// firstSaidNone reports whether the first shard has said that it leaves no references. No answer is no word of it.
func (m *Maker) firstSaidNone(ctx context.Context) bool {
	said, _, err := readNote(ctx, m.registry, noReferencesTag(m.Repository, m.SHA))
	if err != nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, said[atAnnotation])
	return err == nil && time.Since(at) < saidWithin
}
