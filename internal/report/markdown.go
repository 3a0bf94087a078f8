package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
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

// Markdown returns the step summary of a run and its entries: first the verdict and what to do next, then what needs attention, what has
// changed since an earlier run, what the evaluation uses, a picture of the run, and the details collapsed. c may be nil.
func Markdown(s ledger.Summary, entries []ledger.Entry, c *ledger.Comparison) string {
	head := []string{Verdict(s), overview(s), preformatted(string(s.Run.SetupError)), next(s), verification(s.Run), evalEnvironments(s.Run)}
	tail := []string{compared(s, c), evaluation(s), shards(s), timeline(s, entries), made(s), warnings(s.Run.Warnings), more(s), files(s)}
	left := maxMarkdown - len(joinParts(head)) - len(joinParts(tail))
	return joinParts(slices.Concat(head, []string{failures(s, left)}, tail))
}

// Verdict returns the beginning of the step summary: what came of the run and why, and what could not be written.
func Verdict(s ledger.Summary) string {
	return joinParts([]string{"## " + text(Headline(s), longValue) + "\n", preformatted(strings.Join(s.Run.RecordErrors, "\n"))})
}

// Headline returns the result of the run and its causes in one line of plain text.
func Headline(s ledger.Summary) string {
	line := imagesHeadline(s)
	switch e := s.Run.EvalEnv; {
	case strings.HasPrefix(line, "❌"):
	case s.Run.SetupError != "": // that of environments, or in a merge that of one shard
		line = before("❌ The set-up failed: "+setupProblem(s.Run), line)
	case s.Run.TooManyEnvironmentsMissing() && !s.Run.Cancelled:
		line = before("❌ "+missingOf(e.Missing(), plural(e.Planned, "environment image", "environment images")), line)
	}
	// A wrong image is worse than a missing one.
	if s.Run.VerifyFailed() {
		line = before("❌ Verification failed: "+verifyFailures(s.Run.Rebase.Verified), line)
	}
	// Without a complete record, nobody can rely on the rest.
	if len(s.Run.RecordErrors) > 0 {
		line = before("❌ The record of this run is incomplete", line)
	}
	return line
}

// setupProblem is why the set-up failed, without the hint.
func setupProblem(run ledger.Run) string {
	first, _, _ := strings.Cut(string(run.SetupError), "\n")
	return oneLine(first, shortValue)
}

// before puts a sentence before a verdict. The mark of the verdict, its first word, is left out.
func before(sentence, verdict string) string {
	_, rest, found := strings.Cut(verdict, " ")
	if !found {
		return sentence
	}
	return sentence + ". " + rest
}

func imagesHeadline(s ledger.Summary) string {
	run := s.Run
	missing := missingOf(s.Missing(), plural(s.Total, "image", "images"))
	if causes := causes(s); causes != "" {
		missing += ": " + causes
	}
	images := ": all images exist" // where the run was ended
	switch {
	case s.Total == 0: // no plan is known yet, or it is the command verify
		images = ""
	case s.Missing() > 0:
		images = ": " + missing
	}
	switch {
	case run.Cancelled:
		return fmt.Sprintf("⚠️ Cancelled after %s%s", duration(s.WallClockSeconds), images)
	case run.Killed:
		return fmt.Sprintf("❌ Killed after at least %s%s", duration(s.WallClockSeconds), images)
	case run.StoppedForDeadline && run.SetupError != "": // it came in the set-up
		return fmt.Sprintf("❌ Stopped for the deadline of %s%s", deadline(run.DeadlineSeconds), images)
	case run.StoppedForDeadline:
		return fmt.Sprintf("%s Stopped for the deadline of %s%s", mark(s), deadline(run.DeadlineSeconds), images)
	case run.SetupError != "" && s.Built == 0 && s.Failed == 0:
		return "❌ Nothing was built: " + setupProblem(run)
	case s.Missing() > 0:
		return mark(s) + " " + missing
	case s.Total == 0 && run.VerifyFailed(): // the command verify, of which Headline says what failed
		return "❌"
	case s.Total == 0 && len(run.Rebase.Verified) > 0:
		return "✅ " + plural(len(run.Rebase.Verified), "image equals its native build", "images equal their native builds")
	case s.Total == 0:
		return "⚠️ No image was requested"
	case s.Built == 0:
		return "✅ Nothing to do: " + plural(s.Total, "image already exists", "images already exist")
	case s.Total == 1:
		return "✅ The image exists"
	default:
		return fmt.Sprintf("✅ All %d images exist", s.Total)
	}
}

// causes counts the missing images by what happened to them, the most common first; those that were not begun come last.
func causes(s ledger.Summary) string {
	counts := map[string]int{}
	for _, f := range s.FailedBuilds {
		if !f.Class.NotStarted(f.AttemptCount) {
			counts[f.Class.Words()]++
		}
	}
	all := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	started := 0
	for i, w := range all {
		started += counts[w]
		all[i] = fmt.Sprintf("%d %s", counts[w], oneLine(w, 60))
	}
	if n := s.Missing() - started; n > 0 {
		all = append(all, fmt.Sprintf("%d not started", n))
	}
	const shown = 6
	if len(all) > shown {
		all = append(all[:shown], "…")
	}
	return strings.Join(all, ", ")
}

// squares is how many squares show the images.
const squares = 12

// overview counts what was done, and says what the run was about.
func overview(s ledger.Summary) string {
	all := append([]string{squaresOf(s)}, countsOf(s)...)
	if s.Retried > 0 {
		all = append(all, fmt.Sprintf("%d retried", s.Retried))
	}
	if s.Built > 1 && s.ImagesPerHour > 0 {
		all = append(all, fmt.Sprintf("%.0f an hour", s.ImagesPerHour))
	}
	all = append(all, strings.ReplaceAll(duration(s.WallClockSeconds), " ", "&nbsp;")) // it stays in one line
	all = slices.DeleteFunc(all, func(part string) bool { return part == "" })
	line := strings.Join(all, " · ") + "<br>" + text(cmp.Or(s.Run.Title, "Image build"), shortValue)
	if s.Run.Shard != "" {
		line += ", shard " + shard(s.Run)
	}
	if s.Run.SDKRef != "" {
		line += " · SDK " + code(s.Run.SDKRef, shortValue)
		if commit := commitOf(s.Run); commit != "" {
			line += " " + code(commit, shortValue)
		}
	}
	if s.Run.Image != "" {
		line += " → " + code(s.Run.Image, shortValue)
	}
	return line + "\n" + allowed(s)
}

// countsOf counts the images that were built, that existed, and that are missing, if any.
func countsOf(s ledger.Summary) []string {
	counts := []string{
		fmt.Sprintf("%d built%s", s.Built, rebasedSuffix(s.Strategies[outcome.Rebase])), fmt.Sprintf("%d already existed", s.Skipped),
	}
	if s.Missing() > 0 {
		counts = append(counts, fmt.Sprintf("%d missing", s.Missing()))
	}
	return counts
}

// commitOf is the beginning of the SDK's commit, or empty where it is not known or the ref says it.
func commitOf(run ledger.Run) string {
	sha := string(run.SDKSHA)
	if strings.HasPrefix(sha, run.SDKRef) {
		return ""
	}
	return sha[:min(7, len(sha))]
}

// squaresOf shows the images that exist, that failed and that were not begun as squares, each of which may stand for several images.
func squaresOf(s ledger.Summary) string {
	if s.Total == 0 {
		return ""
	}
	notStarted := s.NotStarted
	for _, f := range s.FailedBuilds {
		if f.Class == failure.ClassCancelled {
			notStarted++
		}
	}
	width := min(squares, s.Total)
	share := func(n int) int {
		if n <= 0 {
			return 0
		}
		return max(1, n*width/s.Total)
	}
	red, white := share(s.Missing()-notStarted), share(notStarted)
	return strings.Repeat("🟩", max(0, width-red-white)) + strings.Repeat("🟥", red) + strings.Repeat("⬜", white)
}

// Limits for the ids to copy, and for those that are not collapsed.
const maxListed, maxUnfolded = 25, 5

func instanceIDs(ids []string) string {
	return toCopy(slices.Concat([]string{"instance-ids: >-"}, commaSeparated(ids))...)
}

// next says what to do now, with inputs to copy.
func next(s ledger.Summary) string {
	if s.Missing() == 0 && !s.Run.TooManyEnvironmentsMissing() {
		return ""
	}
	again := "run it again: it builds only what is missing"
	if safeURL(s.Run.URL) != "" {
		again = "press <i>Re-run failed jobs</i>: it builds only what is missing"
		if !s.TooManyMissing() && !s.Run.TooManyEnvironmentsMissing() {
			again = "press <i>Re-run all jobs</i>: it builds only what is missing"
		}
	}
	switch {
	case s.Run.SetupError != "":
		again = "do what the hint says, then " + again
	case slices.ContainsFunc(s.FailedBuilds, func(f ledger.FailedBuild) bool { return !f.Class.MayPass() }):
		again = "do what each group below says, then " + again
	}
	line := "**Next:** " + again + "."
	var ids []string
	for _, f := range s.FailedBuilds {
		ids = append(ids, f.InstanceID)
	}
	switch n := len(ids); {
	case n == 0 || n < s.Missing(): // not all are known by name
		return line + "\n"
	case n <= maxUnfolded:
		return line + " Or run it for these images alone:\n\n" + instanceIDs(ids)
	case n <= maxListed: // unfolded, the ids would push what to do off the first screen
		return line + "\n\n" + details(fmt.Sprintf("Or run it for these %d images alone", n), instanceIDs(ids))
	case s.Run.Files.Failed != "":
		return line + " Or run it for these images alone, with this file" + fromArtifact(s.Run.Artifact) + ":\n\n" +
			toCopy("instances-file: "+string(s.Run.Files.Failed))
	}
	return line + "\n"
}

// mark returns the sign of a run that lacks images or was ended: whether it fails for missing images.
func mark(s ledger.Summary) string {
	if s.TooManyMissing() {
		return "❌"
	}
	return "⚠️"
}

// allowed says why missing images do not fail the run, where they do not.
func allowed(s ledger.Summary) string {
	if s.Missing() == 0 || s.TooManyMissing() {
		return ""
	}
	return "\nThe missing images do not fail the run: fail-on is " + failOn(s.Run.MissingAllowedPercent) + ".\n"
}

// commaSeparated has an id on each line, so that no line is long. The commas separate them where line breaks are lost, as in the form
// of a workflow.
func commaSeparated(ids []string) []string {
	lines := make([]string, len(ids))
	for i, id := range ids {
		lines[i] = "  " + id + ","
	}
	lines[len(ids)-1] = strings.TrimSuffix(lines[len(ids)-1], ",")
	return lines
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

// evaluation has the values that an evaluation of these images needs, to copy.
func evaluation(s ledger.Summary) string {
	run := s.Run
	if run.SDKSHA == "" {
		return ""
	}
	rows := [][]string{
		{"SDK commit", code(string(run.SDKSHA), shortValue)},
		{"Image", code(run.Image, shortValue)},
		{"Tags and digests", fileName(run.Files.LockFile)},
	}
	return section("What the evaluation uses", evaluationPrefix(run.Benchmark, run.ImageTagPrefix), facts(rows))
}

// evaluationPrefix sets the environment variable of the benchmark's evaluation, in YAML to copy.
func evaluationPrefix(benchmark string, prefix ledger.Text) string {
	if prefix == "" {
		return ""
	}
	if name := config.PrefixVariable(benchmark); name != "" {
		return toCopy(name + ": " + string(prefix))
	}
	return toCopy("# OpenHands/benchmarks has no evaluation of this benchmark", "tag prefix: "+string(prefix))
}

// fileName is the last part of a path. The folders before it mean nothing where the runner is gone.
func fileName(path ledger.Text) string {
	return code(string(path[strings.LastIndexByte(string(path), '/')+1:]), shortValue)
}

// facts lists what and value, but for empty values. Unlike a table, a list takes no width from its values.
func facts(rows [][]string) string {
	var lines []string
	for _, row := range rows {
		if row[1] != "" {
			lines = append(lines, "- "+row[0]+": "+row[1]+"\n")
		}
	}
	return strings.Join(lines, "")
}

// shards has a row for each shard of a merged summary.
func shards(s ledger.Summary) string {
	var rows [][]string
	for _, one := range s.Run.Shards {
		result := "✅"
		if one.Incomplete() {
			result = "❌"
		}
		rows = append(rows, []string{result + " " + link(cmp.Or(string(one.Shard), "1/1"), one.URL), strconv.Itoa(one.Built + one.Skipped), strconv.Itoa(one.Missing()), duration(one.Seconds)})
	}
	for _, missing := range s.Run.MissingShards {
		rows = append(rows, []string{"❌ " + text(string(missing), shortValue), "0", "all", "no run"})
	}
	return section("Shards", table([]string{"Shard", "Exist", "Missing", "Time"}, rows))
}

// more has what only the makers of this program need, collapsed.
func more(s ledger.Summary) string {
	return details("More about this run", joinParts([]string{
		settings(s), phases(s), retries(s), askedAgain(s.Run), references(s.Run.Rebase), traffic(s.Run.Rebase), cachePrunes(s.Run), slowest(s), telemetry(s.Totals),
	}))
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
	return block("Settings", facts(rows))
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
	show := func(path ledger.Text) string { return code(string(path), shortValue) }
	if s.Run.Artifact != "" {
		show = fileName
	}
	for _, file := range []struct {
		what string
		path ledger.Text
	}{
		{"report for a browser", f.Report},
		{"one line per image", f.Ledger},
		{"this summary as JSON", f.Summary},
		{"tags and digests", f.LockFile},
		{"missing images", f.Failed},
		{"timeline for Perfetto", f.Trace},
		{"logs", f.Logs},
	} {
		if file.path != "" {
			list = append(list, file.what+" "+show(file.path))
		}
	}
	if len(list) == 0 {
		return ""
	}
	where := "In the workspace"
	if s.Run.Artifact != "" {
		where = "In the artifact " + code(string(s.Run.Artifact), shortValue)
	}
	if url := safeURL(s.Run.URL); url != "" {
		where += " of [this run](" + url + ")"
	}
	return "\n" + where + ": " + strings.Join(list, ", ") + ".\n"
}

// fromArtifact names the artifact that has a file, where it is known.
func fromArtifact(artifact ledger.Text) string {
	if artifact == "" {
		return ""
	}
	return " from the artifact " + code(string(artifact), shortValue)
}

var plainURL = regexp.MustCompile(`^https?://[A-Za-z0-9.:/_-]+$`)

// safeURL returns the URL of a run, if it has nothing that Markdown or HTML would understand.
func safeURL(url ledger.Text) string {
	if len(url) > longValue || !plainURL.MatchString(string(url)) {
		return ""
	}
	return string(url)
}

// link is a text that links to the page of a run, where that is known.
func link(label string, url ledger.Text) string {
	if safeURL(url) == "" {
		return text(label, shortValue)
	}
	return "[" + text(label, shortValue) + "](" + safeURL(url) + ")"
}
