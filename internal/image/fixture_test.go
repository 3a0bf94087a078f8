package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

// fixture is where runs take place: two registries without a network, and a fake of the SDK.
type fixture struct {
	hosts     registrytest.Hosts
	hub, ours *registrytest.GitHub
	bases     map[string]v1.Image // by instance
	options   string              // what else images are made with
	settings  Settings
	environ   []string
	sha       string
	agent     string
	// takes is how long the fake SDK builds, and fails is why it does not, by what it is asked for.
	takes func(what string) time.Duration
	fails func(what string) error
	// quiet leaves out of logs that all stages are built.
	quiet bool
	// workers build in place of the fake SDK.
	workers Workers
	// disk is a builder in place of one with all the room in the world.
	disk Builder
	// docker is the folder of the docker command.
	docker string
	// more is what the target's stage has beside the agent's layer, and configured is what that makes of a configuration.
	more       string
	configured func(*v1.ConfigFile)
	// built is what layers depend on that each builder makes otherwise, such as times.
	built string
	// longTags are a second tag for each image, with the whole commit, as the SDK's releases from 1.22.0 make it.
	longTags bool
	// between are the transports between the registry client and the registries.
	between func(http.RoundTripper) http.RoundTripper
	// others are the agents of what does not get the fixture's, by what it is.
	others map[string]string
	// restarts counts how often BuildKit was restarted.
	restarts atomic.Int32

	mu     sync.Mutex
	events []event
}

// dockerfile has the stages of the SDK's that count here.
const dockerfile = `ARG BASE_IMAGE
FROM python AS builder
FROM ${BASE_IMAGE} AS base-image-minimal
FROM base-image-minimal AS source-minimal
COPY --from=builder /agent-server /agent-server
`

// event is the begin or the end of one of the SDK's builds, or of an image.
type event struct {
	what string
	at   time.Duration
}

const ours, hub = "images.test/eval", "hub.test/bench"

func newFixture(t *testing.T) *fixture {
	t.Helper()
	quiet := func() http.Handler { return inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))) }
	f := &fixture{
		hub: registrytest.New(quiet(), 0, 1), ours: registrytest.New(quiet(), 0, 1), bases: map[string]v1.Image{},
		sha: strings.Repeat("a", 40), agent: "one",
		takes: func(string) time.Duration { return time.Minute }, fails: func(string) error { return nil },
		configured: func(*v1.ConfigFile) {},
		settings: Settings{
			Repository: ours, EvalBaseRepository: ours, MaxWorkers: 4, ImageTimeout: time.Hour,
			OwnStages: []string{"base-image-minimal", "source-minimal"},
			Request:   sdk.Request{Image: ours, Target: "source-minimal", Timeout: time.Hour},
		},
	}
	f.ours.Deletes = true
	f.hosts = registrytest.Hosts{"hub.test": f.hub, "images.test": f.ours}
	f.docker = t.TempDir()
	path := f.docker + ":" + os.Getenv("PATH")
	f.environ = []string{"PATH=" + path}
	t.Setenv("PATH", path)
	// The inspection of an eval-base reads what a build left in a folder.
	f.dockerIs(t, `for word; do case $word in type=local,dest=*) to=${word#type=local,dest=};; esac; done
cat >/dev/null; : >$to/paths; echo openhands:x:10001:10001::/: >$to/passwd; echo openhands:x:10001: >$to/group
`)
	return f
}

// dockerIs has a shell script for a docker command.
func (f *fixture) dockerIs(t *testing.T, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.docker, "docker"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// native is a fixture none of whose images is rebased.
func native(t *testing.T) *fixture {
	f := newFixture(t)
	f.settings.NotRebased = "strategy native"
	return f
}

// with is a fixture whose eval-bases are in some repository.
func with(t *testing.T, evalBases string) *fixture {
	t.Helper()
	f := newFixture(t)
	f.settings.EvalBaseRepository = evalBases
	return f
}

// atOnce is a fixture whose fake SDK takes no time.
func atOnce(t *testing.T) *fixture {
	f := newFixture(t)
	f.takes = func(string) time.Duration { return 0 }
	return f
}

// targets are instances with base images of their own.
func (f *fixture) targets(t *testing.T, ids ...string) []plan.Target {
	t.Helper()
	var all []plan.Target
	for _, id := range ids {
		reference := hub + "/" + id + ":latest"
		if f.bases[id] == nil {
			f.bases[id] = registrytest.Base(id)
			if err := registrytest.Push(f.hosts, reference, f.bases[id]); err != nil {
				t.Fatal(err)
			}
		}
		target := plan.Target{InstanceID: id, BaseImage: reference, CustomTag: id + f.options}
		target.Tags = []string{f.tag(f.settings.Repository, f.sha, target.CustomTag, f.settings.Request.Target)}
		if f.longTags {
			target.Tags = append(target.Tags, longTag(f.settings.Repository, f.sha, target.CustomTag, f.settings.Request.Target))
		}
		all = append(all, target)
	}
	return all
}

func (*fixture) tag(image, sha, custom, target string) string {
	return fmt.Sprintf("%s:%.7s-%s-%s", image, sha, custom, target)
}

func longTag(image, sha, custom, target string) string {
	return fmt.Sprintf("%s:%s-%s-%s", image, sha, custom, target)
}

// Build is the SDK's: it pushes what a request asks for.
func (f *fixture) Build(ctx context.Context, r sdk.Request) (sdk.Response, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.BaseImage, hub+"/"), ":")
	name, _, _ = strings.Cut(name, "@")
	sha := f.sha
	if r.GitSHA != "" {
		sha = r.GitSHA
	}
	what := "image " + name
	switch {
	case r.Target != BaseStageTarget && strings.HasPrefix(r.CustomTag, "verify"):
		what = "comparison " + name
	case r.Target == BaseStageTarget && r.GitSHA == "unknown":
		what = "eval-base " + name
	case r.Target == BaseStageTarget:
		what = "base stage " + name
	}
	f.note("begin " + what)
	defer f.note("end " + what)
	failed := f.fails(what)
	for half := range 2 {
		select {
		case <-time.After(f.takes(what) / 2):
		case <-ctx.Done():
			return sdk.Response{}, fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx))
		}
		if half == 0 && failed == nil && !f.quiet {
			if err := sayExporting(r.LogPath); err != nil {
				return sdk.Response{}, err
			}
		}
	}
	if failed != nil {
		return sdk.Response{}, failed
	}
	img := registrytest.EvalBase(f.bases[name], sha, name+sha+f.options+f.built)
	if r.Target != BaseStageTarget {
		agent, other := f.others[what]
		if !other {
			agent = f.agent
		}
		if f.built != "" {
			agent += ";again"
		}
		img = registrytest.WithConfig(registrytest.Final(img, agent), f.configured)
	}
	tags := []string{f.tag(r.Image, sha, r.CustomTag, r.Target)}
	if f.longTags || strings.HasPrefix(r.CustomTag, "verify") { // where all that the SDK pushes has to be removed again
		tags = append(tags, longTag(r.Image, sha, r.CustomTag, r.Target))
	}
	for _, tag := range tags {
		if err := registrytest.Push(f.hosts, tag, img); err != nil {
			return sdk.Response{}, err
		}
	}
	return sdk.Response{Tags: tags}, nil
}

// sayExporting says what BuildKit says when all stages are built.
func sayExporting(path string) error {
	log, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = log.WriteString("#9 exporting to image\n")
	return errors.Join(err, log.Close())
}

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a synctest bubble

func (f *fixture) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, event{what, time.Since(start).Round(time.Second)})
}

// did are the things of a kind that happened, sorted.
func (f *fixture) did(kind string) []string {
	var all []string
	for _, e := range f.events {
		if name, is := strings.CutPrefix(e.what, "begin "+kind+" "); is {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// ran is a run, and what it reported. It is a Reporter, also of the registry client.
type ran struct {
	maker    *Maker
	registry *registry.Client
	logs     string
	err      error // of Maker.All

	mu            sync.Mutex
	ended         context.Context // of the last outcome
	outcomes      []*outcome.Outcome
	references    []ledger.Reference
	treesCompared bool
	verified      []ledger.Verified
	beside        []ledger.Work
	warnings      []string
	said          bytes.Buffer
	copied        int64
	waits         []time.Duration
	doing         map[string]string // by instance
	running, most int               // builds
	started       int
}

func (r *ran) Started(plan.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running++
	r.started++
	r.most = max(r.most, r.running)
}

func (r *ran) Stopped(plan.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
}

func (r *ran) Doing(t plan.Target, what, layer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doing == nil {
		r.doing = map[string]string{}
	}
	r.doing[t.InstanceID] = strings.TrimSpace(what + " " + layer)
}

// does is what the images do or wait for now, outside of builds.
func (r *ran) does() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.doing)
}

func (r *ran) Waiting(_ plan.Target, _ int, _ error, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits = append(r.waits, wait)
}

func (r *ran) Ended(ctx context.Context, out *outcome.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = ctx
	r.outcomes = append(r.outcomes, out)
}

func (r *ran) Reference(reference ledger.Reference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.references = append(r.references, reference)
}

func (r *ran) TreesCompared() { r.treesCompared = true }

func (r *ran) Verified(v ledger.Verified) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verified = append(r.verified, v)
}

func (r *ran) Phase(string, time.Time) {}

func (r *ran) Beside(what string, out *outcome.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beside = append(r.beside, ledger.WorkOf(what, out))
}

func (r *ran) Info(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(&r.said, message)
}

func (r *ran) Warn(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, message)
}

func (r *ran) Copying(_ string, done, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done == 0 {
		r.said.WriteString("copying, because the registry does not mount it\n")
	} else if done == size {
		r.copied += size
	}
}

func (r *ran) Pausing(host string, wait time.Duration) {
	r.Info(fmt.Sprintf("%s asks to wait for %s", host, wait))
}

// errNoBuilder is the error of a run without a builder.
var errNoBuilder = errors.New("there is no builder here")

// fakeBuilder is a builder that is there, or is not.
type fakeBuilder struct {
	err      error
	restarts *atomic.Int32
}

func (b fakeBuilder) Reach(context.Context) error { return b.err }
func (b fakeBuilder) Instance(context.Context) string {
	if b.restarts == nil {
		return ""
	}
	return fmt.Sprint("BuildKit ", b.restarts.Load())
}
func (b fakeBuilder) Prune(context.Context, bool)  {}
func (b fakeBuilder) Space(context.Context) string { return "free: nothing" }

// newRun is a run that has not begun. It has a builder, unless builder is false.
func (f *fixture) newRun(t *testing.T, builder bool) *ran {
	t.Helper()
	f.events = nil
	r := &ran{}
	var transport http.RoundTripper = f.hosts
	if f.between != nil {
		transport = f.between(transport)
	}
	r.registry = registry.New(authn.DefaultKeychain, transport, r)
	s := f.settings
	s.SHA, s.Environ = f.sha, f.environ
	if s.Workspace == "" {
		s.Workspace = t.TempDir()
	}
	s.Logs = filepath.Join(s.Workspace, "logs")
	r.logs = s.Logs
	if s.BaseStage == nil && s.NotRebased == "" {
		uses, err := basekey.UsesOf([]byte(dockerfile+f.more), s.Request.Target)
		if err != nil {
			t.Fatal(err)
		}
		s.BaseStage = &BaseStage{Key: basekey.Key{Hash: "closure"}, Uses: rebase.Uses(uses), Set: "set" + f.options}
	}
	if err := os.MkdirAll(s.Logs, 0o755); err != nil {
		t.Fatal(err)
	}
	b := f.disk
	switch {
	case !builder:
		b = fakeBuilder{errNoBuilder, &f.restarts}
	case b == nil:
		b = fakeBuilder{nil, &f.restarts}
	}
	workers := f.workers
	if workers == nil {
		workers = f
	}
	r.maker = New(s, r.registry, workers, b, r)
	return r
}

// run makes the targets that are missing.
func (f *fixture) run(t *testing.T, builder bool, targets []plan.Target) *ran {
	t.Helper()
	r := f.newRun(t, builder)
	r.makeAll(t, f, targets)
	return r
}

func (r *ran) makeAll(t *testing.T, f *fixture, targets []plan.Target) {
	t.Helper()
	missing := targets
	if !f.settings.Force {
		var done []*outcome.Outcome
		missing, done, r.err = FindMissing(t.Context(), r.registry, f.settings.Repository, targets, f.settings.MaxRetries)
		r.outcomes = append(r.outcomes, done...)
	}
	if r.err == nil && len(missing) > 0 {
		r.err = r.maker.All(t.Context(), missing)
	}
}

// made tells how each instance was made: a strategy, "there", or the class of its failure, with the reason why it was not
// rebased.
func (r *ran) made() map[string]string {
	all := map[string]string{}
	for _, out := range r.outcomes {
		how := out.Strategy
		switch out.Status() {
		case outcome.Failed:
			how = string(failure.ClassOf(out.Err))
		case outcome.Skipped:
			how = "there"
		}
		if out.NotRebased != "" {
			how += ": " + out.NotRebased
		}
		all[out.Target.InstanceID] = how
	}
	return all
}

func digestOf(content []byte) string { return digest.FromBytes(content).String() }
