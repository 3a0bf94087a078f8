package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

func TestARunEndsWithTenLinesOfPlainText(t *testing.T) {
	many := ledger.Summary{Total: 12, Built: 2, Skipped: 1, Failed: 9, WallClockSeconds: 125, Strategies: map[ledger.Text]int{"rebase": 2}, Run: ledger.Run{
		SDKRef: "v1.58.2", SDKSHA: "0123456789", Image: "ghcr.io/me/eval",
		Files: ledger.Files{Report: "b/report.html", Ledger: "b/manifest.jsonl", LockFile: "b/images.lock.json", Logs: "b/logs", Failed: "b/failed.txt"},
	}}
	for i := range 9 {
		many.FailedBuilds = append(many.FailedBuilds, ledger.FailedBuild{
			InstanceID: fmt.Sprintf("a__b-%d", i), Class: failure.ClassBaseMissing, LogPath: ledger.Text(fmt.Sprintf("b/logs/a__b-%d.log", i)),
			Error: "building with the SDK: building on docker.io/x/a:latest: docker buildx build ended with 1: ERROR: failed to solve: docker.io/x/a:latest: not found",
		})
	}
	whole := many
	whole.Built, whole.Failed, whole.FailedBuilds = 11, 0, nil
	whole.Run.Files.Failed = ""
	verified := ledger.Summary{WallClockSeconds: 5, Run: ledger.Run{Rebase: ledger.Rebase{Verified: []ledger.Verified{
		{Instance: "r/i:a", Result: ledger.VerifiedOK}, {Instance: "r/i:b", Result: ledger.VerifiedDifferent, Differences: []string{"env HOME"}},
	}}}}
	equal := verified
	equal.Run.Rebase.Verified = verified.Run.Rebase.Verified[:1]
	environments := whole
	environments.Run.Files.Failed = "b/failed.txt" // it is empty
	environments.Run.EvalEnv = &ledger.EvalEnv{Planned: 3, Images: []ledger.EvalEnvImage{
		{Status: outcome.Built}, {Name: "exec.env.b", Status: outcome.Failed, Class: "build-failed", Error: "exit code: 7", LogPath: "b/logs/exec.env.b.log"},
	}}
	stopped := whole
	stopped.Built, stopped.NotStarted, stopped.Run.Cancelled = 1, 10, true
	const files = "Report:    b/report.html\nLedger:    b/manifest.jsonl\nLock file: b/images.lock.json\nLogs:      b/logs"
	cases := map[string]struct {
		summary ledger.Summary
		want    string
	}{
		"failures": {many, "❌ 9 of 12 images are missing: 9 base image not found\n" +
			"2 built (2 rebased), 1 already existed, 9 missing, 2m 05s, SDK v1.58.2 (0123456), ghcr.io/me/eval\n" +
			"❌ a__b-0: base image not found: not found (docker.io/x/a:latest), log b/logs/a__b-0.log\n" +
			"❌ a__b-1: base image not found: not found (docker.io/x/a:latest), log b/logs/a__b-1.log\n" +
			"  … and 7 more, see manifest.jsonl\n" +
			"Next: run it again, or for the missing images alone with --instances-file b/failed.txt\n" + files},
		"all there": {whole, "✅ All 12 images exist\n" +
			"11 built (2 rebased), 1 already existed, 2m 05s, SDK v1.58.2 (0123456), ghcr.io/me/eval\n" + files},
		"missing environments": {environments, "❌ 2 of 3 environment images are missing. All 12 images exist\n" +
			"11 built (2 rebased), 1 already existed, 2m 05s, SDK v1.58.2 (0123456), ghcr.io/me/eval\n" +
			"❌ 2 of 3 environment images are missing\n" +
			"❌ exec.env.b: build step failed: exit code: 7, log b/logs/exec.env.b.log\n" +
			"Next: run it again; it builds only what is missing.\n" + files},
		"a cancel": {stopped, "⚠ Cancelled after 2m 05s: 10 of 12 images are missing: 10 not started\n" +
			"1 built (2 rebased), 1 already existed, 10 missing, 2m 05s, SDK v1.58.2 (0123456), ghcr.io/me/eval\n" +
			"Next: run it again; it builds only what is missing.\n" + files},
		"images compared": {equal, "✅ 1 image equals its native build\n0 built, 0 already existed, 5.0s\n✅ r/i:a is equal to a native build of it"},
		"one that differs": {verified, "❌ Verification failed: of 2 images compared, 1 rebased image differs from the native build\n" +
			"0 built, 0 already existed, 5.0s\n✅ r/i:a is equal to a native build of it\n" +
			"❌ r/i:b is different: env HOME"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Ending(c.summary, nil)
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got) > 10 {
				t.Errorf("%d lines", len(got))
			}
		})
	}
}

func TestFailuresStandOutOnATerminal(t *testing.T) {
	cases := []struct {
		environ []string
		line    string
		want    string
	}{
		{nil, "error: x", "\x1b[31merror: x\x1b[0m"},
		{nil, "[ 3/12] failed   a__b-1  2.0s", "\x1b[31m[ 3/12] failed   a__b-1  2.0s\x1b[0m"},
		{nil, "❌ 1 of 2 images is missing", "\x1b[31m❌ 1 of 2 images is missing\x1b[0m"},
		{nil, "⚠ Cancelled", "\x1b[33m⚠ Cancelled\x1b[0m"},
		{nil, "✅ All 2 images exist", "\x1b[32m✅ All 2 images exist\x1b[0m"},
		{nil, "[ 3/12] built    failed__error-1  2.0s", "[ 3/12] built    failed__error-1  2.0s"},
		{[]string{"NO_COLOR=1"}, "error: x", "error: x"},
		{[]string{"CI=true"}, "error: x", "error: x"},
	}
	for _, c := range cases {
		there := newTerminal(t, 0) // of unknown size, which has no bar
		fmt.Fprintln(NewScreen(there.File, environ(append(c.environ, "TERM=xterm")...)), c.line)
		if got := there.end(); got != c.want+"\r\n" {
			t.Errorf("with %q the terminal gets %q, want %q", c.environ, got, c.want)
		}
	}
	var file bytes.Buffer
	fmt.Fprintln(NewScreen(&file, environ("TERM=xterm")), "error: x")
	if got := file.String(); got != "error: x\n" {
		t.Errorf("a file gets %q", got)
	}
}

// The bar stays while images are compared, although all of them are there.
func TestTheBarStaysUntilTheEnd(t *testing.T) {
	there := newTerminal(t, 120)
	screen := NewScreen(there.File, environ("TERM=xterm"))
	c := NewConsole(masking{screen}, screen, 1, 1)
	go c.Run(t.Context())
	c.Began("checkout")
	there.shows(t, "in checkout (")
	c.Ended("checkout")
	c.Finished(built("a__b-1", 10))
	there.shows(t, "1 of 1 [")
	c.Doing(target("a__b-1"), "being compared with a native build", "")
	there.shows(t, "1 being compared with a native build")
	c.Close()
	there.end()
}
