package report

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; run with -update to accept):\n%s", path, diff)
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const sha = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"

func exampleRun(planned int) ledger.Run {
	return ledger.Run{
		Title: "SWE-Bench image build", Benchmark: "swebench", Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test",
		InstancesFrom: "the hub's parquet files", Shard: "2/3", PlannedTotal: 36,
		URL: runURL, Artifact: "build-record", SDKRepository: "https://github.com/OpenHands/software-agent-sdk.git", SDKRef: "v1.58.2", SDKSHA: sha, SDKVersion: "1.58.2",
		Seam: "intercept", Strategy: "native", Image: "ghcr.io/openhands/eval-agent-server", ImageTagPrefix: "0a1b2c3-9f8e7d6",
		Builder: "builder-5f3a", CacheMode: "off", Workers: 4, Options: map[string]string{"install_acp_providers": ""},
		Sdist: ledger.Sdist{SHA256: ledger.Text(strings.Repeat("5e", 32)), Seconds: 2.6},
		Phases: []ledger.Phase{
			{Name: "checkout", Seconds: 6.2},
			{Name: "environment", Seconds: 21.4},
			{Name: "sdist", Seconds: 2.6},
			{Name: "import", Seconds: 11.9},
			{Name: "resolve-tags", Seconds: 0.4},
			{Name: "check-registry", Seconds: 1.1},
			{Name: "preflight", Seconds: 3.3},
			{Name: ledger.BuildPhase, Seconds: 171},
		},
		Started: noon, Finished: noon.Add(218 * time.Second), Planned: planned,
		Files: ledger.Files{
			Ledger: "builds/princeton-nlp/SWE-bench_Verified/test/manifest.jsonl", Summary: "builds/princeton-nlp/SWE-bench_Verified/test/build-summary.json",
			LockFile: "builds/princeton-nlp/SWE-bench_Verified/test/images.lock.json", Logs: "builds/princeton-nlp/SWE-bench_Verified/test/logs",
		},
	}
}

func target(instance string) plan.Target {
	return plan.Target{InstanceID: instance, BaseImage: "docker.io/swebench/sweb.eval.x86_64." + strings.Replace(instance, "__", "_1776_", 1) + ":latest"}
}

func tag(instance string) string {
	return "ghcr.io/openhands/eval-agent-server:0a1b2c3-9f8e7d6-sweb.eval.x86_64." + strings.Replace(instance, "__", "_1776_", 1) + "-source-minimal"
}

func ended(instance string, o outcome.Outcome, err error) *outcome.Outcome {
	o.Target, o.Err, o.Started, o.Finished = target(instance), err, noon.Add(47*time.Second), noon.Add(218*time.Second)
	return &o
}

func built(instance string, seconds float64) *outcome.Outcome {
	return ended(instance, outcome.Outcome{
		Tags: []string{tag(instance)}, Digest: "sha256:" + strings.Repeat("d", 64), Strategy: "native", LogPath: "logs/" + instance + ".log", Attempts: make([]outcome.Attempt, 1),
		Check: 300 * time.Millisecond, Build: time.Duration(seconds * float64(time.Second)),
		Telemetry: map[string]float64{"build_context_seconds": 0.9, "buildx_wall_clock_seconds": seconds - 1, "image_export_seconds": seconds * 1.4, "push_layers_seconds": 6, "cached_step_count": 21},
	}, nil)
}

func skipped(instance string) *outcome.Outcome {
	return ended(instance, outcome.Outcome{Skipped: true, Tags: []string{tag(instance)}, Digest: "sha256:" + strings.Repeat("e", 64), Check: 80 * time.Millisecond}, nil)
}

func failed(instance string, class failure.Class, code, attempts int, why string) *outcome.Outcome {
	return ended(instance, outcome.Outcome{
		Strategy: "native", Attempts: make([]outcome.Attempt, attempts), Build: 9 * time.Second, LogPath: "builds/princeton-nlp/SWE-bench_Verified/test/logs/" + instance + ".log",
	}, &failure.Error{Class: class, ReturnCode: code, Err: errors.New(why)})
}

// printing adds what the failed command printed last.
func printing(o *outcome.Outcome) *outcome.Outcome {
	o.Err.(*failure.Error).Tail = tail
	return o
}

// tail is the end of what docker printed.
const tail = `#11 0.401 Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]
#11 1.022   Err:2 http://deb.debian.org/debian-security bookworm-security InRelease, which is a line that no narrow page has room for

#11 ERROR: process "/bin/sh -c apt-get update" did not complete successfully: exit code: 100`

// runURL is the page of a workflow run.
const runURL = "https://github.com/OpenHands/eval-images/actions/runs/17401234567/attempts/1"

func cancelled(instance string) *outcome.Outcome {
	return ended(instance, outcome.Outcome{}, &failure.Error{Class: failure.ClassCancelled, Err: fmt.Errorf("not started: %w", context.Canceled)})
}

func entries(outcomes []*outcome.Outcome) []ledger.Entry {
	made := make([]ledger.Entry, len(outcomes))
	for i, o := range outcomes {
		made[i] = ledger.FromOutcome(o)
	}
	return made
}

func twelve() []*outcome.Outcome {
	return []*outcome.Outcome{
		built("django__django-11333", 48.2), built("django__django-11334", 51.9), built("django__django-11400", 47), built("astropy__astropy-13033", 64.4),
		built("astropy__astropy-13236", 50.3), built("sphinx-doc__sphinx-8595", 88.6), built("sphinx-doc__sphinx-8600", 55.5), skipped("sphinx-doc__sphinx-8611"),
		skipped("sympy__sympy-20154"),
		printing(failed("astropy__astropy-12907", failure.ClassBaseMissing, 1, 2, "building with the SDK: docker buildx build ended with 1: ERROR: failed to build: failed to solve: docker.io/swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:latest: not found")),
		failed("matplotlib__matplotlib-20488", failure.ClassTimeout, 0, 1, "building with the SDK: the build took longer than image-timeout allows"),
		failed("sympy__sympy-24909", failure.ClassNetwork, 0, 3, `asking the registry whether the image exists: Head "https://ghcr.io/v2/openhands/eval-agent-server/manifests/x": dial tcp: lookup ghcr.io on 127.0.0.11:53: no such host`),
	}
}

// hostile tries whatever could break out of a table cell, of HTML, or of the line in a runner's log.
const hostile = "x | y `code` **bold** _em_ <script>alert(1)</script> </details> ![i](http://h/i.png) [l](https://h) www.example.com a@b.c #1 ~~s~~ $m$ &lt; \\| \n::error::boo\r##[error]boo \x1b[31mred\x00 \u202eright \u2028 \xff"

func scenarios() map[string]ledger.Summary {
	onlySkipped, allBuilt := entries([]*outcome.Outcome{skipped("a__b-1"), skipped("a__b-2")}), entries(twelve()[:7])
	stopped := exampleRun(12)
	stopped.Cancelled, stopped.Phases = true, stopped.Phases[:7]
	cutOff := cancelled("x__y-1")
	cutOff.Attempts = make([]outcome.Attempt, 1)
	noSDK := exampleRun(12)
	noSDK.SDKSHA, noSDK.SDKVersion, noSDK.Seam, noSDK.ImageTagPrefix, noSDK.Sdist = "", "", "", "", ledger.Sdist{}
	noSDK.Phases, noSDK.Finished = []ledger.Phase{{Name: "checkout", Seconds: 3.1}}, noon.Add(4*time.Second)
	noSDK.Files.LockFile = ""
	noSDK.SetupError = "cloning https://github.com/OpenHands/software-agent-sdk.git: Could not resolve host: github.com\nhint: check sdk-repository, or the network of the runner"
	noSdist, ownSdist := exampleRun(1), twelve()[0]
	ownSdist.SdistBuilds = 1
	noSdist.Sdist = ledger.Sdist{Seconds: 1.2, Error: "uv build ended with 2: no space left on device"}
	noSdist.Warnings = []string{"The sdist could not be built ahead; each image builds its own: uv build ended with 2"}
	return map[string]ledger.Summary{
		"failures":  ledger.Summarize(exampleRun(12), entries(twelve())),
		"built":     ledger.Summarize(exampleRun(7), allBuilt),
		"skipped":   ledger.Summarize(exampleRun(2), onlySkipped),
		"cancelled": ledger.Summarize(stopped, entries([]*outcome.Outcome{twelve()[0], twelve()[7], twelve()[9], cutOff, cancelled("x__y-2")})),
		"deadline":  deadlineRun(0),
		"tolerated": deadlineRun(75),
		"allowed":   allowedRun(25),
		"forbidden": allowedRun(24),
		"setup":     ledger.Summarize(noSDK, nil),
		"no-sdist":  ledger.Summarize(noSdist, entries([]*outcome.Outcome{ownSdist})),
		"hostile":   everywhere(hostile),
		"broken":    ledger.Summarize(exampleRun(12), entries(twelve()[8:10])),
		"empty":     ledger.Summarize(ledger.Run{}, nil),
		"rebased":   rebasedRun(),
		"merged":    mergedRun(),
		"different": differentRun(),
	}
}

// mergedRun is the merge of two shards of three.
func mergedRun() ledger.Summary {
	var parts []ledger.Part
	all := twelve()
	for i, outcomes := range [][]*outcome.Outcome{all[:8], all[9:11]} {
		run := exampleRun(len(outcomes))
		run.Shard, run.PlannedTotal = ledger.Text(fmt.Sprintf("%d/3", i+1)), 12
		run.URL, run.Artifact = ledger.Text(fmt.Sprint(runURL, i)), ledger.Text(fmt.Sprint("build-record-", i+1))
		s := ledger.Summarize(run, entries(outcomes))
		parts = append(parts, ledger.Part{Dir: "x", Summary: s, Entries: entries(outcomes)})
	}
	third := all[11]
	run := exampleRun(2)
	run.Shard, run.PlannedTotal = "3/3", 12
	parts = append(parts, ledger.Part{Dir: "y", Summary: ledger.Summarize(run, entries([]*outcome.Outcome{third})), Entries: entries([]*outcome.Outcome{third})})
	s, _, err := ledger.Merge(parts)
	if err != nil {
		panic(err)
	}
	return s
}

// deadlineRun is a run that its deadline ended, where a percentage of the images may be missing.
func deadlineRun(allowed int) ledger.Summary {
	run := exampleRun(12)
	run.DeadlineSeconds, run.StoppedForDeadline, run.MissingAllowedPercent = 5400, true, allowed
	run.Files.Failed = "builds/princeton-nlp/SWE-bench_Verified/test/failed.txt"
	outcomes := append(twelve()[:3:3], twelve()[9], failed("sympy__sympy-24909", failure.ClassDeadline, 0, 1, "building with the SDK: the run's deadline was reached"))
	for _, id := range []string{"x__y-1", "x__y-2", "x__y-3", "x__y-4"} {
		outcomes = append(outcomes, ended(id, outcome.Outcome{}, failure.TooLate(40*time.Second, time.Minute)))
	}
	return ledger.Summarize(run, entries(outcomes))
}

// allowedRun is a run whose 3 failures of 12 may or may not be missing.
func allowedRun(allowed int) ledger.Summary {
	run := exampleRun(12)
	run.MissingAllowedPercent = allowed
	return ledger.Summarize(run, entries(twelve()))
}

func TestMarkdownGolden(t *testing.T) {
	for name, s := range scenarios() {
		if slices.Contains([]string{"tolerated", "forbidden"}, name) { // the first line is all that differs
			continue
		}
		t.Run(name, func(t *testing.T) { golden(t, name+".md", Markdown(s, nil, nil)) })
	}
}

// everywhere is a summary with s wherever something comes from outside.
func everywhere(s string) ledger.Summary {
	run := exampleRun(4)
	run.URL, run.Artifact = ledger.Text(s), ledger.Text(s)
	run.Title, run.Dataset, run.Split, run.SDKRepository, run.SDKRef, run.SDKSHA, run.SDKVersion = s, s, s, s, s, ledger.Text(s), ledger.Text(s)
	run.Seam, run.Strategy, run.Image, run.ImageTagPrefix, run.Builder, run.CacheMode = ledger.Text(s), s, s, ledger.Text(s), s, s
	run.Options, run.Warnings, run.SetupError, run.Sdist.SHA256 = map[string]string{s: s}, []string{s}, ledger.Text(s), ledger.Text(s)
	run.Files = ledger.Files{Ledger: ledger.Text(s), Summary: ledger.Text(s), LockFile: ledger.Text(s), Failed: ledger.Text(s), Logs: ledger.Text(s)}
	run.Phases, run.AskedAgain = append(run.Phases, ledger.Phase{Name: s, Seconds: 1}), map[string]int{s: 1}
	run.Rebase = ledger.Rebase{
		References: []ledger.Reference{{Instance: ledger.Text(s), Tag: s, Digest: ledger.Text(s)}}, Requests: map[string]int{s: 1},
		Verified: []ledger.Verified{{Instance: s, Result: ledger.Verdict(s), Differences: []string{s}, Tags: []string{s}, TagsLeft: []string{s}}},
	}
	return ledger.Summarize(run, entries([]*outcome.Outcome{
		refused(s, s),
		failed(s, failure.Class(s), 1, 1, s), failed(s, failure.ClassBuild, 1, 1, s), built(s, 3), built("a__b-1", 4), cancelled(s),
	}))
}

// What comes from outside adds no character of markup to a summary, no line, and nothing that a runner would obey: the
// same summary with harmless text in the same places has as many of each.
func TestMarkdownOfHostileText(t *testing.T) {
	const markup = "|`<>[]!~$\\@#*_&:\r\n\t\x00\x1b\u202e\u2028"
	reference := regexp.MustCompile(`&#\d+;`)
	harmless := reference.ReplaceAllString(strings.ReplaceAll(Markdown(everywhere("x\nx"), nil, nil), "x_x", "xx"), "")
	got := reference.ReplaceAllString(Markdown(everywhere(hostile), nil, nil), "")
	got = strings.ReplaceAll(got, " !", " ") // not escaped, because it does nothing without the bracket after it
	for _, char := range markup {
		if a, b := strings.Count(harmless, string(char)), strings.Count(got, string(char)); a != b {
			t.Errorf("%d of %q with harmless text, %d with hostile text", a, char, b)
		}
	}
	for _, bad := range []string{"::", "##[", "http://", "https://", "www."} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in the summary", bad)
		}
	}
}

func TestText(t *testing.T) {
	cases := []struct {
		in   string
		n    int
		want string
	}{
		{"django__django-11333", 50, "django__django-11333"},
		{"__init__ a_b _c", 50, "&#95;&#95;init&#95;&#95; a_b &#95;c"},
		{"a: b:c d::e http://f g:", 50, "a: b:c d&#58;&#58;e http&#58;//f g:"},
		{":::", 50, "&#58;&#58;&#58;"},
		{"a|b`c`<d>", 50, "a&#124;b&#96;c&#96;&#60;d&#62;"},
		{"  two\r\n lines\t", 50, "two lines"},
		{"naïve ✓", 50, "naïve ✓"},
		{"bad \xff", 50, "bad \uFFFD"},
		{"0123456789", 10, "0123456789"},
		{"0123456789a", 10, "012345678…"},
		{"", 10, ""},
	}
	for _, c := range cases {
		if got := text(c.in, c.n); got != c.want {
			t.Errorf("text(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestMarkdownFits(t *testing.T) {
	cases := []struct {
		name              string
		failed, cancelled int
		reason            string
		complete          bool
	}{
		{"few", 30, 0, "a short reason", true},
		{"433 with the longest reasons", 433, 0, strings.Repeat("words ", 200), true},
		{"too many", 5000, 3000, strings.Repeat("::<|>", 200), false},
		{"too many cancelled", 10, 40000, "x", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var outcomes []*outcome.Outcome
			for i := range c.failed {
				outcomes = append(outcomes, failed(fmt.Sprintf("failed__x-%05d", i), failure.ClassBuild, 1, 1, c.reason))
			}
			for i := range c.cancelled {
				outcomes = append(outcomes, cancelled(fmt.Sprintf("cancelled__x-%05d", i)))
			}
			all := entries(outcomes)
			s, many := ledger.Summarize(exampleRun(0), all), make([]string, 50_000)
			markdown := Markdown(s, all, &ledger.Comparison{NewlyFailing: many, NewlyBuilt: many})
			if len(markdown) > 900_000 {
				t.Errorf("%d bytes", len(markdown))
			}
			shown := strings.Count(markdown, "- <code>failed__x-") + strings.Count(markdown, "<code>cancelled__x-")
			for _, more := range regexp.MustCompile(`… and (\d+) more, see <code>`).FindAllStringSubmatch(markdown, -1) {
				var n int
				fmt.Sscan(more[1], &n)
				shown += n
			}
			if shown != c.failed+c.cancelled {
				t.Errorf("%d images are shown or counted, want %d", shown, c.failed+c.cancelled)
			}
			if complete := !strings.Contains(markdown, "… and "); complete != c.complete {
				t.Errorf("complete is %v, want %v", complete, c.complete)
			}
		})
	}
}

// A merged record may have any class.
func TestMarkdownSaysHowManyGroupsAreLeftOut(t *testing.T) {
	var outcomes []*outcome.Outcome
	for i := range maxGroups + 3 {
		outcomes = append(outcomes, failed(fmt.Sprintf("a__b-%d", i), failure.Class(fmt.Sprintf("class-%d", i)), 1, 1, "x"))
	}
	got := failures(ledger.Summarize(exampleRun(0), entries(outcomes)), 900_000)
	if shown := strings.Count(got, "**What to do:**"); shown != maxGroups || !strings.Contains(got, "… and 3 more groups of failures.") {
		t.Errorf("%d groups are shown, want %d and that 3 more are left out:\n%s", shown, maxGroups, got)
	}
}

func TestHeadline(t *testing.T) {
	cases := []struct{ scenario, want string }{
		{"failures", "❌ 3 of 12 images are missing: 1 base image not found, 1 network, 1 timed out"},
		{"built", "✅ All 7 images exist"},
		{"skipped", "✅ Nothing to do: 2 images already exist"},
		{"cancelled", "⚠️ Cancelled after 3m 38s: 10 of 12 images are missing: 1 base image not found, 1 cancelled, 8 not started"},
		{"deadline", "❌ Stopped for the deadline of 1h 30m: 9 of 12 images are missing: 1 base image not found, 1 stopped at the deadline, 7 not started"},
		{"tolerated", "⚠️ Stopped for the deadline of 1h 30m: 9 of 12 images are missing: 1 base image not found, 1 stopped at the deadline, 7 not started"},
		{"allowed", "⚠️ 3 of 12 images are missing: 1 base image not found, 1 network, 1 timed out"},
		{"no-sdist", "✅ The image exists"},
		{"broken", "❌ 11 of 12 images are missing: 1 base image not found, 10 not started"},
		{"empty", "⚠️ No image was requested"},
		{"rebased", "✅ All 12 images exist"},
		{"different", "❌ Verification failed: of 4 images compared, 2 rebased images differ from the native build, and 1 rebased image " +
			"could not be compared with the native build. All 2 images exist"},
		{"setup", "❌ Nothing was built: cloning https://github.com/OpenHands/software-agent-sdk.git: Could not resolve host: github.com"},
		{"merged", "❌ 4 of 12 images are missing: 1 base image not found, 1 network, 1 timed out, 1 not started"},
	}
	for _, c := range cases {
		t.Run(c.scenario, func(t *testing.T) {
			if got := Headline(scenarios()[c.scenario]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A verdict has one mark, that of the worst that came of the run.
func TestHeadlineHasOneMark(t *testing.T) {
	verified := func(results ...ledger.Verdict) (r ledger.Rebase) {
		for _, result := range results {
			r.Verified = append(r.Verified, ledger.Verified{Result: result})
		}
		return r
	}
	const ok, different = ledger.VerifiedOK, ledger.VerifiedDifferent
	lost := []string{"writing images.lock.json: no space left on device"}
	cases := map[string]struct {
		s    ledger.Summary
		want string
	}{
		"verify":                          {ledger.Summary{Run: ledger.Run{Rebase: verified(ok, ok)}}, "✅ 2 images equal their native builds"},
		"verify of an image that differs": {ledger.Summary{Run: ledger.Run{Rebase: verified(ok, different)}}, "❌ Verification failed: of 2 images compared, 1 rebased image differs from the native build"},
		"verify without its record":       {ledger.Summary{Run: ledger.Run{Rebase: verified(ok), RecordErrors: lost}}, "❌ The record of this run is incomplete. 1 image equals its native build"},
		"verify that was cancelled":       {ledger.Summary{WallClockSeconds: 3, Run: ledger.Run{Cancelled: true}}, "⚠️ Cancelled after 3.0s"},
		"all there, and a set-up failed":  {ledger.Summary{Total: 4, Built: 4, Run: ledger.Run{SetupError: "cloning SWT-Bench: no such host\nhint: x"}}, "❌ The set-up failed: cloning SWT-Bench: no such host. All 4 images exist"},
		"some may be missing, and a set-up failed": {
			ledger.Summary{Total: 4, Built: 3, NotStarted: 1, Run: ledger.Run{MissingAllowedPercent: 25, SetupError: "cloning SWT-Bench: no such host"}},
			"❌ The set-up failed: cloning SWT-Bench: no such host. 1 of 4 images is missing: 1 not started",
		},
		"all there at the deadline":         {ledger.Summary{Total: 4, Built: 4, Run: ledger.Run{DeadlineSeconds: 60, StoppedForDeadline: true}}, "⚠️ Stopped for the deadline of 1m: all images exist"},
		"missing images that are allowed":   {ledger.Summary{Total: 4, Built: 3, NotStarted: 1, Run: ledger.Run{MissingAllowedPercent: 25, RecordErrors: lost}}, "❌ The record of this run is incomplete. 1 of 4 images is missing: 1 not started"},
		"an empty shard without its record": {ledger.Summary{Run: ledger.Run{RecordErrors: lost}}, "❌ The record of this run is incomplete. No image was requested"},
	}
	for name, c := range cases {
		if got := Headline(c.s); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func TestMarkdownCountsCachePrunes(t *testing.T) {
	prune := ledger.Pruning{At: time.Unix(0, 0), DiskUsedPercent: 71, FreedBytes: 1_500_000_000}
	cases := []struct {
		name  string
		prune []ledger.Pruning
		want  string
	}{
		{"none", nil, ""},
		{"one", []ledger.Pruning{prune}, "cache was pruned 1 time: 1.5GB freed."},
		{"two", []ledger.Pruning{prune, prune}, "cache was pruned 2 times: 3GB freed."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Markdown(ledger.Summarize(ledger.Run{Title: "x", Planned: 1, Pruned: c.prune}, nil), nil, nil)
			if !strings.Contains(got, c.want) || strings.Contains(got, "pruned") != (c.want != "") {
				t.Errorf("want %q in\n%s", c.want, got)
			}
		})
	}
}

func TestMarkdownListsPackagesAddedToBaseImages(t *testing.T) {
	s := ledger.Summarize(exampleRun(7), nil)
	if got := Markdown(s, nil, nil); strings.Contains(got, "Packages added") {
		t.Errorf("no packages were added, but the summary mentions it:\n%s", got)
	}
	s.Wrapped = map[ledger.Text]int{"docutils<0.21 roman": 3, "a": 1}
	const want = "- Packages added to base images: <code>a</code> (1 image), <code>docutils&#60;0.21 roman</code> (3 images)\n"
	if got := Markdown(s, nil, nil); !strings.Contains(got, want) {
		t.Errorf("no line %q in\n%s", want, got)
	}
}

// Two failures of one class may need two remedies.
func TestSummaryHasTheHintOfEachMessage(t *testing.T) {
	all := entries([]*outcome.Outcome{
		failed("a__b-1", failure.ClassTLS, 1, 1, "x509: certificate signed by unknown authority"),
		failed("a__b-2", failure.ClassTLS, 1, 1, "http: server gave HTTP response to HTTPS client"),
		failed("a__b-3", failure.ClassTLS, 1, 1, "http: server gave HTTP response to HTTPS client"),
	})
	got := Markdown(ledger.Summarize(exampleRun(3), all), nil, nil)
	for _, hint := range []string{"let the builder trust the registry", "tell the builder that the registry speaks plain http"} {
		if n := strings.Count(got, "**What to do:** "+hint); n != 1 {
			t.Errorf("%q is said %d times, want once:\n%s", hint, n, got)
		}
	}
}

// The summary accounts for the attempts that were repeated, by class, and not for the last ones.
func TestMarkdownCountsRepeatedAttempts(t *testing.T) {
	because := func(classes ...failure.Class) (all []outcome.Attempt) {
		for _, class := range classes {
			all = append(all, outcome.Attempt{Err: &failure.Error{Class: class, Err: errors.New("x")}})
		}
		return all
	}
	const network, registry = failure.ClassNetwork, failure.ClassRegistry
	entries := []ledger.Entry{
		ledger.FromOutcome(ended("a", outcome.Outcome{Tags: []string{"r:a"}, Attempts: append(because(network, registry, network), outcome.Attempt{})}, nil)),
		ledger.FromOutcome(ended("b", outcome.Outcome{Attempts: because(registry, failure.ClassDisk)}, errors.New("x"))),
	}
	got := Markdown(ledger.Summarize(ledger.Run{Planned: 2}, entries), nil, nil)
	if want := "\nAttempts at images that were repeated: 2 network, 2 registry.\n"; !strings.Contains(got, want) {
		t.Errorf("it does not say %q:\n%s", want, got)
	}
}
