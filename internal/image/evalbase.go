package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/OpenHands/eval-images/internal/confined"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

// BaseStageTarget is the stage of the SDK's Dockerfile that eval-bases are made of. The name is one of the targets of the
// SDK's BuildOptions.
const BaseStageTarget = "base-image-minimal"

// BaseStage identifies what the SDK's stage base-image-minimal is made of.
type BaseStage struct {
	// Key is everything that the stage can see, beside the base image. It gives the keys of eval-bases.
	Key basekey.Key
	// Uses is what the target's stage uses of the base stage.
	Uses rebase.Uses
	// Set is a hash of everything that decides, beside commit and base image, what an image is. It names references.
	Set string
}

// EvalBaseTag is the tag of the eval-base with this key.
func EvalBaseTag(key string) string { return "eval-base-" + key }

// EvalBaseFacts counts the eval-bases of a run.
type EvalBaseFacts struct {
	Made, Reused int
	// Oldest is when the oldest of those reused was made; zero where none was.
	Oldest time.Time
}

// evalBases is what a run knows of its eval-bases.
type evalBases struct {
	canary  *Canary
	making  singleflight.Group  // by key
	line    *semaphore.Weighted // held by the one that asks for a slot: see inSlotAfterReferences
	ready   chan struct{}       // closed when references may begin: see answered
	mu      sync.Mutex
	waitFor int             // targets that have to be answered
	done    map[string]bool // targets that were answered, by instance
	made    map[string]bool // by key
	reused  map[string]time.Time
}

func newEvalBases() *evalBases {
	return &evalBases{
		canary: NewCanary(), line: semaphore.NewWeighted(1), ready: make(chan struct{}),
		done: map[string]bool{}, made: map[string]bool{}, reused: map[string]time.Time{},
	}
}

// expect sets for how many targets an eval-base will be looked for.
func (b *evalBases) expect(targets int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waitFor = targets
	b.openWhenReady()
}

// answered says that a target has its eval-base, or does without one for now. References begin when the first eval-base was
// made, or when no target needs one that has to be made: then the stage that all images share is in the builder's cache, if
// this run needs it.
func (b *evalBases) answered(t plan.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done[t.InstanceID] = true
	b.openWhenReady()
}

// openWhenReady needs the lock.
func (b *evalBases) openWhenReady() {
	if len(b.made) == 0 && len(b.done) < b.waitFor {
		return
	}
	select {
	case <-b.ready:
	default:
		close(b.ready)
	}
}

func (b *evalBases) addMade(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made[key] = true
	b.openWhenReady()
}

// forget notes that an eval-base that was made is not there any more.
func (b *evalBases) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.made, key)
}

func (b *evalBases) isMade(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made[key]
}

// addReused notes a target that uses an eval-base of an earlier run.
func (b *evalBases) addReused(t plan.Target, key string, created time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.made[key] {
		b.reused[t.InstanceID] = created
	}
}

// EvalBaseFacts returns what is known so far.
func (m *Maker) EvalBaseFacts() EvalBaseFacts {
	b := m.bases
	b.mu.Lock()
	defer b.mu.Unlock()
	f := EvalBaseFacts{Made: len(b.made), Reused: len(b.reused)}
	for _, created := range b.reused {
		if !created.IsZero() && (f.Oldest.IsZero() || created.Before(f.Oldest)) {
			f.Oldest = created
		}
	}
	return f
}

// evalBase returns the target's eval-base, which was found by the decision or is made now. A *rebase.Refusal says that the
// image cannot be rebased on it; other errors are a *failure.Error.
func (m *Maker) evalBase(ctx context.Context, t plan.Target, d Decision, out *outcome.Outcome) (FetchedImage, error) {
	defer m.bases.answered(t)
	if d.base == "" { // its base image has to be made first, and only then has a digest
		base, err := m.pipBaseInSlot(ctx, t, out)
		if err != nil {
			return FetchedImage{}, err
		}
		d, err = m.lookUp(ctx, out, func() (Decision, error) { return m.decideOn(ctx, base) })
		if err != nil {
			return FetchedImage{}, err
		}
	}
	if t.PipRequirements != "" {
		d.base = m.bringPipBase(ctx, d.base)
		m.used.add(pipTagOf(d.base))
	}
	m.used.add(d.EvalBase)
	if d.evalBase != nil {
		created, _ := rebase.CreatedAt(d.evalBase.Manifest)
		m.bases.addReused(t, d.key, created)
		return m.bringEvalBase(ctx, d, out), nil
	}
	if err := m.makeEvalBase(ctx, t, d, out); err != nil {
		return FetchedImage{}, err
	}
	var made FetchedImage
	err := m.lookUps.do(ctx, out, outcome.WaitingToLookUp, func() (err error) {
		out.Enter(outcome.LookUp)
		defer addTime(&out.Check, time.Now())
		made, err = Fetch(ctx, m.registry, m.EvalBaseRepository+":"+d.EvalBase)
		return err
	})
	if errors.Is(err, registry.ErrNotFound) { // it was deleted since, and the next attempt makes it again
		m.bases.forget(d.key)
	}
	if err == nil {
		err = rebase.IsRebasable(made.Manifest)
	}
	return made, registryFailure(ctx, "reading the eval-base that was made", err)
}

// makeEvalBase makes an eval-base once. A target that asks after it was made gets it. If an attempt fails, it fails for every target
// that waits for it; each may try again.
func (m *Maker) makeEvalBase(ctx context.Context, t plan.Target, d Decision, out *outcome.Outcome) error {
	m.report.Doing(t, "waiting for an eval-base", "")
	out.Enter(outcome.WaitingForEvalBase)
	log, err, shared := m.bases.making.Do(d.key, func() (any, error) {
		if m.bases.isMade(d.key) {
			return out.LogPath, nil
		}
		if err := m.mayPushEvalBases(ctx); err != nil {
			return out.LogPath, err
		}
		err := m.bases.canary.Do(ctx, m.retries, out, func() error {
			return m.inSlotAfterReferences(ctx, t, out, func() error {
				if err := m.bases.canary.Broken(); err != nil {
					return err
				}
				return m.inTime(evalBaseWay, func() error { return m.buildEvalBase(ctx, t, d, out) })
			})
		})
		if err == nil {
			m.bases.addMade(d.key)
		}
		return out.LogPath, err
	})
	if shared && err != nil {
		out.LogPath, _ = log.(string)
	}
	return err
}

// buildEvalBase has the SDK build the base stage on the base image, looks into it, and gives it the tag of its key only then:
// what has that tag is complete, and was inspected.
func (m *Maker) buildEvalBase(ctx context.Context, t plan.Target, d Decision, out *outcome.Outcome) error {
	bounded, cancel := m.withTimeout(ctx)
	defer cancel()
	out.Enter(outcome.EvalBase)
	response, err := m.buildWithSDK(bounded, sdkBuild{
		Request: BaseStageRequest(m.Request, m.EvalBaseRepository, "unknown", d.base, d.key), What: "eval-base, ", Log: m.logOf(t.InstanceID, ""),
	}, out)
	if err != nil {
		return err
	}
	defer addTime(&out.Build, time.Now())
	out.Enter(outcome.Inspect)
	verdict, err := m.inspect(bounded, d.base, response.Tags[0], m.logOf(t.InstanceID, ""))
	if err != nil {
		return fmt.Errorf("inspecting the eval-base: %w", err)
	}
	built, err := Fetch(ctx, m.registry, response.Tags[0])
	if err == nil {
		base, digest, _ := strings.Cut(d.base, "@")
		marked := rebase.Mark(built.Image, verdict, base, digest, time.Now())
		err = m.registry.PutManifest(ctx, m.EvalBaseRepository+":"+d.EvalBase, registry.Manifest{MediaType: marked.MediaType, Raw: marked.Manifest})
	}
	return registryFailure(ctx, "tagging the eval-base", err)
}

// BaseStageRequest is the request for the SDK's base stage, which needs no sdist. An empty gitSHA is the run's commit.
func BaseStageRequest(common sdk.Request, image, gitSHA, baseImage, customTag string) sdk.Request {
	common.Target, common.Image, common.GitSHA, common.Sdist = BaseStageTarget, image, gitSHA, ""
	common.BaseImage, common.CustomTag = baseImage, customTag
	return common
}

// The user that the agent's files belong to, by the SDK's Dockerfile (ARG USERNAME, UID, GID). COPY asks the image's own
// /etc/passwd and /etc/group for the numbers.
const agentUser, agentUID, agentGID = "openhands", "10001", "10001"

// inspect looks, on the builder, into a base image and the base stage that was built on it, and returns a mark: whether the
// agent's layers would land on it as a build's COPY does.
func (m *Maker) inspect(ctx context.Context, baseImage, built, log string) (mark string, err error) {
	folder, err := os.MkdirTemp(m.Temporary, "eval-base-")
	if err != nil {
		return "", ofMachine(err)
	}
	defer os.RemoveAll(folder)
	args := []string{"--platform", Platform, "--output", "type=local,dest=" + folder}
	if err := docker.Build(ctx, m.Environ, log, m.StallTimeout, args, "", inspectDockerfile(baseImage, built), baseImage); err != nil {
		return "", err
	}
	mark, err = checkInspected(folder)
	var refused *confined.Refused
	if errors.As(err, &refused) {
		return rebase.MarkRefused + "its file " + refused.Error(), nil
	}
	return mark, ofMachine(err)
}

// maxInspected is how many bytes are read of each file of an inspection. Its programs and files are those of the base image, so
// it may say anything, for ever. /etc/passwd of Debian has 1 kB.
const maxInspected = 16 << 10

// checkInspected returns the mark for what the inspection has left in a folder.
func checkInspected(folder string) (mark string, err error) {
	text, err := confined.Read(folder, "paths", maxInspected)
	if err != nil {
		return "", err
	}
	if found := strings.TrimSpace(string(text)); found != "" {
		lines := strings.Split(found, "\n")
		if slices.ContainsFunc(lines, func(line string) bool { return !inspectedPath.MatchString(line) }) {
			return "", &confined.Refused{Name: "paths", Reason: "is not what the inspection writes: its shell is no usual one"}
		}
		return rebase.MarkRefused + "its base image has " + strings.Join(lines, ", "), nil
	}
	return checkUser(folder)
}

// inspectedPath matches a line that the inspection writes for a path that the base image has.
var inspectedPath = regexp.MustCompile(`^/(agent-server|acp-node) as a (symbolic link|folder|file)$`)

// ofMachine is the error of a file operation as a *failure.Error: a full disk is worth another attempt.
func ofMachine(err error) error {
	if err == nil {
		return nil
	}
	return &failure.Error{Class: diskOr(failure.ClassUnknown, err.Error()), Err: err}
}

// inspectDockerfile looks for what the agent's layers would land on. The base image needs a shell for it, as for the SDK's
// stages.
func inspectDockerfile(base, built string) string {
	return `FROM ` + base + ` AS base
USER 0
RUN ["/bin/sh", "-c", "for path in /agent-server /acp-node; do if [ -L $path ]; then echo $path as a symbolic link; elif [ -d $path ]; then echo $path as a folder; elif [ -e $path ]; then echo $path as a file; fi; done >/eval-images-paths"]
FROM ` + built + ` AS made
FROM scratch
COPY --from=base /eval-images-paths /paths
COPY --from=made /etc/passwd /passwd
COPY --from=made /etc/group /group
`
}

// checkUser checks the numbers of the agent's user and group.
func checkUser(folder string) (mark string, err error) {
	fields, err := account(folder, "passwd")
	if err != nil {
		return "", err
	}
	if len(fields) < 4 || fields[2] != agentUID {
		return rebase.MarkRefused + fmt.Sprintf("its user %s has not the uid %s", agentUser, agentUID), nil
	}
	fields, err = account(folder, "group")
	if err != nil {
		return "", err
	}
	if len(fields) < 3 || fields[2] != agentGID {
		return rebase.MarkRefused + fmt.Sprintf("its group %s has not the gid %s", agentUser, agentGID), nil
	}
	return rebase.MarkPlain, nil
}

// account returns the fields of the first line for the agent's user in a file such as /etc/passwd, or none.
func account(folder, file string) ([]string, error) {
	content, err := confined.Read(folder, file, maxInspected)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == agentUser {
			return fields, nil
		}
	}
	return nil, nil
}
