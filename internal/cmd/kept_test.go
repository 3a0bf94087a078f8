package cmd

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// plantTags has tags on a small image in a repository.
func (v verifiable) plantTags(t *testing.T, repository string, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		if err := registrytest.Push(registrytest.Hosts{"images.test": v.images}, repository+":"+tag, registrytest.Base(tag)); err != nil {
			t.Fatal(err)
		}
	}
}

// Each run says how many eval-bases there are. When there are fewer than the last run has left, it says so, and which rule may have
// deleted them. What a run leaves is right also at its deadline; a cancelled one has no time for it.
func TestDeletedEvalBasesAreReported(t *testing.T) {
	const repository = "images.test/eval-base"
	all := []string{
		"eval-base-0a", "eval-base-0b", "eval-base-0c", "base-0123456789abcdef", "last-week", "used-2026-11-0123456789abcdef", "eval-base-XY",
		"reference-" + strings.Repeat("a", 40) + "-0123456789abcdef-1", "reference-" + strings.Repeat("a", 40) + "-0123456789abcdef-1-base",
	}
	const counted = repository + " has eval-bases: %d, references: 1, base images with Python packages: 1"
	const warned = "2 of the 3 eval-bases in " + repository + " were deleted"
	cases := []struct {
		name   string
		gone   []string // between the first run and the next one
		cause  error    // of the end of the first run
		fault  func(w http.ResponseWriter, r *http.Request) bool
		second int // eval-bases that the next run finds
		warns  bool
		says   string
	}{
		{name: "all are there", second: 3},
		{name: "two are gone", gone: all[:2], second: 1, warns: true},
		{name: "two are gone, after a run with a deadline", cause: failure.ErrDeadline, gone: all[:2], second: 1, warns: true},
		{name: "two are gone, after a cancelled run", cause: context.Canceled, gone: all[:2], second: 1},
		{name: "what the last run left is gone", gone: []string{image.LastRunTag, all[0]}, second: 2},
		{name: "the registry takes no tag", fault: refuse(http.MethodPut, "/last-run"), gone: all[:2], second: 1, says: "the next run is not told"},
		{name: "the registry lists no tags", fault: refuse(http.MethodGet, "/tags/"), gone: all[:2], second: -1, says: "it is not known how many"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifiable(t)
			v.images.Deletes = true
			v.plantTags(t, repository, all...)
			v.images.Fault = c.fault
			settings := image.Settings{EvalBaseRepository: repository, BaseStage: &image.BaseStage{}}
			ctx, end := context.WithCancelCause(t.Context())
			defer end(nil)
			first := lookAtKept(ctx, settings, nil, v.client, v.record)
			<-first.looked
			if c.cause != nil {
				end(c.cause)
			}
			first.leave(ctx, nil)
			for _, tag := range c.gone {
				if err := v.client.Delete(t.Context(), repository+":"+tag); err != nil {
					t.Fatal(err)
				}
			}
			if len(v.facts.Warnings) > 0 {
				t.Errorf("the first run warns: %q", v.facts.Warnings)
			}
			v.said.Reset()
			second := lookAtKept(t.Context(), settings, nil, v.client, v.record)
			second.leave(t.Context(), nil)
			said := v.said.String()
			if c.second >= 0 && !strings.Contains(said, fmt.Sprintf(counted, c.second)) || !strings.Contains(said, c.says) {
				t.Errorf("the next run says %q; want %d eval-bases, and %q", said, c.second, c.says)
			}
			warnings := strings.Join(v.facts.Warnings, "\n")
			if c.warns != strings.Contains(warnings, warned) || c.warns != strings.Contains(warnings, "hint: let the retention or lifecycle rule of images.test") {
				t.Errorf("the next run warns: %q", warnings)
			}
			lookAtKept(t.Context(), settings, nil, v.client, v.record).leave(t.Context(), nil)
			if got := strings.Join(v.facts.Warnings, "\n"); got != warnings {
				t.Errorf("a third run warns: %q", got)
			}
		})
	}
}

// refuse refuses requests of a method.
func refuse(method, part string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		refused := r.Method == method && strings.Contains(r.URL.Path, part)
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	}
}

// On ghcr.io versions are deleted by workflows, elsewhere by rules of the registry.
func TestRetentionHint(t *testing.T) {
	for repository, want := range map[string]string{
		"ghcr.io/openhands/eval-base": "actions/delete-package-versions, leave out the package eval-base",
		"r.test/a/b-base":             "rule of r.test that deletes old images leave out the repository a/b-base",
	} {
		if got := retentionHint(repository); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", repository, got, want)
		}
	}
}
