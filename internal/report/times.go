package report

import (
	"fmt"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// setup is what came before and around the builds, with the one sdist.
func setup(s ledger.Summary) string {
	var names, took []string
	for _, p := range s.Run.Phases {
		names, took = append(names, text(p.Name, shortValue)), append(took, duration(p.Seconds))
	}
	if len(names) == 0 {
		return ""
	}
	return section("Phases", table(names, [][]string{took}), sdist(s))
}

// sdist tells of the run's source distribution, and how many there really were: one is the whole point.
func sdist(s ledger.Summary) string {
	note := fmt.Sprintf("Sdist builds in this run: **%d**. Sdist and import run at once, so the phases do not add up.\n", s.SdistBuilds)
	switch made := s.Run.Sdist; {
	case made.SHA256 != "":
		return fmt.Sprintf("Sdist: made once for all images in %s, sha256 %s. ", duration(made.Seconds), code(string(made.SHA256), shortValue)) + note
	case made.Error != "":
		return "Sdist: not made for all images, because " + text(string(made.Error), shortValue) + ". Each image makes its own. " + note
	default:
		return ""
	}
}

// timing is how long built and skipped images took.
func timing(s ledger.Summary) string {
	var rows [][]string
	if s.MedianBuildSeconds != nil {
		p := s.BuildPercentiles
		rows = append(rows, []string{
			duration(*s.AverageBuildSeconds), duration(*s.MedianBuildSeconds), duration(p["p90"]), duration(p["p99"]), duration(*s.MaxBuildSeconds),
		})
	}
	built := table([]string{"Average", "Median", "90 % within", "99 % within", "Longest"}, rows)
	note := ""
	if s.Skipped > 0 {
		note = fmt.Sprintf("%s there already; that counts in no figure of throughput or build time.\n", plural(s.Skipped, "image was", "images were"))
	}
	return section("Time of a built image", built, note)
}

func slowest(s ledger.Summary) string {
	var rows [][]string
	for _, b := range s.SlowestBuilds {
		rows = append(rows, []string{code(b.InstanceID, shortValue), duration(b.DurationSeconds), fmt.Sprint(b.AttemptCount)})
	}
	if len(rows) < 2 {
		return ""
	}
	return folded("Slowest built images", table([]string{"Instance", "Time", "Attempts"}, rows))
}

// telemetry shows the SDK's own figures, never as wall time: image export alone was seen to exceed the build it is a
// part of.
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
	note := "Added up over images and steps that ran at once: they say where work went, and may exceed the wall clock by far.\n\n"
	return folded("Where the work went (sums, not wall clock)", note+table([]string{"Work", "Sum"}, rows))
}
