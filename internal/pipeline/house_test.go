package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/closure"
)

// house is where runs that rebase take place: two registries without a network, and a fake of the SDK.
type house struct {
	hosts      registrytest.Hosts
	hub, ours  *registrytest.GitHub
	bases      map[string]v1.Image // by instance
	options    string              // what else images are made with
	config     config.Config
	environ    []string
	sha, agent string
	// takes is how long the fake SDK builds, and fails why it does not, by what it is asked for.
	takes func(what string) time.Duration
	fails func(what string) error
	// more is what the target's stage has beside the agent's layer, and configured what that makes of a configuration.
	more       string
	configured func(*v1.ConfigFile)
	// others are the agents of what does not get the house's, by what it is.
	others map[string]string

	mu     sync.Mutex
	builds int
	events []event
}

// event is the begin or the end of one of the SDK's builds, or of an image.
type event struct {
	what string
	at   time.Duration
}

// dockerfile has the stages of the SDK's that count here.
const dockerfile = `ARG BASE_IMAGE
FROM python AS builder
FROM ${BASE_IMAGE} AS base-image-minimal
FROM base-image-minimal AS source-minimal
COPY --from=builder /agent-server /agent-server
`

const ours, hub = "images.test/eval", "hub.test/bench"

func newHouse(t *testing.T) *house {
	t.Helper()
	quiet := func() http.Handler { return inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))) }
	h := &house{
		hub: registrytest.New(quiet(), 0, 1), ours: registrytest.New(quiet(), 0, 1), bases: map[string]v1.Image{},
		sha: strings.Repeat("a", 40), agent: "one",
		takes: func(string) time.Duration { return time.Minute }, fails: func(string) error { return nil },
		configured: func(*v1.ConfigFile) {},
		config: config.Config{
			Image: ours, EvalBaseImage: ours, Target: "source-minimal", Strategy: config.StrategyAuto, MaxWorkers: 4, BatchSize: 100,
			ImageTimeout: time.Hour, BuildDir: "builds",
		},
	}
	h.ours.Deletes = true
	h.hosts = registrytest.Hosts{"hub.test": h.hub, "images.test": h.ours}
	docker := t.TempDir()
	h.environ = []string{"PATH=" + docker + ":" + os.Getenv("PATH")}
	// The check of an eval-base reads what a build left in a folder.
	script := `#!/bin/sh
for word; do case $word in type=local,dest=*) to=${word#type=local,dest=};; esac; done
cat >/dev/null; : >$to/paths; echo openhands:x:10001:10001::/: >$to/passwd; echo openhands:x:10001: >$to/group
`
	if err := os.WriteFile(filepath.Join(docker, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", docker+":"+os.Getenv("PATH"))
	return h
}

// targets are instances with base images of their own.
func (h *house) targets(t *testing.T, ids ...string) []plan.Target {
	t.Helper()
	var all []plan.Target
	for _, id := range ids {
		reference := hub + "/" + id + ":latest"
		if h.bases[id] == nil {
			h.bases[id] = registrytest.Base(id)
			if err := registrytest.Push(h.hosts, reference, h.bases[id]); err != nil {
				t.Fatal(err)
			}
		}
		target := plan.Target{InstanceID: id, BaseImage: reference, CustomTag: id + h.options}
		target.Tags = []string{h.tag(h.config.Image, h.sha, target.CustomTag, h.config.Target)}
		all = append(all, target)
	}
	return all
}

func (*house) tag(image, sha, custom, target string) string {
	return fmt.Sprintf("%s:%.7s-%s-%s", image, sha, custom, target)
}

// Build is the SDK's: it pushes what a request asks for.
func (h *house) Build(ctx context.Context, r sdk.Request) (sdk.Response, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.BaseImage, hub+"/"), ":")
	name, _, _ = strings.Cut(name, "@")
	sha := h.sha
	if r.GitSHA != "" {
		sha = r.GitSHA
	}
	what := "image " + name
	switch {
	case r.Target != baseStage && strings.HasPrefix(r.CustomTag, "verify"):
		what = "comparison " + name
	case r.Target == baseStage && r.GitSHA == "unknown":
		what = "eval-base " + name
	case r.Target == baseStage:
		what = "base stage " + name
	}
	h.note("begin " + what)
	defer h.note("end " + what)
	failure := h.fails(what)
	for half := range 2 {
		select {
		case <-time.After(h.takes(what) / 2):
		case <-ctx.Done():
			return sdk.Response{}, ctx.Err()
		}
		if half == 0 && failure == nil {
			if err := exporting(r.LogPath); err != nil {
				return sdk.Response{}, err
			}
		}
	}
	if failure != nil {
		return sdk.Response{}, failure
	}
	img := registrytest.EvalBase(h.bases[name], sha, name+sha+h.options)
	if r.Target != baseStage {
		agent, other := h.others[what]
		if !other {
			agent = h.agent
		}
		img = registrytest.Configured(registrytest.Final(img, agent), h.configured)
	}
	tag := h.tag(r.Image, sha, r.CustomTag, r.Target)
	return sdk.Response{Tags: []string{tag}}, registrytest.Push(h.hosts, tag, img)
}

// exporting says what BuildKit says when all stages are built.
func exporting(path string) error {
	log, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = log.WriteString("#9 exporting to image\n")
	return errors.Join(err, log.Close())
}

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a synctest bubble

func (h *house) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event{what, time.Since(start).Round(time.Second)})
}

// did are the things of a kind that happened, sorted.
func (h *house) did(kind string) []string {
	var all []string
	for _, e := range h.events {
		if name, is := strings.CutPrefix(e.what, "begin "+kind+" "); is {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// ran is a run that has ended.
type ran struct {
	*run
	said *bytes.Buffer
}

// newRun is a run that has come to its first missing image. It has a builder, unless engine is false.
func (h *house) newRun(t *testing.T, engine bool) *ran {
	t.Helper()
	h.events = nil
	out := &bytes.Buffer{}
	r := &run{config: h.config, environ: slices.Concat(h.environ, []string{"DOCKER_HOST=tcp://127.0.0.1:1"}), workspace: t.TempDir()}
	r.stdout = report.NewScreen(out, r.getenv)
	r.actions = actions.New(out, r.getenv)
	r.checkout = sdk.Checkout{Root: r.workspace, SHA: h.sha}
	r.logs = filepath.Join(r.workspace, "logs")
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.workspace, "openhands-agent-server/openhands/agent_server/docker/Dockerfile")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(dockerfile+h.more), 0o644)); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.ledger, err = ledger.Open(r.workspace); err != nil {
		t.Fatal(err)
	}
	r.registry = registry.New(authn.DefaultKeychain, h.hosts)
	r.registry.Copying = r.copying
	if engine {
		r.builder.once.Do(func() {})
	}
	return &ran{r, out}
}

// rebase makes the targets that are missing.
func (h *house) rebase(t *testing.T, engine bool, targets []plan.Target) *ran {
	t.Helper()
	r := h.newRun(t, engine)
	if err := h.begin(t, r, targets); err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *house) begin(t *testing.T, r *ran, targets []plan.Target) error {
	t.Helper()
	r.targets = targets
	r.console = report.NewConsole(r.actions.Info, r.stdout, len(targets), h.config.MaxWorkers)
	missing, err := r.findMissing(t.Context())
	if err != nil || len(missing) == 0 {
		return err
	}
	h.rebasing(t, r).make(t.Context(), missing)
	return nil
}

// rebasing is what a run knows when it has asked the SDK.
func (h *house) rebasing(t *testing.T, r *ran) *rebasing {
	t.Helper()
	taken, err := closure.TakenBy([]byte(dockerfile+h.more), h.config.Target)
	if err != nil {
		t.Fatal(err)
	}
	return &rebasing{run: r.run, pool: h, baseKey: closure.BaseKey{Hash: "closure"}, taken: taken, set: "set" + h.options}
}

// made tells how each instance was made: a strategy, "there", or the class of its failure, with a refusal's reason.
func (r *ran) made() map[string]string {
	all := map[string]string{}
	for _, e := range r.entries {
		how := string(e.Strategy)
		switch {
		case e.Status == "failed":
			how = string(e.ErrorClass)
		case e.Status == "skipped_remote_exists":
			how = "there"
		}
		if e.StrategyReason != "" {
			how += ": " + string(e.StrategyReason)
		}
		all[e.InstanceID] = how
	}
	return all
}

func digestOf(content []byte) string { return digest.FromBytes(content).String() }
