package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/evalbase"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/closure"
)

// baseStage is the stage of the SDK's Dockerfile that eval-bases are made of. The name is one of the targets of the SDK's
// BuildOptions.
const baseStage = "base-image-minimal"

// baseStageLog is what the log of a base stage has behind the instance in its name: it is made beside the whole image.
const baseStageLog = ".base-stage"

// platform is the only one for which every instance has a base image.
const platform = "linux/amd64"

// requestsAtOnce bounds the images for which registries are asked at once, and those that are written at once. Workers are
// not counted: an image that waits for one, or for the references, has no place here.
const requestsAtOnce = 16

// rebasing is what a run needs to rebase images.
type rebasing struct {
	run     *run
	pool    native.Workers
	baseKey closure.BaseKey
	taken   closure.Taken // of the base stage, by the target
	// set names what a reference is good for: the options and the stage that images are made with.
	set string

	bases      *evalbase.Bases
	references *rebase.References
	chain      chain
	// ask and put give what only asks registries, and what puts images there, their further attempts and a place among the
	// few that do so at once. In one queue the first image would be put when all had been asked for, and a registry that
	// limits writes would have nothing to do until then.
	ask, put func(build.Builder) build.Builder
	// lax is done when it was said that the registry does not check manifests.
	lax sync.Once
	// outcomes are what became of the targets that may be verified.
	outcomes map[string]chan build.Outcome
}

// prepareRebase asks the SDK what its base stage is made of. A *rebase.Refusal says that no image of this run can be
// rebased.
func (r *run) prepareRebase(ctx context.Context, pool *sdk.Pool) (*rebasing, error) {
	dockerfile, err := r.checkout.Dockerfile()
	if err != nil {
		return nil, &rebase.Refusal{Reason: err.Error()}
	}
	if !closure.DirectlyOn([]byte(dockerfile), r.config.Target, baseStage) {
		return nil, &rebase.Refusal{Reason: fmt.Sprintf("this SDK does not build target %s upon %s directly", r.config.Target, baseStage)}
	}
	taken, err := closure.TakenBy([]byte(dockerfile), r.config.Target)
	if err != nil {
		return nil, &rebase.Refusal{Reason: err.Error()}
	}
	request := r.baseRequest("unknown", r.config.EvalBaseImage)
	request.BaseImage, request.CustomTag = r.targets[0].BaseImage, "key"
	asked, err := pool.Capture(ctx, request)
	if err != nil {
		return nil, &rebase.Refusal{Reason: "the SDK does not tell how it builds " + baseStage + ": " + err.Error()}
	}
	found, err := closure.Of(closure.Inputs{
		Dockerfile: []byte(asked.Dockerfile), Args: asked.Args, Context: os.DirFS(asked.Dir), Target: baseStage, Platform: platform,
	})
	if err != nil {
		return nil, &rebase.Refusal{Reason: err.Error()}
	}
	if found.WholeFile {
		r.warn("Eval-bases are made anew with every change of the SDK's Dockerfile: " + found.Why)
	}
	return &rebasing{run: r, pool: pool, baseKey: found, taken: taken, set: r.setOf(found)}, nil
}

// baseRequest is the SDK's build of the base stage, which needs no sdist.
func (r *run) baseRequest(gitSHA, image string) sdk.Request {
	request := r.request()
	request.Target, request.Image, request.GitSHA, request.Sdist = baseStage, image, gitSHA, ""
	return request
}

// setOf is a hash of all that decides, beside commit and base image, what an image is.
func (r *run) setOf(c closure.BaseKey) string {
	request := r.request()
	told, _ := json.Marshal([]any{request.Options, request.Target, c.Hash}) // such values always encode
	sum := sha256.Sum256(told)
	return hex.EncodeToString(sum[:])[:16]
}

// rebase makes what is missing by rebase, and natively what cannot be made so.
func (r *run) rebase(ctx context.Context, pool *sdk.Pool, missing []plan.Target) {
	b, err := r.prepareRebase(ctx, pool)
	if err != nil {
		r.refuseAll(ctx, pool, missing, err)
		return
	}
	b.make(ctx, missing)
}

// make makes what is missing, once it is known that images of this run can be rebased.
func (b *rebasing) make(ctx context.Context, missing []plan.Target) {
	r := b.run
	b.assemble()
	b.references.Find(ctx, missing)
	b.bases.Expected = len(missing) - b.references.Claimed() // those who become references need no eval-base
	if b.references.Wanting() > 0 {                          // Reaching the builder takes seconds, and looking for eval-bases needs none.
		var reaching sync.WaitGroup
		reaching.Go(func() { _ = r.reachBuilder(ctx) }) // who needs it asks again
		defer reaching.Wait()
	}
	r.phase("build", func() error {
		r.expect(len(missing))
		b.all(ctx, missing)
		return nil
	})
	r.watched().wait()
	b.report()
}

// refuseAll builds everything natively, each image with the reason; or, where only rebases will do, lets each fail with it.
func (r *run) refuseAll(ctx context.Context, pool *sdk.Pool, missing []plan.Target, why error) {
	var refusal *rebase.Refusal
	if ctx.Err() != nil {
		return
	}
	if !errors.As(why, &refusal) {
		refusal = &rebase.Refusal{Reason: why.Error()}
	}
	if r.config.Strategy == config.StrategyRebase {
		for _, t := range missing {
			now := time.Now()
			r.record(build.Outcome{Target: t, Started: now, Finished: now,
				Result: build.Result{Refusal: refusal.Reason}, Err: &build.Error{Class: build.ClassRefused, Err: refusal}})
		}
		return
	}
	r.warn("No image of this run is rebased: " + refusal.Reason)
	if err := r.needBuilder(ctx); err != nil {
		return
	}
	r.build(ctx, pool, missing, refusal.Reason)
}

// assemble puts the builders together.
func (b *rebasing) assemble() {
	r := b.run
	b.chain = r.newChain(b.pool)
	c, made, whole := b.chain, build.NewVanguard(), build.NewVanguard()
	asking, putting := build.NewLimiter(nil, requestsAtOnce, nil), build.NewLimiter(nil, requestsAtOnce, nil)
	b.ask = func(next build.Builder) build.Builder { return c.retry(asking.Sharing(next)) }
	b.put = func(next build.Builder) build.Builder { return c.retry(putting.Sharing(next)) }
	checker := &evalbase.Checker{
		Next:     c.native(r.baseRequest("unknown", r.config.EvalBaseImage), "eval-base, ", nil),
		Registry: r.registry, Image: r.config.EvalBaseImage, Buildx: native.Buildx{Environ: r.buildEnviron()}, Log: r.logOfInstance,
	}
	plain := *checker
	plain.Log = func(instance string) string { return r.logOfInstance(instance + baseStageLog) }
	b.bases = &evalbase.Bases{
		Registry: r.registry, Image: r.config.EvalBaseImage, Wrapped: c.wrapped, MaxAge: r.config.EvalBaseMaxAge,
		Retry: b.ask,
		Key:   func(_ context.Context, digest string) (string, error) { return b.baseKey.On(digest), nil },
		Make:  made.OneByOne(made.Wrap(c.retry(c.slotted(made.Inside(checker))))),
	}
	full := whole.OneByOne(whole.Wrap(c.retry(c.slotted(made.Inside(whole.Inside(c.whole(whole)))))))
	b.references = &rebase.References{
		Native: full, Passed: whole.Settled(),
		Base: c.retry(c.slotted(plain.Plain(c.baseStage(func(t plan.Target) string {
			return "reference-base-" + hashed(b.set, t.InstanceID)
		})))),
		Registry: r.registry, Image: r.config.Image,
		Tag:       b.referenceTag,
		Taken:     rebase.Taken(b.taken),
		SameTrees: b.sameTrees,
		Learned:   b.learned,
		Said:      r.warn,
		Force:     r.config.ForceBuild,
	}
}

func hashed(parts ...string) string {
	told, _ := json.Marshal(parts) // strings always encode
	sum := sha256.Sum256(told)
	return hex.EncodeToString(sum[:])[:16]
}

func (b *rebasing) referenceTag(i int) string {
	return fmt.Sprintf("reference-%s-%s-%d", b.run.checkout.SHA, b.set, i)
}

// all makes every target, the references and the images that are verified among them.
func (b *rebasing) all(ctx context.Context, missing []plan.Target) {
	r := b.run
	builder := &rebase.Builder{
		Bases: b.bases, References: b.references, Native: b.references.Native, Registry: r.registry,
		Retry: func(put build.Builder) build.Builder { return b.put(b.chain.skipping(put)) },
		Image: r.config.Image, Strict: r.config.Strategy == config.StrategyRebase,
		Env:      map[string]string{"OPENHANDS_BUILD_GIT_SHA": r.checkout.SHA, "OPENHANDS_BUILD_GIT_REF": "unknown"},
		AskFirst: b.askFirst,
	}
	verifiable := b.verifiable(missing)
	b.outcomes = map[string]chan build.Outcome{}
	for _, t := range verifiable {
		b.outcomes[t.InstanceID] = make(chan build.Outcome, 1)
	}
	record := build.NewRecorder(builder, func(outcome build.Outcome) {
		r.record(outcome)
		r.finished(ctx)
		if waiting := b.outcomes[outcome.Target.InstanceID]; waiting != nil {
			waiting <- outcome
		}
	})
	var beside sync.WaitGroup
	beside.Go(func() {
		r.phase("references", func() error {
			b.references.Run(ctx, b.bases.Ready())
			return nil
		})
	})
	if r.config.Verify > 0 {
		beside.Go(func() { b.verifyAll(ctx, verifiable) })
	}
	build.All(ctx, record, missing)
	beside.Wait()
}

// askFirst finds out whether the registry takes a manifest whose blobs it does not have.
func (b *rebasing) askFirst(ctx context.Context) (bool, error) {
	refuses, err := b.run.registry.ProbeManifest(ctx, b.run.config.Image)
	if err == nil && !refuses {
		b.lax.Do(func() {
			b.run.warn("This registry takes manifests of layers that it does not have, so each layer is asked for first.")
		})
	}
	return !refuses, err
}

func (b *rebasing) learned(l rebase.Reference) {
	b.run.learn(func(f *ledger.Run) {
		f.Rebase.References = append(f.Rebase.References, ledger.Reference{
			Instance: ledger.Text(l.Instance), Tag: l.Tag, Digest: ledger.Text(l.Digest), Reused: l.Instance == "",
		})
	})
}

// report tells what the rebases needed.
func (b *rebasing) report() {
	facts := b.bases.Facts()
	b.run.learn(func(f *ledger.Run) {
		f.Rebase.EvalBasesMade, f.Rebase.EvalBasesReused = facts.Made, facts.Reused
		if !facts.Oldest.IsZero() {
			f.Rebase.OldestEvalBase = &facts.Oldest
		}
		f.Rebase.Requests = b.run.registry.Requests()
	})
}

// copying tells of bytes that could not be mounted.
func (r *run) copying(digest string, done, size int64) {
	switch {
	case done == 0:
		r.actions.Info(fmt.Sprintf("copying %s, %s, because the registry does not mount it", digest, units.HumanSize(float64(max(0, size)))))
	case done == size:
		r.learn(func(f *ledger.Run) { f.Rebase.Copied += size })
	default:
		r.actions.Info(fmt.Sprintf("copying %s: %s so far", digest, units.HumanSize(float64(done))))
	}
}

func (r *run) logOfInstance(instance string) string {
	return filepath.Join(r.logs, native.LogName(instance))
}
