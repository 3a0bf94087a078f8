// Package image makes sure that the image of each target exists: it decides how, makes the image, and reports what came of
// it. Maker.Image follows one image from its decision to its end.
package image

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/logfile"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// Platform is the only platform for which every instance has a base image.
const Platform = "linux/amd64"

// requestsAtOnce bounds the images that are looked up at once, and those that are put at once. The two have separate limits:
// in one queue the first image would be put when all had been looked up, and a registry that limits writes would have
// nothing to do until then.
const requestsAtOnce = 16

// Settings are what all images of a run have in common.
type Settings struct {
	// Repository is where images are pushed to.
	Repository string
	// EvalBaseRepository is where eval-bases, references and base images with Python packages are pushed to. What is not there is
	// looked for in OtherEvalBases, which is only read, and may be empty.
	EvalBaseRepository, OtherEvalBases string
	// EvalBasePushAllowed reports that the registry accepts pushes to EvalBaseRepository, so that it need not be asked.
	EvalBasePushAllowed bool
	// SHA is the SDK's commit.
	SHA string
	// Request is what all requests to the SDK have in common: image, target, options, sdist, timeout.
	Request sdk.Request
	// OwnStages are the stages of the SDK's Dockerfile that are built from the target's base image. Without them no failure
	// counts as one that concerns all images.
	OwnStages []string
	// BaseStage identifies the SDK's base stage. It is nil where no image of the run is rebased.
	BaseStage *BaseStage
	// NotRebased is why no image of the run can be rebased although that was asked for; else empty.
	NotRebased string
	// Strict fails an image that cannot be rebased. Without it such an image is built natively.
	Strict bool
	// Force makes images that exist again, and references.
	Force bool
	// MaxWorkers is how many builds run at once.
	MaxWorkers int
	// MaxRetries is how many attempts may follow the first one at an image.
	MaxRetries int
	// ImageTimeout bounds one image; 0 is no bound.
	ImageTimeout time.Duration
	// Deadline is when the run ends; zero is never. What would probably end later is not begun.
	Deadline time.Time
	// StallTimeout bounds the time in which a build prints nothing; 0 is no bound.
	StallTimeout time.Duration
	// ReferencesWait is how long the run waits for the references of another one, which makes them now: the first shard makes those of
	// all shards. Then the run makes its own. 0 does not wait.
	ReferencesWait time.Duration
	// OthersWait reports whether other runs wait for the references of this one, the first shard.
	OthersWait bool
	// EvalBaseMaxAge is the age from which an eval-base is made anew; 0 is none.
	EvalBaseMaxAge time.Duration
	// Verify is how many rebased images are compared with a native build. VerifyTree compares their files, too.
	Verify     int
	VerifyTree bool
	// Python is the interpreter that the SDK runs in.
	Python string
	// Workspace is the folder that log paths are relative to. Logs, below it, has a log for each image.
	Workspace, Logs string
	// Environ is the environment of docker commands.
	Environ []string
	// Temporary is the folder for temporary files. The run removes it.
	Temporary string
}

// RefusesAll reports whether every image fails: none can be rebased, and nothing else is allowed.
func (s Settings) RefusesAll() bool { return s.Strict && s.NotRebased != "" }

// Workers run the SDK's build; an *sdk.Pool does.
type Workers interface {
	Build(ctx context.Context, r sdk.Request) (sdk.Response, error)
}

// Builder is the run's BuildKit builder.
type Builder interface {
	// Reach reaches, adopts or makes the builder the first time. Later calls bring back a builder that has ended meanwhile. An
	// error is final, unless ctx has ended.
	Reach(ctx context.Context) error
	// Instance identifies the BuildKit that runs now. It is empty where none runs, or where that is not known.
	Instance(ctx context.Context) string
	// Prune makes room on the builder's disk. It keeps a part of the cache, or nothing with all. It reports its errors
	// itself.
	Prune(ctx context.Context, all bool)
	// Space says how much room the disks have that a build needs.
	Space(ctx context.Context) string
}

// Reporter receives the events of a run's images. Its methods must be safe for concurrent use.
type Reporter interface {
	// Started and Stopped report that a target got a slot for a build, and that it gave the slot back.
	Started(t plan.Target)
	Stopped(t plan.Target)
	// Doing reports what a target does or waits for, outside of builds; layer is the digest of one that it brings to the repository.
	// An empty text ends it.
	Doing(t plan.Target, what, layer string)
	// Waiting reports a failed attempt that is followed by another one after the wait.
	Waiting(t plan.Target, attempt int, err error, wait time.Duration)
	// Ended reports the outcome of a target.
	Ended(ctx context.Context, out *outcome.Outcome)
	// Reference reports an image that rebases learn from, and TreesCompared that two such images differ by digest only.
	Reference(r ledger.Reference)
	TreesCompared()
	// Verified reports the comparison of an image with a native build.
	Verified(v ledger.Verified)
	// Beside reports finished work for a target other than its image, such as a base stage.
	Beside(what string, out *outcome.Outcome)
	// Phase reports a part of the build that has ended now.
	Phase(name string, begin time.Time)
	Info(message string)
	Warn(message string)
}

// Maker makes the images of one run.
type Maker struct {
	Settings
	registry *registry.Client
	workers  Workers
	builder  Builder
	report   Reporter

	retries       Retries
	builds        *slots  // for what needs a builder or a worker
	lookUps, puts *slots  // for requests to registries
	canary        *Canary // of whole images that the SDK builds
	copies        layerCopies
	bases         *evalBases
	references    *references
	pace          pace
	// nonce is part of the tags of images that only this run needs. Another run of the same commit, which may be on at the same time, must
	// neither overwrite nor delete them: builds of two builders differ in every layer.
	nonce         string
	warnLax       sync.Once
	warnDeep      sync.Once
	missedBuilder atomic.Bool
	instance      atomic.Value // of BuildKit, that began the first build: a string
	restarted     atomic.Bool  // another one began a later build
	evalBasePush  pushProbe
	brought       broughtBases
	used          usedTags
	attemptsByLog map[string]int
	attemptsMu    sync.Mutex
}

// New returns a Maker for one run.
func New(s Settings, r *registry.Client, w Workers, b Builder, report Reporter) *Maker {
	return &Maker{
		Settings: s, registry: r, workers: w, builder: b, report: report,
		retries: Retries{Max: s.MaxRetries, Waiter: report},
		builds:  newSlots("build", s.MaxWorkers), lookUps: newSlots("look-up", requestsAtOnce), puts: newSlots("push", requestsAtOnce),
		canary: NewCanary(), bases: newEvalBases(), references: newReferences(), nonce: strings.ToLower(rand.Text()[:8]),
		attemptsByLog: map[string]int{}, copies: layerCopies{unwanted: make(chan struct{})},
	}
}

// All makes sure of the images of the targets, and returns when each has ended. One failure never stops the others. The
// error says why images were not tried, for want of a builder or of the right to push eval-bases. Every other failure is in
// its target's outcome.
//
// Where references are missing, All makes them, and rebases the other targets beside that. Some targets are held back until the
// references are known, because they may have to become references: only their eval-bases are made meanwhile. A run that waits
// for the references of another one does the same until then.
func (m *Maker) All(ctx context.Context, targets []plan.Target) error {
	defer close(m.copies.unwanted)
	if m.BaseStage != nil {
		m.references.find(ctx, m, nil)
	}
	missing := m.references.missing()
	ordered := Candidates(targets)
	if m.BaseStage != nil && buildable(ordered) < missing { // this run cannot make them
		m.references.await(ctx, m)
		missing = m.references.missing()
	}
	m.references.refused = m.references.disagree()
	if m.BaseStage == nil || buildable(ordered) < missing { // there is nothing to learn from
		m.sayNoReferences(ctx)
		return m.allNative(ctx, targets)
	}
	var held []plan.Target
	if missing > 0 {
		held = ordered[:min(mostCandidates, buildable(ordered))]
	}
	natively := missing // targets that become references, which need no eval-base
	if m.ReferencesWait > 0 {
		natively = 0
	}
	verifier := m.newVerifier(ordered[natively:])
	m.bases.expect(len(targets) - natively)

	var all sync.WaitGroup
	rebase := func(t plan.Target) {
		all.Go(func() { verifier.ended(m.Image(ctx, t, m.attempt)) })
	}
	if missing > 0 { // Reaching the builder takes seconds, and looking for eval-bases needs none.
		all.Go(func() { _ = m.builder.Reach(ctx) }) // the images that need it report the error
	}
	for _, t := range without(targets, held) {
		rebase(t)
	}
	warm := &warmEvalBases{errs: map[string]error{}}
	for _, t := range held[min(natively, len(held)):] {
		all.Go(func() { warm.make(ctx, m, t) })
	}
	all.Go(func() {
		for _, t := range m.learn(ctx, held, warm, verifier.ended) {
			rebase(t)
		}
		m.bringReferences(ctx)
	})
	if m.Verify > 0 {
		all.Go(func() { verifier.run(ctx) })
	}
	all.Wait()
	return m.untried(ctx)
}

// allNative builds the first targets one after the other, until one of them has passed the stages that all images share,
// and then the others together.
func (m *Maker) allNative(ctx context.Context, targets []plan.Target) error {
	attempt := m.native
	if m.RefusesAll() {
		attempt = m.refuse
	}
	var all sync.WaitGroup
	for _, t := range targets {
		ended := make(chan struct{})
		all.Go(func() {
			defer close(ended)
			m.Image(ctx, t, attempt)
		})
		select {
		case <-ended:
		case <-m.canary.Open():
			if m.canary.Broken() != nil { // report the reason before the images that are not tried for it
				<-ended
			}
		}
	}
	all.Wait()
	return m.untried(ctx)
}

// untried is why images were not tried, or nil.
func (m *Maker) untried(ctx context.Context) error {
	var noBuilder error
	if m.missedBuilder.Load() {
		noBuilder = m.builder.Reach(ctx)
	}
	noPush := m.evalBasePush.problem
	if failure.ByEnd(noPush) { // nobody knows whether it would have been accepted
		noPush = nil
	}
	return errors.Join(noBuilder, noPush)
}

func without(targets, others []plan.Target) []plan.Target {
	drop := map[string]bool{}
	for _, t := range others {
		drop[t.InstanceID] = true
	}
	var rest []plan.Target
	for _, t := range targets {
		if !drop[t.InstanceID] {
			rest = append(rest, t)
		}
	}
	return rest
}

// Image makes sure that the image of one target exists: it makes attempts until one succeeds or another one cannot help, and
// reports the outcome. Most images are made by m.attempt; references, and images of a run that rebases none, by m.native.
func (m *Maker) Image(ctx context.Context, t plan.Target, attempt func(context.Context, plan.Target, *outcome.Outcome) error) *outcome.Outcome {
	out := &outcome.Outcome{Target: t, Started: time.Now(), NotRebased: m.NotRebased}
	defer m.report.Doing(t, "", "")
	out.Err = m.retries.Do(ctx, out, func() error { return attempt(ctx, t, out) })
	out.Err = failure.AtDeadline(out.Err, len(out.Attempts))
	if failure.ClassOf(out.Err) == failure.ClassDeadline && out.WasMissing { // one that was there before shows nothing
		m.lookAgain(ctx, t, out)
	}
	out.Finished = time.Now()
	m.report.Ended(ctx, out)
	return out
}

// lastLook bounds the look for an image that the deadline has cut off.
const lastLook = 10 * time.Second

// lookAgain asks for an image that the deadline has cut off: its build may have pushed it just before. Without that look, the
// record would call an image missing that is there.
func (m *Maker) lookAgain(ctx context.Context, t plan.Target, out *outcome.Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	out.Enter(outcome.LookUp)
	if there, err := isPresent(ctx, m.registry, t, out); err == nil && there {
		out.Err, out.Skipped = nil, false
	}
}

// attempt is one attempt at an image: it decides how to make it, and makes it, by rebase or natively.
func (m *Maker) attempt(ctx context.Context, t plan.Target, out *outcome.Outcome) error {
	d, err := m.lookUp(ctx, out, func() (Decision, error) { return m.Decide(ctx, t) })
	if err == nil {
		err = m.rebase(ctx, t, d, out)
	}
	m.bases.answered(t) // whatever came of it, the references need not wait for its eval-base
	refusal := m.refusalOf(err, out)
	if refusal == nil {
		return err
	}
	out.NotRebased = refusal.Reason
	if m.Strict {
		return m.refuse(ctx, t, out)
	}
	return m.native(ctx, t, out)
}

// refuse fails an image that cannot be rebased, where nothing else is allowed.
func (m *Maker) refuse(_ context.Context, _ plan.Target, out *outcome.Outcome) error {
	return &failure.Error{Class: failure.ClassRefused, NotTried: true, Err: &rebase.Refusal{Reason: out.NotRebased}}
}

// lookUp runs decide in a look-up slot, and then reads the eval-base that was found.
func (m *Maker) lookUp(ctx context.Context, out *outcome.Outcome, decide func() (Decision, error)) (d Decision, err error) {
	m.report.Doing(out.Target, "asking registries what is there", "")
	err = m.lookUps.do(ctx, out, outcome.WaitingToLookUp, func() error {
		out.Enter(outcome.LookUp)
		defer addTime(&out.Check, time.Now())
		if d, err = decide(); err != nil {
			return err
		}
		return m.readEvalBase(ctx, &d)
	})
	return d, err
}

// refusalOf tells whether an image has to be built natively after err. Blobs that the registry has lost are such a reason
// only when further attempts could not bring them back: another run would lose the image to them, too.
func (m *Maker) refusalOf(err error, out *outcome.Outcome) *rebase.Refusal {
	var refusal *rebase.Refusal
	var lost *registry.UnknownBlobs
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &lost) && !m.retries.another(out, err):
		return &rebase.Refusal{Reason: "the registry has lost layers of its eval-base, or of the references"}
	}
	return nil
}

// confirm asks the registry for what a build says that it pushed: an image counts as built when it is there under every
// tag, and its digest is the registry's.
func (m *Maker) confirm(ctx context.Context, out *outcome.Outcome) error {
	defer addTime(&out.Check, time.Now())
	out.Enter(outcome.Confirm)
	digest, present, err := m.registry.Present(ctx, out.Tags)
	if err == nil && !present {
		err = errors.New("the build succeeded, but its tags are not all there on one digest")
	}
	if err == nil {
		err = m.registry.Confirm(ctx, out.Tags[0]+"@"+digest)
	}
	if err != nil {
		return registryFailure(ctx, "confirming the push", err)
	}
	out.Digest = digest
	return nil
}

// isThere asks whether the image of a target is there already, and reads its manifest then: a digest goes into the record, and that of a
// HEAD may be another image's.
func (m *Maker) isThere(ctx context.Context, t plan.Target, out *outcome.Outcome) (bool, error) {
	there, err := isPresent(ctx, m.registry, t, out)
	if err != nil || !there {
		return false, err
	}
	return true, registryFailure(ctx, "checking the digest of the image", m.registry.Confirm(ctx, out.Tags[0]+"@"+out.Digest))
}

// logOf is the path of an instance's log. suffix is empty, or names what is made beside the instance's image.
func (m *Maker) logOf(instance, suffix string) string {
	return filepath.Join(m.Logs, logfile.Name(instance+suffix))
}

// relative is a path as the steps after this one see it, whose workspace has another name than a container's.
func (m *Maker) relative(path string) string {
	if relative, err := filepath.Rel(m.Workspace, path); err == nil {
		return relative
	}
	return path
}

// addTime adds the time since begin to a sum: defer addTime(&sum, time.Now()).
func addTime(sum *time.Duration, begin time.Time) { *sum += time.Since(begin) }
