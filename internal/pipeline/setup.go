package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// setUpSDK brings the SDK to where workers can use it: checkout, environment, then the sdist beside the first worker's
// import. Where the import lacks a module, it is tried once more with the packages of the SDK's whole workspace.
func (r *run) setUpSDK(ctx context.Context) (*sdk.Pool, error) {
	from, ref := r.config.SDKSource()
	defer r.group("Set up the SDK at " + ref + " of " + from)()
	err := r.phase("checkout", func() (err error) {
		r.checkout, err = r.cloneSDK(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.learn(func(f *ledger.Run) { f.SDKSHA = ledger.Text(r.checkout.SHA) })
	r.actions.Info(fmt.Sprintf("%s is %s", ref, r.checkout.SHA))

	pool, err := r.startWorkers(ctx, sdk.SDKPackage)
	if err != nil {
		return nil, err
	}
	var foreign error
	var sdist sync.WaitGroup
	if !r.config.DryRun { // which only asks for names
		sdist.Go(func() { foreign = r.makeSdist(ctx) })
	}
	err = r.importSDK(ctx, pool)
	sdist.Wait()
	if sdk.LacksModule(err) && foreign == nil {
		r.warn("The SDK does not import with the packages of openhands-sdk alone; installing all packages of its workspace: " + err.Error())
		pool.Close()
		if pool, err = r.startWorkers(ctx, sdk.AllPackages); err != nil {
			return nil, err
		}
		err = r.importSDK(ctx, pool)
	}
	if err = cmp.Or(foreign, err); err != nil {
		pool.Close()
		return nil, err
	}
	if !r.config.DryRun {
		r.reportSeam()
	}
	return pool, nil
}

// startWorkers makes the SDK's environment, and begins the first worker's import in it.
func (r *run) startWorkers(ctx context.Context, packages sdk.Packages) (*sdk.Pool, error) {
	var environment sdk.Environment
	err := r.phase("environment", func() (err error) {
		environment, err = r.checkout.Environment(ctx, r.commands, packages)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.python = environment.Python
	pool := sdk.NewPool(sdk.PoolOptions{
		Checkout: r.checkout, Environment: environment, Size: r.workers(),
		Dir: filepath.Join(r.temporary, "w"), Environ: r.buildEnviron(),
		CacheMode: r.config.CacheMode, LogPath: filepath.Join(r.logs, "workers.log"),
	})
	pool.Start(ctx)
	return pool, nil
}

// sdistFolder is the sdist's, below the temporary one.
const sdistFolder = "sdist"

// makeSdist makes the sdist. One that fails is only a warning: each image then makes its own. The error is that of an
// sdist of something else, which ends the run.
func (r *run) makeSdist(ctx context.Context) error {
	err := r.phase("sdist", func() (err error) {
		r.sdist, err = r.checkout.Sdist(ctx, r.commands, filepath.Join(r.temporary, sdistFolder))
		return err
	})
	if errors.Is(err, sdk.ErrForeignSdist) {
		return err
	}
	if err != nil && ctx.Err() == nil {
		r.warn("The sdist could not be built ahead; each image builds its own: " + err.Error())
	}
	r.learn(func(f *ledger.Run) {
		f.Sdist = ledger.Sdist{SHA256: ledger.Text(r.sdist.SHA256), Seconds: r.sdist.Duration.Seconds()}
		if err != nil {
			f.Sdist.Error = ledger.Text(err.Error())
		}
	})
	return nil
}

// importSDK waits for the first worker's import.
func (r *run) importSDK(ctx context.Context, pool *sdk.Pool) error {
	return r.phase("import", func() error {
		description, err := pool.Describe(ctx)
		r.learn(func(f *ledger.Run) {
			f.SDKVersion, f.Seam = ledger.Text(description.SDKVersion), ledger.Text(description.Seam)
		})
		r.description = description
		return err
	})
}

// workers is how many Python processes the run has at most.
func (r *run) workers() int {
	if r.config.DryRun {
		return 1
	}
	return r.config.MaxWorkers
}

// reportSeam says what this SDK lacks of what the run would use.
func (r *run) reportSeam() {
	if r.description.Seam == sdk.SeamNone {
		r.warn("This SDK takes no prebuilt sdist; each image builds its own.")
	}
	if !r.description.CacheModes && r.config.CacheMode != "max" {
		r.warn(fmt.Sprintf("This SDK ignores cache-mode %s (it came with 1.15.0): every push exports its cache in mode max.", r.config.CacheMode))
	}
}

// nameTargets completes the plan with what only the SDK knows: the tags. A mistake that shows here is still a bad
// input, and nothing was built.
func (r *run) nameTargets(ctx context.Context, pool *sdk.Pool) error {
	targets, err := plan.WithTags(r.targets, r.config.CustomTagTemplate, plan.Values{
		SDKDockerfileSHA256: r.checkout.DockerfileSHA256, Options: r.config.SDKOptions,
	})
	if err != nil {
		return refusal{err}
	}
	requests := make([]sdk.Request, len(targets))
	for i, t := range targets {
		requests[i] = r.request()
		requests[i].BaseImage, requests[i].CustomTag = t.BaseImage, t.CustomTag
	}
	var names [][]string
	err = r.phase("names", func() (err error) {
		names, err = pool.Names(ctx, requests)
		return err
	})
	var option *sdk.OptionError
	if errors.As(err, &option) {
		return refusal{err}
	}
	if err != nil {
		return err
	}
	for i := range targets {
		targets[i].Tags = names[i]
	}
	if err := plan.CheckTags(targets); err != nil {
		return refusal{err}
	}
	r.settle(targets)
	return nil
}

// settle makes the named targets the run's, and says how an evaluation finds them.
func (r *run) settle(targets []plan.Target) {
	prefix, found := plan.ImageTagPrefix(targets)
	if variable := r.config.Benchmark.PrefixVariable; !found && variable != "" {
		r.warn("No " + variable + " leads an evaluation to all of these tags: custom-tag-template must be {instance_tag}, or end in -{instance_tag}, for that.")
	}
	r.learn(func(f *ledger.Run) { f.ImageTagPrefix = ledger.Text(prefix) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets = targets
}

// request is what all images have in common.
func (r *run) request() sdk.Request {
	options := map[string]string{}
	for _, o := range r.config.SDKOptions {
		options[o.Name] = o.Value
	}
	return sdk.Request{
		Image: r.config.Image, Target: r.config.Target, Options: options,
		Sdist: r.sdist.Path, Timeout: r.config.ImageTimeout,
	}
}
