package pipeline

import (
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
// import.
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

	var environment sdk.Environment
	err = r.phase("environment", func() (err error) {
		environment, err = r.checkout.Environment(ctx, r.commands)
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
	prepare := r.importBesideSdist
	if r.config.DryRun { // which only asks for names
		prepare = r.importSDK
	}
	if err := prepare(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// sdistFolder is the sdist's, below the temporary one.
const sdistFolder = "sdist"

// importBesideSdist waits for the first worker's import, and makes the sdist meanwhile. A failed sdist is only a
// warning: each image then makes its own.
func (r *run) importBesideSdist(ctx context.Context, pool *sdk.Pool) error {
	var imported error
	var both sync.WaitGroup
	both.Go(func() { imported = r.importSDK(ctx, pool) })
	err := r.phase("sdist", func() (err error) {
		r.sdist, err = r.checkout.Sdist(ctx, r.commands, filepath.Join(r.temporary, sdistFolder))
		return err
	})
	both.Wait()
	if imported != nil {
		return imported
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
	r.reportSeam()
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
	if !found {
		r.warn("No IMAGE_TAG_PREFIX leads an evaluation to all of these tags: custom-tag-template must end in -{instance_tag} for that.")
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
