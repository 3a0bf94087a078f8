package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// maxMarkdown limits the step summary, in bytes. The runner drops a summary of more than 1 MiB (actions/runner,
// FileCommandManager.cs, AttachmentSizeLimit).
const maxMarkdown = 900_000

// Limits for values from outside the program, in characters.
const (
	shortValue = 200
	longValue  = 500
	longText   = 4000
)

// Markdown returns the step summary of a run: first the verdict, then what needs attention, then the details.
func Markdown(s ledger.Summary) string {
	head := []string{Verdict(s), setupError(s), counts(s), retries(s), verification(s.Run), evalEnvironments(s.Run.EvalEnv)}
	tail := []string{
		warnings(s.Run.Warnings), evaluation(s), rebased(s), phases(s), cachePrunes(s.Run), slowest(s), settings(s), telemetry(s.Totals), files(s),
	}
	left := maxMarkdown - len(joinParts(head)) - len(joinParts(tail))
	return joinParts(slices.Concat(head, []string{failures(s, left)}, tail))
}

// Verdict returns the beginning of the step summary: what came of the run, and what could not be written.
func Verdict(s ledger.Summary) string {
	return joinParts([]string{"## " + text(cmp.Or(s.Run.Title, "Image build"), shortValue) + "\n", verdict(s) + "\n", recordErrors(s.Run)})
}

// verdict returns the result of the run in one line.
func verdict(s ledger.Summary) string {
	line := imagesVerdict(s)
	if rest, good := strings.CutPrefix(line, "✅ "); good && s.Run.TooManyEnvironmentsMissing() {
		e := s.Run.EvalEnv
		line = fmt.Sprintf("❌ **%d of %s missing**. ", e.Missing(), plural(e.Planned, "environment image is", "environment images are")) + rest
	}
	// A wrong image is worse than a missing one.
	if s.Run.VerifyFailed() {
		line = "❌ **Verification failed**: " + verifyFailures(s.Run.Rebase.Verified) + ". " + strings.TrimPrefix(line, "✅ ")
	}
	// Without a complete record, nobody can rely on the rest.
	if len(s.Run.RecordErrors) > 0 {
		line = "❌ **The record of this run is incomplete.** " + strings.TrimPrefix(line, "✅ ")
	}
	return line
}

func recordErrors(run ledger.Run) string {
	if len(run.RecordErrors) == 0 {
		return ""
	}
	return preformatted(strings.Join(run.RecordErrors, "\n"), longText) + "\n"
}

func imagesVerdict(s ledger.Summary) string {
	exist := fmt.Sprintf("%d built%s, %d already existed", s.Built, rebasedSuffix(s.Strategies[outcome.Rebase]), s.Skipped)
	took := "in " + duration(s.WallClockSeconds)
	run := s.Run
	switch {
	case run.Cancelled:
		return fmt.Sprintf("⚠️ **Cancelled after %s**: %d of %s (%s).", duration(s.WallClockSeconds), s.Successful, plural(s.Total, "image exists", "images exist"), exist)
	case run.StoppedForDeadline:
		return deadlineVerdict(s, exist)
	case run.SetupError != "" && s.Built == 0:
		return fmt.Sprintf("❌ **Nothing was built**: the run ended before its first build (%d of %s known to exist, %s).", s.Skipped, plural(s.Total, "image is", "images are"), took)
	case s.NotStarted > 0:
		return fmt.Sprintf("%s **%d of %s missing**; %s, %s.%s", mark(s), s.Missing(), plural(s.Total, "image is", "images are"), exist, took, allowed(s))
	case s.Failed > 0:
		return fmt.Sprintf("%s **%d of %s failed**; %s, %s.%s", mark(s), s.Failed, plural(s.Total, "image", "images"), exist, took, allowed(s))
	case s.Total == 0:
		return "⚠️ **No image was requested.**"
	case s.Built == 0:
		return fmt.Sprintf("✅ **Nothing to do**: %s, checked %s.", plural(s.Total, "image already exists", "images already exist"), took)
	case s.Total == 1:
		return fmt.Sprintf("✅ **The image exists**: %s, %s.", exist, took)
	default:
		return fmt.Sprintf("✅ **All %d images exist**: %s, %s.", s.Total, exist, took)
	}
}

// deadlineVerdict returns the result of a run that stopped for its deadline.
func deadlineVerdict(s ledger.Summary, exist string) string {
	line := fmt.Sprintf("%s **Stopped for the deadline of %s**", mark(s), deadline(s.Run.DeadlineSeconds))
	if s.Total > 0 {
		line += fmt.Sprintf(": %d of %s (%s)", s.Successful, plural(s.Total, "image exists", "images exist"), exist)
	}
	stopped := s.FailuresByClass[failure.ClassDeadline]
	for _, missing := range []struct {
		n    int
		what string
	}{{s.NotStarted, "not started"}, {stopped, "stopped"}, {s.Failed - stopped, "failed"}} {
		if missing.n > 0 {
			line += fmt.Sprintf("; %d %s", missing.n, missing.what)
		}
	}
	return line + ". Run it again: it makes only what is missing." + allowed(s)
}

// mark returns the sign of a run that lacks images: whether it fails for that.
func mark(s ledger.Summary) string {
	if s.Missing() > 0 && !s.TooManyMissing() && s.Run.SetupError == "" {
		return "⚠️"
	}
	return "❌"
}

// allowed says why missing images do not fail the run, where they do not.
func allowed(s ledger.Summary) string {
	if s.Missing() == 0 || s.TooManyMissing() {
		return ""
	}
	return " That does not fail the run: fail-on is " + failOn(s.Run.MissingAllowedPercent) + "."
}

// failOn returns the value of the input fail-on that allows a percentage of missing images.
func failOn(allowed int) string {
	switch allowed {
	case 0:
		return "any"
	case 100:
		return "never"
	default:
		return strconv.Itoa(allowed) + "%"
	}
}

// deadline returns the value of the input deadline.
func deadline(seconds float64) string {
	if seconds == 0 {
		return "none"
	}
	return strings.TrimSuffix(duration(seconds), " 00s")
}

func setupError(s ledger.Summary) string {
	if s.Run.SetupError == "" {
		return ""
	}
	return preformatted(string(s.Run.SetupError), longText) + "\n"
}

func counts(s ledger.Summary) string {
	header := []string{"Requested", "Built", "Already existed", "Failed", "Retried"}
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
	return table(header, [][]string{cells}) + askedAgain(s.Run)
}

// askedAgain counts the requests that were sent again, the most common class first. They are no retries of images.
func askedAgain(run ledger.Run) string {
	classes := slices.SortedFunc(maps.Keys(run.AskedAgain), func(a, b string) int {
		return cmp.Or(cmp.Compare(run.AskedAgain[b], run.AskedAgain[a]), cmp.Compare(a, b))
	})
	if len(classes) == 0 {
		return ""
	}
	var all []string
	for _, class := range classes {
		all = append(all, fmt.Sprintf("%d %s", run.AskedAgain[class], text(class, shortValue)))
	}
	return "\nRegistry requests asked again: " + strings.Join(all, ", ") + ".\n"
}

// retries counts the attempts at images that failed and were followed by another one, by class of failure.
func retries(s ledger.Summary) string {
	var all []string
	for _, class := range slices.Sorted(maps.Keys(s.RetriesByClass)) {
		all = append(all, fmt.Sprintf("%d %s", s.RetriesByClass[class], text(string(class), shortValue)))
	}
	if len(all) == 0 {
		return ""
	}
	return "Attempts at images that were repeated: " + strings.Join(all, ", ") + ".\n"
}

// maxWarnings limits the warnings shown. A run usually has only a few.
const maxWarnings = 50

func warnings(all []string) string {
	var list []string
	for i, w := range all {
		if i == maxWarnings {
			list = append(list, fmt.Sprintf("- … and %d more, see the log\n", len(all)-i))
			break
		}
		list = append(list, "- ⚠️ "+text(w, longValue)+"\n")
	}
	return section("Warnings", strings.Join(list, ""))
}

// evaluation lists the values that an evaluation of these images needs.
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

// tagPrefix returns the row of the tag prefix, named after the environment variable of the benchmark's evaluation.
func tagPrefix(benchmark string, prefix ledger.Text) []string {
	name, value := config.PrefixVariable(benchmark), code(string(prefix), shortValue)
	if name != "" || value == "" {
		return []string{code(name, shortValue), value}
	}
	return []string{"Tag prefix", value + " (OpenHands/benchmarks has no evaluation of this benchmark)"}
}

// settings lists how the run was configured.
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
		{"Packages added to base images", addedPackages(s.Wrapped)},
		{"How the sdist reaches the SDK", text(string(run.Seam), shortValue)},
		{"Builder", code(run.Builder, shortValue)},
		{"Cache mode", text(run.CacheMode, shortValue)},
		{"Workers", strings.TrimPrefix(strconv.Itoa(run.Workers), "0")},
	}
	if run.Workers > 0 { // the inputs are known
		rows = append(rows, []string{"Deadline", deadline(run.DeadlineSeconds)}, []string{"Fail on", failOn(run.MissingAllowedPercent)})
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	return details("Settings of this run", table([]string{"What", "Value"}, rows))
}

// addedPackages lists the packages that were added to base images before the build, by pip requirements.
func addedPackages(counts map[ledger.Text]int) string {
	var list []string
	for _, requirements := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s (%s)", code(string(requirements), shortValue), plural(counts[requirements], "image", "images")))
	}
	return strings.Join(list, ", ")
}

// shard returns the shard of the run, and the number of images in all shards.
func shard(run ledger.Run) string {
	if run.Shard == "" {
		return ""
	}
	return fmt.Sprintf("%s of %s", text(string(run.Shard), shortValue), plural(run.PlannedTotal, "image", "images"))
}

func files(s ledger.Summary) string {
	f, list := s.Run.Files, []string(nil)
	if s.Missing() == 0 { // it is empty
		f.Failed = ""
	}
	for _, file := range []struct{ what, path string }{
		{"one line per image", string(f.Ledger)},
		{"this summary as JSON", string(f.Summary)},
		{"missing images", string(f.Failed)},
		{"logs", string(f.Logs)},
	} {
		if file.path != "" {
			list = append(list, file.what+" "+code(file.path, shortValue))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "\nIn the workspace: " + strings.Join(list, ", ") + ".\n"
}
