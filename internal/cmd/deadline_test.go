package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// runningBuilder is a builder that always runs.
type runningBuilder struct{ *builder }

func (runningBuilder) Reach(context.Context) error     { return nil }
func (runningBuilder) Instance(context.Context) string { return "1" }

// minuteBuilds are an SDK whose builds take a minute, and fail for some tags.
type minuteBuilds struct {
	hosts registrytest.Hosts
	fail  []string
}

func (b minuteBuilds) Build(ctx context.Context, r sdk.Request) (sdk.Response, error) {
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return sdk.Response{}, fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx))
	}
	if slices.Contains(b.fail, r.CustomTag) {
		return sdk.Response{}, &sdk.BuildFailure{ReturnCode: 1, Tail: "no such file"}
	}
	tag := r.Image + ":" + r.CustomTag
	return sdk.Response{Tags: []string{tag}}, registrytest.Push(b.hosts, tag, registrytest.Base(r.CustomTag))
}

// tags are what a registry lists for a repository.
func tags(t *testing.T, hosts registrytest.Hosts, host, repository string) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/"+repository+"/tags/list", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := hosts.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list.Tags)
	return list.Tags
}

// left reads what a run has left in its folder.
func left(t *testing.T, folder string) (summary ledger.Summary, lock report.Lock, failed string) {
	t.Helper()
	for name, into := range map[string]any{ledger.SummaryFileName: &summary, ledger.LockFileName: &lock} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, ledger.FailedFileName))
	if err != nil {
		t.Fatal(err)
	}
	return summary, lock, string(text)
}

// What the report counts is what the registry lists, after a run that its deadline ended, and after the one that continues it.
func TestCountsAreThoseOfTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := registrytest.Hosts{"images.test": registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)}
		var all []plan.Target
		var ids []string
		for i := range 12 {
			id := fmt.Sprintf("a__a-%02d", i)
			ids = append(ids, id)
			all = append(all, plan.Target{InstanceID: id, BaseImage: "hub.test/" + id, CustomTag: id, Tags: []string{"images.test/eval:" + id}})
		}
		for _, target := range all[:3] {
			if err := registrytest.Push(hosts, target.Tags[0], registrytest.Base(target.InstanceID)); err != nil {
				t.Fatal(err)
			}
		}
		root := t.TempDir()
		for _, c := range []struct {
			name             string
			deadline         time.Duration
			fail             []string
			skipped, tried   int
			code             int
			verdict, missing string
		}{
			{
				"a deadline", 4*time.Minute + 30*time.Second,
				[]string{"a__a-04", "a__a-07"},
				3, 4, ExitFailed,
				"❌ Stopped for the deadline of 4m 30s", ", 5 not started\n",
			},
			{"the next run", time.Hour, nil, -1, -1, ExitOK, "✅ All 12 images exist", ""},
		} {
			work, said := &workspace{root: root}, &strings.Builder{}
			rec := newRecord(Process{Stdout: said}, nil)
			given := config.Config{
				BuildDir: "builds", Dataset: "a/b", Split: "test", MaxWorkers: 1, Image: "images.test/eval", Deadline: c.deadline,
			}
			rec.describe(given)
			rec.facts.Planned, rec.facts.PlannedTotal = len(all), len(all)
			if err := openRecord(given, work, rec); err != nil {
				t.Fatal(err)
			}
			ctx, stop := withDeadline(t.Context(), c.deadline, rec.facts.Started)
			client := registry.New(authn.DefaultKeychain, hosts, rec)
			missing, err := findMissing(ctx, given, all, client, rec)
			if err != nil {
				t.Fatal(err)
			}
			b := &builder{config: given, work: work, record: rec}
			maker := image.New(image.Settings{
				Repository: given.Image, EvalBaseRepository: given.Image, MaxWorkers: 1, Workspace: root, Logs: work.logs,
				Deadline: rec.facts.Started.Add(c.deadline),
				Request:  sdk.Request{Image: given.Image, Timeout: time.Hour},
			}, client, minuteBuilds{hosts, c.fail}, runningBuilder{b}, reporter{rec, b})
			err = maker.All(ctx, missing)
			code := rec.finish(ctx, work, all, err)
			stop()

			summary, lock, failed := left(t, work.folder)
			there := tags(t, hosts, "images.test", "eval")
			if len(there) != summary.Built+summary.Skipped || len(there) != summary.Successful || len(all)-len(there) != summary.Missing() {
				t.Errorf("%s: %d tags are there; %d built, %d skipped, %d missing", c.name, len(there), summary.Built, summary.Skipped, summary.Missing())
			}
			var locked []string
			for id := range lock.Images {
				locked = append(locked, id)
			}
			slices.Sort(locked)
			if diff := cmp.Diff(there, locked); diff != "" {
				t.Errorf("%s: the lock file (-tags +locked):\n%s", c.name, diff)
			}
			absent := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(there, id) })
			if diff := cmp.Diff(absent, strings.Fields(failed)); diff != "" && len(absent)+len(failed) > 0 {
				t.Errorf("%s: %s (-no tags +listed):\n%s", c.name, ledger.FailedFileName, diff)
			}
			if c.tried >= 0 && (summary.Skipped != c.skipped || summary.Built+summary.Failed != c.tried) {
				t.Errorf("%s: %d skipped, %d tried; want %d and %d", c.name, summary.Skipped, summary.Built+summary.Failed, c.skipped, c.tried)
			}
			if code != c.code || !strings.Contains(said.String(), "\n"+c.verdict) || !strings.Contains(said.String(), c.missing) {
				t.Errorf("%s: exit code %d, want %d and %q, %q:\n%s", c.name, code, c.code, c.verdict, c.missing, said)
			}
		}
	})
}

// fail-on decides about missing images, and about nothing else. The sign of the summary is that of the exit code.
func TestFailOn(t *testing.T) {
	deadline, stop := withDeadline(t.Context(), time.Nanosecond, time.Now().Add(-time.Hour))
	defer stop()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	setUp := errors.New("cloning the SDK: no such host")
	different := []ledger.Verified{{Instance: "a__a-1", Result: ledger.VerifiedDifferent}}
	buildFailed := &failure.Error{Class: failure.ClassBuild, Err: errors.New("it failed")}
	cases := []struct {
		name     string
		ctx      context.Context
		allowed  int
		second   error // of the second of two images
		verified []ledger.Verified
		err      error // of the run
		want     int
	}{
		{"any, and none is missing", t.Context(), 0, nil, nil, nil, ExitOK},
		{"any", t.Context(), 0, buildFailed, nil, nil, ExitFailed},
		{"less than the half", t.Context(), 49, buildFailed, nil, nil, ExitFailed},
		{"the half", t.Context(), 50, buildFailed, nil, nil, ExitOK},
		{"never", t.Context(), 100, buildFailed, nil, nil, ExitOK},
		{"never, and an image differs", t.Context(), 100, buildFailed, different, nil, ExitFailed},
		{"never, and the set-up failed", t.Context(), 100, nil, nil, setUp, ExitSetup},
		{"never, and a bad input", t.Context(), 100, nil, nil, badInput{setUp}, ExitBadInput},
		{"never, and cancelled", cancelled, 100, nil, nil, context.Canceled, ExitCancelled},
		{"the half at the deadline", deadline, 50, failure.NotStarted(deadline), nil, failure.ErrDeadline, ExitOK},
		{"any at the deadline", deadline, 0, failure.NotStarted(deadline), nil, failure.ErrDeadline, ExitFailed},
		{"never, and the deadline came in the set-up", deadline, 100, nil, nil, fmt.Errorf("cloning: %w", failure.ErrDeadline), ExitFailed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := beginRecord(t)
			r.facts.MissingAllowedPercent = c.allowed
			if c.err == nil || c.second != nil {
				for i, target := range r.targets {
					out := &outcome.Outcome{Target: target, Tags: target.Tags, Started: time.Now(), Finished: time.Now()}
					if i == 1 && c.second != nil {
						out.Err = c.second
					}
					r.Ended(c.ctx, out)
				}
			}
			for _, v := range c.verified {
				r.Verified(v)
			}
			code := r.finish(c.ctx, r.work, r.targets, c.err)
			if code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			verdict := regexp.MustCompile(`(?m)^(❌|✅|⚠) (The record|The set-up|Verif|Stop|Nothing|No image|Cancel|All|The image|[0-9]+ of).*$`).FindString(r.said.String())
			if failed := strings.HasPrefix(verdict, "❌"); failed != (code != ExitOK && code != ExitCancelled) {
				t.Errorf("exit code %d, and the summary begins with %s", code, strings.Split(verdict, "\n")[0])
			}
		})
	}
}

// A plan that is not complete fails the dry run, although no image is missing for it.
func TestDryRunAtTheDeadline(t *testing.T) {
	ctx, stop := withDeadline(t.Context(), time.Nanosecond, time.Now().Add(-time.Hour))
	defer stop()
	var said bytes.Buffer
	rec := newRecord(Process{Stdout: &said}, nil)
	rec.facts.MissingAllowedPercent = 100
	code := dryRun(ctx, config.Config{DryRun: true}, nil, []plan.Target{{InstanceID: "a__a-1"}}, &workspace{root: t.TempDir()}, rec)
	if code != ExitFailed || !strings.Contains(said.String(), "error: making the plan: the run's deadline was reached") {
		t.Errorf("exit code %d:\n%s", code, &said)
	}
}

// The report waits for what the deadline ends. A cancel after the deadline is as urgent as any.
func TestEndOfARun(t *testing.T) {
	cases := []struct {
		name       string
		takes      time.Duration // to end
		cancel     time.Duration // after the deadline; 0 is never
		want       time.Duration // after the deadline
		incomplete bool
	}{
		{"it ends", 20 * time.Second, 0, 20 * time.Second, false},
		{"it never ends", time.Hour, 0, stopWithin, true},
		{"it is cancelled, too", time.Hour, 10 * time.Second, 10*time.Second + reportWithin, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := beginRecord(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begin := time.Now()
				run, stop := withDeadline(ctx, time.Minute, begin)
				defer stop()
				if c.cancel > 0 {
					time.AfterFunc(time.Minute+c.cancel, cancel)
				}
				var part sync.WaitGroup
				part.Add(1)
				err := untilEnd(ctx, run, r.record, func() error {
					defer part.Done()
					<-run.Done()
					time.Sleep(c.takes)
					return nil
				})
				if took := time.Since(begin) - time.Minute; took != c.want || (err != nil) != c.incomplete {
					t.Errorf("the report began %v after the deadline, with %v", took, err)
				}
				if !errors.Is(context.Cause(run), failure.ErrDeadline) {
					t.Errorf("the run ended by %v", context.Cause(run))
				}
				part.Wait()
			})
		})
	}
}
