package cmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

// setUp is the SDK after its set-up.
type setUp struct {
	checkout sdk.Checkout
	python   string // the interpreter that the SDK's build module runs in
	sdist    sdk.Sdist
	pool     *sdk.Pool
}

// close ends the workers, if there are any.
func (s setUp) close() {
	if s.pool != nil {
		s.pool.Close()
	}
}

// setUpSDK makes the checkout and the environment, and then builds the sdist while the first worker imports the SDK. If the import
// lacks a module, it installs all packages of the SDK's workspace and tries again. A dry run needs only tags, so it builds no sdist.
// The caller closes it, also after an error.
func setUpSDK(ctx context.Context, c config.Config, env environment, buildEnviron []string, w *workspace, rec *record) (s setUp, err error) {
	from, ref := c.SDKSource()
	defer rec.group("Set up the SDK at " + ref + " of " + from)()
	err = rec.timed("checkout", func() (err error) {
		s.checkout, err = cloneSDK(ctx, c, env, w)
		return err
	})
	if err != nil {
		return s, err
	}
	rec.set(func(f *ledger.Run) { f.SDKSHA = ledger.Text(s.checkout.SHA) })
	rec.Info(fmt.Sprintf("%s is %s", ref, s.checkout.SHA))

	start := func(packages sdk.Packages) error {
		var environment sdk.Environment
		err := rec.timed("environment", func() (err error) {
			environment, err = s.checkout.Environment(ctx, w.commands(env), packages)
			return err
		})
		if err != nil {
			return err
		}
		s.python = environment.Python
		if environment.Fetched {
			rec.Warn("Python " + environment.Version + ", which this SDK names, is not installed here: uv has fetched it, which takes time in each run.")
		}
		workers := c.MaxWorkers
		if c.DryRun {
			workers = 1
		}
		s.pool = sdk.NewPool(sdk.PoolOptions{
			Checkout: s.checkout, Environment: environment, Size: workers, Dir: filepath.Join(w.temporary, "w"),
			Environ: slices.Concat(env, buildEnviron), CacheMode: c.CacheMode, LogPath: filepath.Join(w.logs, "workers.log"),
		})
		s.pool.Start(ctx)
		return nil
	}
	if err := start(sdk.SDKPackage); err != nil {
		return s, err
	}
	var foreign error
	var sdist sync.WaitGroup
	if !c.DryRun {
		sdist.Go(func() { s.sdist, foreign = makeSdist(ctx, s.checkout, env, w, rec) })
	}
	description, err := importSDK(ctx, s.pool, rec)
	sdist.Wait()
	if sdk.LacksModule(err) && foreign == nil {
		rec.Warn("The SDK does not import with the packages of openhands-sdk alone; installing all packages of its workspace: " + err.Error())
		s.pool.Close()
		if err := start(sdk.AllPackages); err != nil {
			return s, err
		}
		description, err = importSDK(ctx, s.pool, rec)
	}
	if err = cmp.Or(foreign, err); err != nil {
		return s, err
	}
	if !c.DryRun {
		warnOfOldSDK(description, rec)
	}
	return s, nil
}

// cloneSDK clones the SDK from sdk-path, or from sdk-repository at sdk-ref. A wrong ref or path is a badInput.
func cloneSDK(ctx context.Context, c config.Config, env environment, w *workspace) (checkout sdk.Checkout, err error) {
	dir := filepath.Join(w.temporary, "sdk")
	if c.SDKPath != "" {
		checkout, err = sdk.CloneWorkTree(ctx, workTree(c, w), dir, w.commands(env))
	} else {
		checkout, err = sdk.Clone(ctx, sdk.Source{Repository: c.SDKRepository, Ref: c.SDKRef}, dir, w.commands(env))
	}
	var badRef *sdk.RefError
	var badPath *sdk.PathError
	if errors.As(err, &badRef) || errors.As(err, &badPath) {
		err = badInput{err}
	}
	return checkout, err
}

// makeSdist builds the sdist. A failure is only a warning, because each image then builds its own. The only error is
// sdk.ErrForeignSdist, which ends the run.
func makeSdist(ctx context.Context, checkout sdk.Checkout, env environment, w *workspace, rec *record) (made sdk.Sdist, err error) {
	err = rec.timed("sdist", func() (err error) {
		made, err = checkout.Sdist(ctx, w.commands(env), filepath.Join(w.temporary, sdistFolder))
		return err
	})
	if errors.Is(err, sdk.ErrForeignSdist) {
		return made, err
	}
	if err != nil && ctx.Err() == nil {
		rec.Warn("The sdist could not be built ahead; each image builds its own: " + err.Error())
	}
	rec.set(func(f *ledger.Run) {
		f.Sdist = ledger.Sdist{SHA256: ledger.Text(made.SHA256), Seconds: made.Duration.Seconds()}
		if err != nil {
			f.Sdist.Error = ledger.Text(err.Error())
		}
	})
	return made, nil
}

// importSDK waits until the first worker has imported the SDK.
func importSDK(ctx context.Context, pool *sdk.Pool, rec *record) (description sdk.Description, err error) {
	err = rec.timed("import", func() (err error) {
		description, err = pool.Describe(ctx)
		return err
	})
	rec.set(func(f *ledger.Run) {
		f.SDKVersion, f.Seam = ledger.Text(description.SDKVersion), ledger.Text(description.Seam)
	})
	return description, err
}

// warnOfOldSDK warns about features that this SDK lacks.
func warnOfOldSDK(description sdk.Description, rec *record) {
	if description.Seam == sdk.SeamNone {
		rec.Warn("This SDK takes no prebuilt sdist; each image builds its own.")
	}
}

// warnOfCacheMode warns when the SDK's own build does not follow cache-mode.
func warnOfCacheMode(c config.Config, asked sdk.Captured, rec *record) {
	if follows := asked.CacheMode(); follows != c.CacheMode && !c.DryRun {
		rec.Warn(fmt.Sprintf("This SDK ignores cache-mode %s (it came with 1.15.0): each push has cache mode %s.", c.CacheMode, follows))
	}
}

// probeCacheMode asks the SDK for its build of a target, to see whether it follows cache-mode. Where images are rebased,
// findBaseStage sees that. Without a prebuilt sdist it does not ask: the SDK would make one for the answer.
func probeCacheMode(ctx context.Context, c config.Config, s setUp, t plan.Target, rec *record) {
	if c.DryRun || s.sdist.Path == "" {
		return
	}
	request := commonRequest(c, s)
	request.BaseImage, request.CustomTag = t.BaseImage, t.CustomTag
	asked, err := s.pool.Capture(ctx, request)
	switch {
	case err == nil:
		warnOfCacheMode(c, asked, rec)
	case ctx.Err() == nil:
		rec.Warn(fmt.Sprintf("It is not known whether this SDK follows cache-mode %s: %v", c.CacheMode, err))
	}
}

// nameTargets sets the tags of the targets, which only the SDK knows. An error in the inputs that is found here is a badInput too.
func nameTargets(ctx context.Context, c config.Config, s setUp, targets []plan.Target, rec *record) ([]plan.Target, error) {
	targets, err := plan.WithTags(targets, c.CustomTagTemplate, plan.Values{
		SDKDockerfileSHA256: s.checkout.DockerfileSHA256, Options: c.SDKOptions,
	})
	if err != nil {
		return nil, badInput{err}
	}
	requests := make([]sdk.Request, len(targets))
	for i, t := range targets {
		requests[i] = commonRequest(c, s)
		requests[i].BaseImage, requests[i].CustomTag = t.BaseImage, t.CustomTag
	}
	var names [][]string
	err = rec.timed("resolve-tags", func() (err error) {
		names, err = s.pool.Names(ctx, requests)
		return err
	})
	var option *sdk.OptionError
	if errors.As(err, &option) {
		return nil, badInput{err}
	}
	if err != nil {
		return nil, err
	}
	for i := range targets {
		targets[i].Tags = names[i]
	}
	if c.Strategy != config.StrategyNative {
		plan.DropLongTags(targets)
	}
	if err := plan.CheckTags(targets); err != nil {
		return nil, badInput{err}
	}
	prefix, found := plan.ImageTagPrefix(targets)
	if variable := c.Benchmark.PrefixVariable; !found && variable != "" {
		rec.Warn("No " + variable + " leads an evaluation to all of these tags: custom-tag-template must be {instance_tag}, or end in -{instance_tag}, for that.")
	}
	rec.set(func(f *ledger.Run) { f.ImageTagPrefix = ledger.Text(prefix) })
	return targets, nil
}

// commonRequest returns the part of a request that is the same for all images.
func commonRequest(c config.Config, s setUp) sdk.Request {
	options := map[string]string{}
	for _, o := range c.SDKOptions {
		options[o.Name] = o.Value
	}
	return sdk.Request{Image: c.Image, Target: c.Target, Options: options, Sdist: s.sdist.Path, Timeout: c.ImageTimeout, StallTimeout: c.StallTimeout}
}

// imageSettings returns the settings of the run's images, with or without rebase.
func imageSettings(ctx context.Context, c config.Config, s setUp, targets []plan.Target, mayRebase bool, buildEnviron []string, w *workspace, rec *record) image.Settings {
	settings := image.Settings{
		Repository: c.Image, SHA: s.checkout.SHA, Request: commonRequest(c, s),
		Strict: c.Strategy == config.StrategyRebase, Force: c.ForceBuild, MaxWorkers: c.MaxWorkers, MaxRetries: c.MaxRetries,
		ImageTimeout: c.ImageTimeout, StallTimeout: c.StallTimeout, EvalBaseMaxAge: c.EvalBaseMaxAge, Verify: c.Verify, VerifyTree: c.VerifyTree,
		Python: s.python, Workspace: w.root, Logs: w.logs, Environ: buildEnviron, Temporary: w.temporary,
	}
	if c.Deadline > 0 {
		settings.Deadline = rec.facts.Started.Add(c.Deadline)
	}
	dockerfile, err := s.checkout.Dockerfile()
	if err != nil {
		rec.Warn("A failure of a stage that all images share cannot be told from another: " + err.Error())
	}
	settings.OwnStages = docker.BaseStages(dockerfile)
	settings.ReferencesWait = referencesWait(c, rec.facts.PlannedTotal)
	settings.OthersWait = othersWait(c, rec.facts.PlannedTotal)
	if !mayRebase {
		probeCacheMode(ctx, c, s, targets[0], rec)
		return settings
	}
	stage, err := findBaseStage(ctx, c, s, targets[0].BaseImage, rec)
	var refusal *rebase.Refusal
	switch {
	case err == nil:
		settings.BaseStage = &stage
	case errors.As(err, &refusal):
		settings.NotRebased = refusal.Reason
	default:
		settings.NotRebased = err.Error()
	}
	if err != nil && !settings.Strict && ctx.Err() == nil {
		rec.Warn("No image of this run is rebased: " + settings.NotRebased)
	}
	return settings
}

// mayRebase reports whether images of a run may be rebased. A run of one target builds it natively, because it has no references,
// unless the first shard makes them. planned is the number of targets of all shards.
func mayRebase(c config.Config, targets, planned int) bool {
	return c.Strategy != config.StrategyNative && (targets > 1 || referencesWait(c, planned) > 0)
}

// firstShardTakes is how long other shards wait for the references of the first one. Its set-up and the two builds take 5 minutes; the
// job may have begun later.
const firstShardTakes = 15 * time.Minute

// referencesWait returns how long a run waits for the references of the first shard. With force-build it waits for none: nobody can
// tell whether those that are there were made by this build's first shard. A first shard of one image makes none.
func referencesWait(c config.Config, planned int) time.Duration {
	if c.Shard.Index < 2 || c.ForceBuild || planned <= c.Shard.Count {
		return 0
	}
	return firstShardTakes
}

// othersWait reports whether other shards wait for the references of this run.
func othersWait(c config.Config, planned int) bool {
	return c.Shard.Index == 1 && c.Shard.Count > 1 && !c.Load && c.Strategy != config.StrategyNative && !c.ForceBuild && planned > c.Shard.Count
}

// sayNoReferences tells the shards that wait for the references of this one that it has begun no images, so it leaves none. sha is
// empty when the commit is not known.
func sayNoReferences(ctx context.Context, c config.Config, sha string, client *registry.Client, rec *record) {
	if sha != "" && othersWait(c, rec.facts.PlannedTotal) {
		image.SayNoReferences(ctx, client, c.Image, sha, rec)
	}
}

// findBaseStage asks the SDK for the inputs of its base stage. A *rebase.Refusal means that no image of this run can be rebased.
func findBaseStage(ctx context.Context, c config.Config, s setUp, baseImage string, rec *record) (stage image.BaseStage, err error) {
	dockerfile, err := s.checkout.Dockerfile()
	if err != nil {
		return stage, err
	}
	if !basekey.DirectlyOn([]byte(dockerfile), c.Target, image.BaseStageTarget) {
		return stage, fmt.Errorf("this SDK does not build target %s directly on %s", c.Target, image.BaseStageTarget)
	}
	uses, err := basekey.UsesOf([]byte(dockerfile), c.Target)
	if err != nil {
		return stage, err
	}
	common := commonRequest(c, s)
	// The key must not depend on where eval-bases are, so the SDK is asked for one among the images.
	asked, err := s.pool.Capture(ctx, image.BaseStageRequest(common, c.Image, "unknown", baseImage, "key"))
	if err != nil {
		return stage, fmt.Errorf("the SDK does not tell how it builds %s: %w", image.BaseStageTarget, err)
	}
	warnOfCacheMode(c, asked, rec)
	for _, option := range asked.Options {
		rec.Info("The SDK's build has an option that this program does not know; it becomes a part of the key of eval-bases: " + option)
		if strings.Contains(option, baseImage) {
			return stage, fmt.Errorf("the SDK passes the base image in an option that this program does not know: %s", option)
		}
	}
	key, err := basekey.Of(basekey.Inputs{
		Dockerfile: []byte(asked.Dockerfile), Args: asked.Args, Options: asked.Options, Context: os.DirFS(asked.Dir),
		Target: image.BaseStageTarget, Platform: image.Platform,
	})
	if err != nil {
		return stage, err
	}
	if key.WholeFile {
		rec.Warn("Eval-bases are made anew with every change of the SDK's Dockerfile: " + key.Why)
	}
	told, _ := json.Marshal([]any{common.Options, common.Target, key.Hash}) // encoding these values never fails
	sum := sha256.Sum256(told)
	return image.BaseStage{Key: key, Uses: rebase.Uses(uses), Set: hex.EncodeToString(sum[:])[:16]}, nil
}
