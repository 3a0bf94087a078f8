package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Rebase records what a run used to rebase images, and how it verified them.
type Rebase struct {
	// EvalBasesMade and EvalBasesReused count eval-bases. OldestEvalBase is the creation time of the oldest one used, or null.
	EvalBasesMade   int        `json:"eval_bases_made"`
	EvalBasesReused int        `json:"eval_bases_reused"`
	OldestEvalBase  *time.Time `json:"oldest_eval_base"`
	// References are the images whose layers and configuration the rebased images got.
	References []Reference `json:"references"`
	// TreesCompared says that the references' layers differ in digest but have equal files: the builder's layers are not
	// reproducible.
	TreesCompared bool `json:"trees_compared"`
	// Verified are the rebased images that were compared with native builds.
	Verified []Verified `json:"verified"`
	// Requests counts the run's requests to registries by method, without those of BuildKit.
	Requests map[string]int `json:"requests"`
	// Copied is the number of bytes that were copied between repositories because the registry did not mount them.
	Copied int64 `json:"copied_bytes"`
}

// Reference is one image whose layers and configuration rebased images got.
type Reference struct {
	// Instance is the instance it was built for. It is empty for a reference of an earlier run whose instance is not known.
	Instance Text `json:"instance_id"`
	// Tag is its full reference in the registry.
	Tag    string `json:"tag"`
	Digest Text   `json:"digest"`
	// Reused says that an earlier run built it.
	Reused bool `json:"reused"`
}

// Verdict is the result of a comparison.
type Verdict string

// The results of a comparison.
const (
	VerifiedOK        Verdict = "ok"
	VerifiedDifferent Verdict = "different"
	// VerifiedFailed says that the images could not be compared, so nothing is known about the rebased one.
	VerifiedFailed Verdict = "failed"
)

// Verified is one rebased image that was compared with a native build.
type Verified struct {
	Instance string  `json:"instance_id"` // the image reference when the user gave images to verify
	Result   Verdict `json:"result"`
	// Differences are one line each. When the comparison failed, they give the reason.
	Differences []string `json:"differences"`
	// Tags are the tags of the native build. TagsLeft are those that the registry did not delete.
	Tags     []string `json:"tags"`
	TagsLeft []string `json:"tags_left"`
}

// VerifyFailed reports whether an image differs or could not be compared. Such a run fails even when all images exist.
func (r Run) VerifyFailed() bool {
	return slices.ContainsFunc(r.Rebase.Verified, func(v Verified) bool { return v.Result != VerifiedOK })
}

func (r Rebase) normalized() Rebase {
	if r.OldestEvalBase != nil {
		oldest := moment(*r.OldestEvalBase)
		r.OldestEvalBase = &oldest
	}
	r.References = append([]Reference{}, r.References...)
	verified := make([]Verified, len(r.Verified))
	for i, v := range r.Verified {
		v.Differences, v.Tags, v.TagsLeft = append([]string{}, v.Differences...), append([]string{}, v.Tags...), append([]string{}, v.TagsLeft...)
		verified[i] = v
	}
	r.Verified = verified
	requests := map[string]int{}
	maps.Copy(requests, r.Requests)
	r.Requests = requests
	return r
}

// plus returns the sum of r and the Rebase of a later run of the same plan.
func (r Rebase) plus(later Rebase) Rebase {
	sum := r.normalized()
	sum.EvalBasesMade += later.EvalBasesMade
	sum.EvalBasesReused += later.EvalBasesReused
	if oldest := later.OldestEvalBase; sum.OldestEvalBase == nil || oldest != nil && oldest.Before(*sum.OldestEvalBase) {
		sum.OldestEvalBase = oldest
	}
	for _, reference := range later.References {
		sum.References = addReference(sum.References, reference)
	}
	sum.TreesCompared = sum.TreesCompared || later.TreesCompared
	for _, v := range later.Verified { // the last comparison of an image counts
		sum.Verified = slices.DeleteFunc(sum.Verified, func(old Verified) bool { return old.Instance == v.Instance })
		sum.Verified = append(sum.Verified, v)
	}
	for method, n := range later.Requests {
		sum.Requests[method] += n
	}
	sum.Copied += later.Copied
	return sum
}

// addReference adds a reference if the list does not have it. A reference that one of the merged runs built counts as built, even
// when others reused it.
func addReference(references []Reference, reference Reference) []Reference {
	i := slices.IndexFunc(references, func(r Reference) bool { return r.Tag == reference.Tag && r.Digest == reference.Digest })
	if i < 0 {
		return append(references, reference)
	}
	references[i].Reused = references[i].Reused && reference.Reused
	references[i].Instance = cmp.Or(references[i].Instance, reference.Instance)
	return references
}
