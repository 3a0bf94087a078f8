package report

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// phases lists the durations of the phases, and the sdist.
func phases(s ledger.Summary) string {
	var rows [][]string
	for _, p := range s.Run.Phases {
		rows = append(rows, []string{text(p.Name, shortValue), duration(p.Seconds)})
	}
	return block("Phases", table([]string{"Phase", "Time"}, rows), sdist(s))
}

// sdist says how long the run's source distribution took, and how many were built. It should be one.
func sdist(s ledger.Summary) string {
	note := fmt.Sprintf("Sdist builds in this run: **%d**. The phases sdist and import run concurrently, so the phases do not add up to the total.\n", s.SdistBuilds)
	switch made := s.Run.Sdist; {
	case made.SHA256 != "" && s.Run.MergedFrom > 1:
		return fmt.Sprintf("Sdist: built once by each of %d runs, in at most %s. ", s.Run.MergedFrom, duration(made.Seconds)) + note
	case made.SHA256 != "":
		return fmt.Sprintf("Sdist: built once for all images in %s, sha256 %s. ", duration(made.Seconds), code(string(made.SHA256), shortValue)) + note
	case made.Error != "":
		return "Sdist: not built once for all images: " + text(string(made.Error), shortValue) + ". Each image builds its own. " + note
	default:
		return ""
	}
}

func slowest(s ledger.Summary) string {
	var rows [][]string
	for _, b := range s.SlowestBuilds {
		rows = append(rows, []string{code(b.InstanceID, shortValue), duration(b.DurationSeconds), fmt.Sprint(b.AttemptCount)})
	}
	if len(rows) < 2 {
		return ""
	}
	return block("Slowest built images", table([]string{"Instance", "Time", "Attempts"}, rows))
}

// telemetry shows the SDK's own figures. They are not wall-clock times: the image export may exceed the build that it is part of.
func telemetry(t ledger.Totals) string {
	var rows [][]string
	for _, sum := range []struct {
		what    string
		seconds float64
	}{
		{"Registry checks", t.RemoteCheckSeconds},
		{"Builds", t.BuildSeconds},
		{"SDK: build context", t.SDKBuildContextSeconds},
		{"SDK: buildx", t.SDKBuildxWallClockSeconds},
		{"SDK: cache import", t.SDKCacheImportSeconds},
		{"SDK: cache export", t.SDKCacheExportSeconds},
		{"SDK: image export", t.SDKImageExportSeconds},
		{"SDK: layer push", t.SDKPushLayersSeconds},
		{"SDK: manifest export", t.SDKExportManifestSeconds},
		{"SDK: clean-up", t.SDKCleanupSeconds},
	} {
		if sum.seconds > 0 {
			rows = append(rows, []string{sum.what, duration(sum.seconds)})
		}
	}
	if t.SDKCachedSteps > 0 {
		rows = append(rows, []string{"SDK: cached steps", fmt.Sprint(t.SDKCachedSteps)})
	}
	if t.SDKCacheImportMisses > 0 {
		rows = append(rows, []string{"SDK: cache import misses", fmt.Sprint(t.SDKCacheImportMisses)})
	}
	if len(rows) == 0 {
		return ""
	}
	note := "These are sums over images and steps that ran concurrently. They show where the work went, and may far exceed the wall-clock time.\n\n"
	return block("Where the work went (sums, not wall clock)", note+table([]string{"Work", "Sum"}, rows))
}

// cachePrunes says how much the prunes of the builder's cache freed.
func cachePrunes(run ledger.Run) string {
	if len(run.Pruned) == 0 {
		return ""
	}
	var freed int64
	for _, p := range run.Pruned {
		freed += p.FreedBytes
	}
	return fmt.Sprintf("\nThe builder's cache was pruned %s: %s freed.\n", plural(len(run.Pruned), "time", "times"),
		units.HumanSizeWithPrecision(float64(freed), 3))
}
