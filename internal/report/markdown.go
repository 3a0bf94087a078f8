package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// maxMarkdown is how long a step summary gets, in bytes. A runner drops a summary of more than 1 MiB as a whole
// (actions/runner, FileCommandManager.cs, AttachmentSizeLimit).
const maxMarkdown = 900_000

// How many characters of values that come from outside are shown.
const (
	shortValue = 200
	longValue  = 500
	manyLines  = 4000
)

// Markdown is a run's step summary: a verdict first, then what needs doing, then what helps to understand the rest.
func Markdown(s ledger.Summary) string {
	head := []string{"## " + text(cmp.Or(s.Run.Title, "Image build"), shortValue) + "\n", verdict(s) + "\n", recordErrors(s.Run), setupError(s), counts(s), verification(s.Run)}
	tail := []string{
		warnings(s.Run.Warnings), evaluation(s), rebased(s), setup(s), timing(s), pruned(s.Run), slowest(s), settings(s), telemetry(s.Totals), files(s.Run.Files),
	}
	left := maxMarkdown - len(join(head)) - len(join(tail))
	return join(slices.Concat(head, []string{failures(s, left)}, tail))
}

func join(parts []string) string { return strings.Join(nonEmpty(parts), "\n") }

// verdict is the run in one line.
func verdict(s ledger.Summary) string {
	said := imagesVerdict(s)
	// Images that are there, but wrong, are worse than those that are not.
	if s.Run.VerifyFailed() {
		said = "❌ **Verification failed**: " + verifyFailures(s.Run.Rebase.Verified) + ". " + strings.TrimPrefix(said, "✅ ")
	}
	// Nothing that is said of the images can be relied on by who reads the record.
	if len(s.Run.RecordErrors) > 0 {
		said = "❌ **The record of this run is incomplete.** " + strings.TrimPrefix(said, "✅ ")
	}
	return said
}

func recordErrors(run ledger.Run) string {
	if len(run.RecordErrors) == 0 {
		return ""
	}
	return lines(strings.Join(run.RecordErrors, "\n"), manyLines) + "\n"
}

func imagesVerdict(s ledger.Summary) string {
	there := fmt.Sprintf("%d built%s, %d there already", s.Built, ofThemRebased(s.Strategies[outcome.Rebase]), s.Skipped)
	took := "in " + duration(s.WallClockSeconds)
	run := s.Run
	switch {
	case run.Cancelled:
		return fmt.Sprintf("⚠️ **Cancelled after %s**: %d of %s there (%s).", duration(s.WallClockSeconds), s.Successful, plural(s.Total, "image is", "images are"), there)
	case run.SetupError != "" && s.Built == 0:
		return fmt.Sprintf("❌ **Nothing was built**: the run ended before its first build (%d of %s known to be there, %s).", s.Skipped, plural(s.Total, "image is", "images are"), took)
	case s.NotStarted > 0:
		return fmt.Sprintf("❌ **%d of %s not there**; %s, %s.", s.Failed+s.NotStarted, plural(s.Total, "image is", "images are"), there, took)
	case s.Failed > 0:
		return fmt.Sprintf("❌ **%d of %s failed**; %s, %s.", s.Failed, plural(s.Total, "image", "images"), there, took)
	case s.Total == 0:
		return "⚠️ **No image was asked for.**"
	case s.Built == 0:
		return fmt.Sprintf("✅ **Nothing to do**: %s there already, found %s.", plural(s.Total, "image is", "images are"), took)
	case s.Total == 1:
		return fmt.Sprintf("✅ **The image is there**: %s, %s.", there, took)
	default:
		return fmt.Sprintf("✅ **All %d images are there**: %s, %s.", s.Total, there, took)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func setupError(s ledger.Summary) string {
	if s.Run.SetupError == "" {
		return ""
	}
	return lines(string(s.Run.SetupError), manyLines) + "\n"
}

func counts(s ledger.Summary) string {
	header := []string{"Asked for", "Built", "Already there", "Failed", "Retried"}
	row := []int{s.Total, s.Built, s.Skipped, s.Failed - s.Cancelled, s.Retried}
	if s.Cancelled > 0 {
		header, row = append(header, "Cancelled"), append(row, s.Cancelled)
	}
	if s.NotStarted > 0 {
		header, row = append(header, "Not started"), append(row, s.NotStarted)
	}
	cells := make([]string, len(row))
	for i, n := range row {
		cells[i] = strconv.Itoa(n)
	}
	if s.Built > 0 {
		header, cells = append(header, "Built per hour"), append(cells, fmt.Sprintf("%.0f", s.ImagesPerHour))
	}
	header, cells = append(header, "Wall clock"), append(cells, duration(s.WallClockSeconds))
	return table(header, [][]string{cells})
}

// maxWarnings bounds the warnings shown; a run gives a few, not one for each image.
const maxWarnings = 50

func warnings(all []string) string {
	var shown []string
	for i, w := range all {
		if i == maxWarnings {
			shown = append(shown, fmt.Sprintf("- … and %d more, see the log\n", len(all)-i))
			break
		}
		shown = append(shown, "- ⚠️ "+text(w, longValue)+"\n")
	}
	return section("Warnings", strings.Join(shown, ""))
}

// evaluation is what the consumer of the images has to set.
func evaluation(s ledger.Summary) string {
	run := s.Run
	if run.SDKSHA == "" {
		return ""
	}
	rows := [][]string{
		{"SDK commit", code(string(run.SDKSHA), shortValue)},
		{"Image", code(run.Image, shortValue)},
		tagPrefix(run.Benchmark, run.ImageTagPrefix),
		{"Tags and digests", code(string(run.Files.LockFile), shortValue)},
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	return section("What the evaluation uses", table([]string{"What", "Value"}, rows))
}

// tagPrefix is the row with the beginning of all tags, under the name by which the benchmark's evaluation reads it.
func tagPrefix(benchmark string, prefix ledger.Text) []string {
	name, value := config.PrefixVariable(benchmark), code(string(prefix), shortValue)
	if name != "" || value == "" {
		return []string{code(name, shortValue), value}
	}
	return []string{"Tag prefix", value + " (OpenHands/benchmarks has no evaluation of this benchmark)"}
}

// settings is how the images were made.
func settings(s ledger.Summary) string {
	run := s.Run
	options := make([]string, 0, len(run.Options))
	for _, name := range slices.Sorted(maps.Keys(run.Options)) {
		options = append(options, code(name+"="+run.Options[name], shortValue))
	}
	if len(options) > 20 {
		options = append(options[:20], "…")
	}
	ref := code(run.SDKRef, shortValue)
	if run.SDKVersion != "" {
		ref += ", version " + text(string(run.SDKVersion), shortValue)
	}
	rows := [][]string{
		{"Dataset", text(run.Dataset, shortValue)},
		{"Split", text(run.Split, shortValue)},
		{"Instances read from", text(string(run.InstancesFrom), shortValue)},
		{"Shard", shard(run)},
		{"SDK", code(run.SDKRepository, shortValue)},
		{"SDK ref", ref},
		{"SDK options", strings.Join(options, " ")},
		{"Strategy", text(run.Strategy, shortValue)},
		{"Base images wrapped first", wrapped(s.Wrapped)},
		{"How the sdist reaches the SDK", text(string(run.Seam), shortValue)},
		{"Builder", code(run.Builder, shortValue)},
		{"Cache mode", text(run.CacheMode, shortValue)},
		{"Workers", strings.TrimPrefix(strconv.Itoa(run.Workers), "0")},
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	return folded("Settings of this run", table([]string{"What", "Value"}, rows))
}

// shard is the part of a plan that a run had.
func shard(run ledger.Run) string {
	if run.Shard == "" {
		return ""
	}
	return fmt.Sprintf("%s of %s", text(string(run.Shard), shortValue), plural(run.PlannedTotal, "image", "images"))
}

func files(f ledger.Files) string {
	var named []string
	for _, file := range []struct{ what, path string }{
		{"one line per image", string(f.Ledger)}, {"this summary as JSON", string(f.Summary)}, {"logs", string(f.Logs)},
	} {
		if file.path != "" {
			named = append(named, file.what+" "+code(file.path, shortValue))
		}
	}
	if len(named) == 0 {
		return ""
	}
	return "\nIn the workspace: " + strings.Join(named, ", ") + ".\n"
}
