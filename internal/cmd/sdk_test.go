package cmd

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// The log and the report say what this SDK lacks, also where it changes only how long the run takes.
func TestOldSDKsAreWarnedOf(t *testing.T) {
	cases := []struct {
		seam string
		want []string
	}{
		{sdk.SeamNativeField, nil},
		{sdk.SeamIntercept, nil},
		{sdk.SeamNone, []string{"This SDK takes no prebuilt sdist; each image builds its own."}},
	}
	for _, c := range cases {
		t.Run(c.seam, func(t *testing.T) {
			checkWarnings(t, c.want, func(rec *record) { warnOfOldSDK(sdk.Description{Seam: c.seam}, rec) })
		})
	}
}

func TestIgnoredCacheModes(t *testing.T) {
	build := func(more ...string) []string { return append([]string{"docker", "buildx", "build"}, more...) }
	cases := []struct {
		cacheMode string
		argv      []string
		want      []string
	}{
		{"off", build("."), nil},
		{"min", build("--cache-to", "type=registry,ref=r/i:c,mode=min", "."), nil},
		{"max", build("--cache-to=type=registry,ref=r/i:c,mode=max", "."), nil},
		{"min", build("--cache-to", "type=registry,ref=r/i:c", "."), nil},
		{
			"off", build("--cache-to", "type=registry,ref=r/i:c,mode=max", "."),
			[]string{"This SDK ignores cache-mode off (it came with 1.15.0): each push has cache mode max."},
		},
		{"max", build("."), []string{"This SDK ignores cache-mode max (it came with 1.15.0): each push has cache mode off."}},
	}
	for _, c := range cases {
		checkWarnings(t, c.want, func(rec *record) {
			warnOfCacheMode(config.Config{CacheMode: c.cacheMode}, sdk.Captured{Argv: c.argv}, rec)
		})
	}
}

// checkWarnings checks that what warn does leaves these warnings in the report and in the log.
func checkWarnings(t *testing.T, want []string, warn func(*record)) {
	t.Helper()
	var out bytes.Buffer
	rec := newRecord(Process{Stdout: &out}, nil)
	warn(rec)
	if diff := cmp.Diff(want, rec.facts.Warnings); diff != "" {
		t.Errorf("warnings in the report (-want +got):\n%s", diff)
	}
	for _, warning := range want {
		if !bytes.Contains(out.Bytes(), []byte(warning)) {
			t.Errorf("the log lacks %q:\n%s", warning, &out)
		}
	}
}
