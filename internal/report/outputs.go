package report

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

// Outputs are the action's outputs by name, in action.yml's order; no value has a line break.
func Outputs(s ledger.Summary) [][2]string {
	run := s.Run
	outputs := [][2]string{
		{"total", strconv.Itoa(s.Total)},
		{"built", strconv.Itoa(s.Built)},
		{"skipped", strconv.Itoa(s.Skipped)},
		// Whatever is not there now, for whatever reason: total is built + skipped + failed.
		{"failed", strconv.Itoa(s.Failed + s.NotStarted)},
		{"retried", strconv.Itoa(s.Retried)},
		{"failed-instances", failedInstances(s.FailedBuilds)},
		{"images-per-hour", decimal(s.ImagesPerHour)},
		{"wall-clock-seconds", decimal(s.WallClockSeconds)},
		{"sdist-seconds", sdistSeconds(run.Sdist)},
		{"sdk-sha", string(run.SDKSHA)},
		{"sdk-version", string(run.SDKVersion)},
		{"seam", string(run.Seam)},
		{"strategy", s.Made()},
		{"manifest", string(run.Files.Ledger)},
		{"summary", string(run.Files.Summary)},
		{"lock-file", string(run.Files.LockFile)},
	}
	for i := range outputs {
		outputs[i][1] = strings.NewReplacer("\r", " ", "\n", " ").Replace(outputs[i][1])
	}
	return outputs
}

// The bounds of failed-instances. An output often becomes an environment variable of a later step, and Linux allows no
// more than 128 KiB in one.
const (
	maxFailedInstances      = 100
	maxFailedInstancesBytes = 32 << 10
)

// failedInstances are as many ids as the bounds allow. Images that really failed come before those that a cancel
// stopped.
func failedInstances(failed []ledger.FailedBuild) string {
	var ids []string
	for _, cancelled := range []bool{false, true} {
		for _, f := range failed {
			if (f.Class == failure.ClassCancelled) == cancelled {
				ids = append(ids, f.InstanceID)
			}
		}
	}
	size := len("[]")
	for i, id := range ids {
		quoted, _ := json.Marshal(id) // a string always has a JSON form
		size += len(quoted) + len(",")
		if i == maxFailedInstances || size > maxFailedInstancesBytes {
			ids = ids[:i]
			break
		}
	}
	list, _ := json.Marshal(append([]string{}, ids...))
	return string(list)
}

// sdistSeconds is empty where there is no sdist, as action.yml says.
func sdistSeconds(s ledger.Sdist) string {
	if s.SHA256 == "" {
		return ""
	}
	return decimal(s.Seconds)
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
