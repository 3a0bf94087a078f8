package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const digest = "ghcr.io/openhands/eval-images@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// files makes a repository and goes there.
func files(t *testing.T, contents map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range contents {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// said runs a command and returns what it prints, or its error.
func said(stdin string, args ...string) string {
	var out strings.Builder
	if err := run(args, strings.NewReader(stdin), &out); err != nil {
		return "error: " + err.Error()
	}
	return out.String()
}

func TestNotesAreTheSectionOfTheVersion(t *testing.T) {
	files(t, map[string]string{changelog: `# Changelog

## Unreleased

- Not yet.

## 1.10.0 - 2026-12-01

### Added

- A [page](registries.md), a [heading](operation.md#disk), [one here](#unreleased), [the README](../README.md) and
  [a site](https://example.org/a).

## 1.1.10 - 2026-11-02

- Old.

## 1.1.0 - 2026-11-01

- Older.

## 1.0.0
`})
	const at = "https://github.com/OpenHands/eval-images/blob/v1.10.0/"
	cases := map[string]struct{ tag, want string }{
		"between others": {"v1.10.0", "### Added\n\n- A [page](" + at + "docs/registries.md), a [heading](" + at + "docs/operation.md#disk), [one here](" +
			at + "docs/changelog.md#unreleased), [the README](" + at + "README.md) and\n  [a site](https://example.org/a).\n"},
		"older":      {"v1.1.0", "- Older.\n"},
		"no release": {"v1.1", `error: "v1.1" is no tag of a release` + "\nhint: a release has a tag such as v1.2.3"},
		"one that begins like it": {"v1.1.1", `error: docs/changelog.md has no section "## 1.1.1"` + "\n" +
			`hint: rename its section "## Unreleased" to "## 1.1.1 - YYYY-MM-DD", and tag that commit`},
		"empty": {"v1.0.0", `error: the section "## 1.0.0" of docs/changelog.md is empty` + "\nhint: write there what users see of the release"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, said("", "notes", "OpenHands/eval-images", c.tag)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The repository's own action.yml differs in one line, so inputs and outputs of a release are those of its commit.
func TestTheReleasesActionDiffersInItsImageOnly(t *testing.T) {
	old, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	files(t, map[string]string{actionFile: string(old)})
	if got := said("", "action", digest); got != "" {
		t.Fatal(got)
	}
	got, err := os.ReadFile(actionFile)
	if err != nil {
		t.Fatal(err)
	}
	before, after := strings.SplitAfter(string(old), "\n"), strings.SplitAfter(string(got), "\n")
	if len(before) != len(after) {
		t.Fatalf("%d lines became %d", len(before), len(after))
	}
	var changed []string
	for i := range before {
		if before[i] != after[i] {
			changed = append(changed, before[i], after[i])
		}
	}
	if diff := cmp.Diff([]string{"  image: Dockerfile\n", "  image: docker://" + digest + "\n"}, changed); diff != "" {
		t.Error(diff)
	}
}

func TestAnActionIsNotPinnedToWhatCanChange(t *testing.T) {
	const fine = "runs:\n  image: Dockerfile\n"
	cases := map[string]struct{ action, image, want string }{
		"a tag":          {fine, "ghcr.io/openhands/eval-images:v1.2.3", "by its digest"},
		"a short digest": {fine, "ghcr.io/openhands/eval-images@sha256:0123", "by its digest"},
		"no name":        {fine, "@sha256:" + strings.Repeat("0", 64), "by its digest"},
		"more lines":     {fine, digest + "\n  args: [x]", "by its digest"},
		"released":       {"runs:\n  image: docker://" + digest + "\n", digest, "0 times"},
		"twice":          {fine + fine, digest, "2 times"},
		"a comment":      {"runs:\n  # image: Dockerfile\n", digest, "0 times"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			files(t, map[string]string{actionFile: c.action})
			if got := said("", "action", c.image); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want an error with %q", got, c.want)
			}
			if after, err := os.ReadFile(actionFile); err != nil || string(after) != c.action {
				t.Errorf("the file became %q, %v", after, err)
			}
		})
	}
}

func TestTheMajorTagIsOnTheLatestReleaseOfItsVersion(t *testing.T) {
	cases := map[string]struct{ existing, tag, want string }{
		"the first":                {"v1.0.0", "v1.0.0", "v1.0.0\nv1\n"},
		"a later one":              {"v1 v1.9.9 v1.10.0", "v1.10.0", "v1.10.0\nv1\n"},
		"a patch of an older one":  {"v1 v1.9.10 v1.10.0", "v1.9.10", "v1.9.10\n"},
		"a patch before the last":  {"v1.2.10 v1.2.9", "v1.2.9", "v1.2.9\n"},
		"after another major":      {"v1.0.1 v2.0.0", "v1.0.1", "v1.0.1\nv1\n"},
		"a new major":              {"v1 v1.9.0 v2.0.0", "v2.0.0", "v2.0.0\nv2\n"},
		"others are no releases":   {"v1.9.0-rc.1 nightly v1.9", "v1.8.0", "v1.8.0\nv1\n"},
		"a candidate":              {"", "v1.2.3-rc.1", "error: \"v1.2.3-rc.1\" is no tag of a release\nhint: a release has a tag such as v1.2.3"},
		"a leading zero":           {"", "v1.02.3", "error: \"v1.02.3\" is no tag of a release\nhint: a release has a tag such as v1.2.3"},
		"no tag, as v*.*.* allows": {"", "v1.x.3", "error: \"v1.x.3\" is no tag of a release\nhint: a release has a tag such as v1.2.3"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, said(strings.ReplaceAll(c.existing, " ", "\n"), "tags", c.tag)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
