package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// Rebase is what a run needed, beside the images themselves, to rebase some of them, and how it checked the result.
type Rebase struct {
	// EvalBasesMade and EvalBasesReused count eval-base images; OldestEvalBase is when the oldest one used was made, null
	// where none was used.
	EvalBasesMade   int        `json:"eval_bases_made"`
	EvalBasesReused int        `json:"eval_bases_reused"`
	OldestEvalBase  *time.Time `json:"oldest_eval_base"`
	// References are the images that layers and configuration were learned from.
	References []Reference `json:"references"`
	// TreesCompared says that the references' layers have other digests but equal trees: their builder's layers are not
	// reproducible.
	TreesCompared bool `json:"trees_compared"`
	// Verified are the rebased images that were compared with native builds of them.
	Verified []Verified `json:"verified"`
	// Requests counts the run's own requests to registries by method; BuildKit's are not among them.
	Requests map[string]int `json:"requests"`
	// Copied is what was streamed from one repository to another, in bytes.
	Copied int64 `json:"copied_bytes"`
}

// Reference is one image that was learned from.
type Reference struct {
	// Instance is what it was made for; empty where an earlier run has made it and its name is not known.
	Instance Text `json:"instance_id"`
	// Tag is the full reference under which it stays.
	Tag    string `json:"tag"`
	Digest Text   `json:"digest"`
	// Reused says that it was there before this run.
	Reused bool `json:"reused"`
}

// Verdict is what came of a comparison.
type Verdict string

// A comparison ends in one of these.
const (
	VerifiedOK        Verdict = "ok"
	VerifiedDifferent Verdict = "different"
	// VerifiedFailed is a comparison that could not be made: nothing is known of the image.
	VerifiedFailed Verdict = "failed"
)

// Verified is one rebased image that was compared with a native build.
type Verified struct {
	Instance string  `json:"instance_id"` // an image's reference where the user named images
	Result   Verdict `json:"result"`
	// Differences say in a line each what is different, or why there was nothing to compare.
	Differences []string `json:"differences"`
	// Tags are those of the native build; TagsLeft are the ones of them that the registry did not delete.
	Tags     []string `json:"tags"`
	TagsLeft []string `json:"tags_left"`
}

// VerifyFailed tells whether an image was found different, or could not be compared: the run has failed then, whatever
// became of its images.
func (r Run) VerifyFailed() bool {
	return slices.ContainsFunc(r.Rebase.Verified, func(v Verified) bool { return v.Result != VerifiedOK })
}

func (r Rebase) normal() Rebase {
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

// plus adds what a later run of the same plan has done.
func (r Rebase) plus(later Rebase) Rebase {
	sum := r.normal()
	sum.EvalBasesMade += later.EvalBasesMade
	sum.EvalBasesReused += later.EvalBasesReused
	if oldest := later.OldestEvalBase; sum.OldestEvalBase == nil || oldest != nil && oldest.Before(*sum.OldestEvalBase) {
		sum.OldestEvalBase = oldest
	}
	for _, reference := range later.References {
		sum.References = with(sum.References, reference)
	}
	sum.TreesCompared = sum.TreesCompared || later.TreesCompared
	for _, v := range later.Verified { // an image that was compared again is what the last comparison says
		sum.Verified = slices.DeleteFunc(sum.Verified, func(old Verified) bool { return old.Instance == v.Instance })
		sum.Verified = append(sum.Verified, v)
	}
	for method, n := range later.Requests {
		sum.Requests[method] += n
	}
	sum.Copied += later.Copied
	return sum
}

// with adds a reference once: one that the plan's runs have made themselves counts as made, however many reused it.
func with(references []Reference, reference Reference) []Reference {
	i := slices.IndexFunc(references, func(r Reference) bool { return r.Tag == reference.Tag && r.Digest == reference.Digest })
	if i < 0 {
		return append(references, reference)
	}
	references[i].Reused = references[i].Reused && reference.Reused
	references[i].Instance = cmp.Or(references[i].Instance, reference.Instance)
	return references
}

// namedRefused is how many of the images with one reason a summary names.
const namedRefused = 5

// name finds out which images could not be rebased.
func (s *Summary) name(entries []Entry) {
	for _, e := range slices.SortedFunc(slices.Values(entries), compareIDs) {
		if named := s.RefusedInstances[e.StrategyReason]; e.StrategyReason != "" && len(named) < namedRefused {
			s.RefusedInstances[e.StrategyReason] = append(named, e.InstanceID)
		}
	}
}

// Made says in a word how the built images were made: native, rebase, or mixed where some of them could not be rebased.
// The references, which are always native, do not count as such. It is empty where none was built.
func (s Summary) Made() string {
	switch {
	case s.Built == 0:
		return ""
	case s.Strategies[outcome.Rebase] == 0:
		return outcome.Native
	case len(s.Refusals) > 0:
		return "mixed"
	default:
		return outcome.Rebase
	}
}
