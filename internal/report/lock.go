package report

import (
	"slices"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Lock pins what an evaluation of this run has to pull: images.lock.json.
type Lock struct {
	SDKRepository  string      `json:"sdk_repository"`
	SDKRef         string      `json:"sdk_ref"`
	SDKSHA         ledger.Text `json:"sdk_sha"`
	Image          string      `json:"image"`
	ImageTagPrefix ledger.Text `json:"image_tag_prefix"`
	// Images are by instance id. Only images that are there are in it.
	Images map[string]LockedImage `json:"images"`
}

// LockedImage is where an instance's image is.
type LockedImage struct {
	Tags   []string    `json:"tags"` // full references, sorted
	Digest ledger.Text `json:"digest"`
}

// LockFile is the lock of a run; encoded as JSON it is sorted throughout, so that two runs over the same images write
// the same text.
func LockFile(s ledger.Summary, entries []ledger.Entry) Lock {
	run := s.Run
	lock := Lock{
		SDKRepository: run.SDKRepository, SDKRef: run.SDKRef, SDKSHA: run.SDKSHA,
		Image: run.Image, ImageTagPrefix: run.ImageTagPrefix, Images: map[string]LockedImage{},
	}
	for _, e := range entries {
		if e.Status == outcome.Built || e.Status == outcome.Skipped {
			lock.Images[e.InstanceID] = LockedImage{Tags: slices.Sorted(slices.Values(e.Tags)), Digest: e.Digest}
		}
	}
	return lock
}
