package report

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// Outputs returns names and values of the action's outputs, in the order of action.yml. No value has a line break.
func Outputs(s ledger.Summary) [][2]string {
	run := s.Run
	outputs := [][2]string{
		{"total", strconv.Itoa(s.Total)},
		{"built", strconv.Itoa(s.Built)},
		{"skipped", strconv.Itoa(s.Skipped)},
		// Every image that does not exist now counts as failed: total = built + skipped + failed.
		{"failed", strconv.Itoa(s.Missing())},
		{"retried", strconv.Itoa(s.Retried)},
		{"failed-instances", failedInstances(s.FailedBuilds)},
		{"images-per-hour", decimal(s.ImagesPerHour)},
		{"wall-clock-seconds", decimal(s.WallClockSeconds)},
		{"sdist-seconds", sdistSeconds(run.Sdist)},
		{"sdk-sha", string(run.SDKSHA)},
		{"sdk-version", string(run.SDKVersion)},
		{"seam", string(run.Seam)},
		{"strategy", s.StrategyUsed()},
		{"manifest", string(run.Files.Ledger)},
		{"summary", string(run.Files.Summary)},
		{"lock-file", string(run.Files.LockFile)},
		{"failed-file", string(run.Files.Failed)},
		{"logs", string(run.Files.Logs)},
	}
	outputs = append(outputs, evalEnvOutputs(run.EvalEnv)...)
	for i := range outputs {
		outputs[i][1] = strings.NewReplacer("\r", " ", "\n", " ").Replace(outputs[i][1])
	}
	return outputs
}

// Limits for failed-instances. An output often becomes an environment variable of a later step, and Linux limits one to 128 KiB.
const (
	maxFailedInstances      = 100
	maxFailedInstancesBytes = 32 << 10
)

// failedInstances returns as many ids as the limits allow, as JSON. Failed images come before those that were not tried.
func failedInstances(failed []ledger.FailedBuild) string {
	var ids []string
	for _, wasUntried := range []bool{false, true} {
		for _, f := range failed {
			if f.Class.Untried() == wasUntried {
				ids = append(ids, f.InstanceID)
			}
		}
	}
	size := len("[]")
	for i, id := range ids {
		quoted, _ := json.Marshal(id) // encoding a string never fails
		size += len(quoted) + len(",")
		if i == maxFailedInstances || size > maxFailedInstancesBytes {
			ids = ids[:i]
			break
		}
	}
	list, _ := json.Marshal(append([]string{}, ids...))
	return string(list)
}

// sdistSeconds is empty without an sdist, as action.yml says.
func sdistSeconds(s ledger.Sdist) string {
	if s.SHA256 == "" {
		return ""
	}
	return decimal(s.Seconds)
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// Lock is the content of images.lock.json: the tags and digests of the images that an evaluation of this run pulls.
type Lock struct {
	Schema         int         `json:"schema"`
	SDKRepository  string      `json:"sdk_repository"`
	SDKRef         string      `json:"sdk_ref"`
	SDKSHA         ledger.Text `json:"sdk_sha"`
	Image          string      `json:"image"`
	ImageTagPrefix ledger.Text `json:"image_tag_prefix"`
	// Images maps instance ids to images. It has only images that exist.
	Images map[string]LockedImage `json:"images"`
	// Environments maps keys without tags to the images that SWT-Bench's evaluation runs in. Other runs have none.
	Environments map[string]LockedImage `json:"environments,omitempty"`
}

// LockedImage is the image of one instance.
type LockedImage struct {
	Tags   []string    `json:"tags"` // full references, sorted
	Digest ledger.Text `json:"digest"`
}

// LockFile returns the lock of a run. Tags are sorted, and JSON sorts the keys of maps, so two runs with the same images write
// the same file.
func LockFile(s ledger.Summary, entries []ledger.Entry) Lock {
	run := s.Run
	lock := Lock{
		Schema: ledger.Schema, SDKRepository: run.SDKRepository, SDKRef: run.SDKRef, SDKSHA: run.SDKSHA,
		Image: run.Image, ImageTagPrefix: run.ImageTagPrefix, Images: map[string]LockedImage{},
	}
	for _, e := range entries {
		if e.Status == outcome.Built || e.Status == outcome.Skipped {
			lock.Images[e.InstanceID] = LockedImage{Tags: slices.Sorted(slices.Values(e.Tags)), Digest: e.Digest}
		}
	}
	if run.EvalEnv != nil {
		lock.Environments = map[string]LockedImage{}
		for _, image := range run.EvalEnv.Images {
			if image.Status != outcome.Failed {
				lock.Environments[image.Name] = LockedImage{Tags: image.Tags, Digest: image.Digest}
			}
		}
	}
	return lock
}
