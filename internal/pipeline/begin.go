package pipeline

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/report"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// begin reads what the user asked for and makes the run's folders. Mistakes are a refusal, all that can be found without
// the SDK at once; the run that comes with an error can only refuse.
func begin(ctx context.Context, p Process) (*run, error) {
	r := &run{environ: p.Environ, workspace: p.Dir}
	r.stdout = report.NewScreen(p.Stdout, r.getenv)
	r.actions = actions.New(r.logOf(p), r.getenv)
	r.actions.Mask(r.getenv("HF_TOKEN"))
	for _, secret := range []string{"registry-password", "base-registry-password", "hf-token"} {
		r.actions.Mask(r.actions.Input(secret))
	}
	if given := r.getenv("GITHUB_WORKSPACE"); given != "" && r.actions.InActions() {
		r.workspace = given
	}
	r.facts.Started = time.Now()
	err := r.configure(ctx, p.Args, p.Stdout)
	var refused refusal
	if errors.Is(err, flag.ErrHelp) || errors.As(err, &refused) || r.config.DryRun {
		return r, err
	}
	// A run that could not read its dataset, or was cancelled meanwhile, has a record too.
	if err = errors.Join(err, writing(r.openRecord())); err != nil {
		return r, err
	}
	return r, writing(r.makeTemporary())
}

func (r *run) configure(ctx context.Context, args []string, help io.Writer) error {
	c, err := config.ParseArgs(args, r.actions.Input, help)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	r.facts.Title = cmp.Or(c.Title, "eval-images")
	r.actions.Mask(c.Registry.Password)
	r.actions.Mask(c.BaseRegistry.Password)
	r.actions.Mask(c.HFToken)
	known := r.facts
	if err == nil {
		r.config = c
		r.builder.name = r.builderName()
		r.describe(c)
	}
	planErr := r.plan(ctx, c, err)
	var unreachable *dataset.Unreachable
	switch {
	case errors.As(planErr, &unreachable) && err == nil:
		return planErr
	case errors.As(planErr, &unreachable):
		planErr = nil // it is told when the mistakes are mended
	}
	if err = errors.Join(err, r.checkPath(c), planErr); err != nil {
		r.facts = known
		return refusal{err}
	}
	return nil
}

// describe tells the report what the run was asked for.
func (r *run) describe(c config.Config) {
	options := map[string]string{}
	for _, o := range c.SDKOptions {
		options[o.Name] = o.Value
	}
	sdkRepository, sdkRef := c.SDKSource()
	r.facts = ledger.Run{
		Title: c.Title, Benchmark: c.Benchmark.Name, Dataset: c.Dataset, Split: c.Split, Shard: ledger.Text(c.Shard.String()),
		SDKRepository: sdkRepository, SDKRef: sdkRef, Strategy: c.Strategy, Image: c.Image, Builder: c.Builder,
		CacheMode: c.CacheMode, Workers: c.MaxWorkers, Options: options, Started: r.facts.Started,
	}
}

// blames tells whether one of the mistakes is in one of the inputs.
func blames(mistakes error, inputs ...string) bool {
	return slices.ContainsFunc(split(mistakes), func(err error) bool {
		var mistake *config.InputError
		return errors.As(err, &mistake) && slices.Contains(inputs, mistake.Input)
	})
}

// openRecord makes the ledger and its folder in the workspace. The files of an older run get other names.
func (r *run) openRecord() (err error) {
	r.folder = filepath.Join(r.workspace, r.config.BuildDir, r.config.Dataset, r.config.Split)
	r.logs = filepath.Join(r.folder, "logs")
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		return fmt.Errorf("making the folder for logs: %w", err)
	}
	if r.ledger, err = ledger.Open(r.folder); err != nil {
		return err
	}
	r.facts.Files = ledger.Files{
		Ledger:  ledger.Text(r.relative(filepath.Join(r.folder, ledger.FileName))),
		Summary: ledger.Text(r.relative(filepath.Join(r.folder, ledger.SummaryFileName))),
		Logs:    ledger.Text(r.relative(r.logs)),
	}
	r.console = report.NewConsole(r.actions.Info, r.stdout, len(r.targets), r.config.MaxWorkers)
	r.saveForPost()
	return nil
}

// makeTemporary makes what the run's commands need.
func (r *run) makeTemporary() (err error) {
	if r.temporary, err = os.MkdirTemp("", "eval-images-"); err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	if r.setupLog, err = os.Create(filepath.Join(r.logs, "set-up.log")); err != nil {
		return fmt.Errorf("making the set-up's log: %w", err)
	}
	r.commands = sdk.Commands{Environ: r.environ, Log: r.setupLog, LogPath: r.relative(r.setupLog.Name())}
	return r.logIn()
}

// dockerConfig is the folder of the run's credentials, and of buildx's records, below the temporary one.
const dockerConfig = "docker"

// logIn writes the credentials to a Docker configuration of the run's own, which only this user can read.
func (r *run) logIn() error {
	folder := filepath.Join(r.temporary, dockerConfig)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("making the Docker configuration: %w", err)
	}
	var logins []registry.Login
	add := func(reference string, c config.Credentials) {
		if c.Username != "" {
			logins = append(logins, registry.Login{Reference: reference, Username: c.Username, Password: c.Password})
		}
	}
	if len(r.targets) > 0 { // a shard may have none
		add(r.targets[0].BaseImage, r.config.BaseRegistry)
	}
	add(r.config.Image, r.config.Registry)
	keychain, err := registry.WriteConfig(folder, r.inheritedDockerConfig(), logins)
	if err != nil {
		return err
	}
	r.registry = registry.New(keychain, registryTransport())
	r.registry.Limit(registry.GitHub, registry.WritesPerMinute/float64(max(1, r.config.Shard.Count)), registry.Burst)
	r.registry.Copying = r.copying
	return nil
}

// connections is how many connections to one registry are kept for the next request. The library's transport keeps two, so
// that most of many small requests at once would begin with a handshake.
const connections = 32

func registryTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = connections
	return t
}

// inheritedDockerConfig is where a docker login before this run has left its credentials, if there was one.
func (r *run) inheritedDockerConfig() string {
	folder := r.getenv("DOCKER_CONFIG")
	if folder == "" {
		folder = filepath.Join(r.getenv("HOME"), ".docker")
	}
	if _, err := os.Stat(folder); err != nil {
		return ""
	}
	return folder
}

// relative tells a path as the steps after this one see it, whose workspace has another name than a container's.
func (r *run) relative(path string) string {
	if relative, err := filepath.Rel(r.workspace, path); err == nil {
		return relative
	}
	return path
}

// getenv reads the environment that the process was started with.
func (r *run) getenv(name string) string {
	for _, assignment := range r.environ {
		if value, ok := strings.CutPrefix(assignment, name+"="); ok {
			return value
		}
	}
	return ""
}

// buildEnviron is what docker commands and workers run with: the run's own Docker configuration and builder. buildx keeps
// its records in BUILDX_CONFIG where that is set, and a user's own folder is not to have any of ours.
func (r *run) buildEnviron() []string {
	folder := filepath.Join(r.temporary, dockerConfig)
	return append(slices.DeleteFunc(slices.Clone(r.environ), secret),
		"DOCKER_CONFIG="+folder, "BUILDX_CONFIG="+filepath.Join(folder, "buildx"), "BUILDX_BUILDER="+r.builder.name)
}

// secret tells a variable that no build may see: inputs hold passwords, and the runner's own variables its tokens.
// Builds find credentials in the run's Docker configuration alone.
func secret(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "INPUT_") || strings.HasPrefix(name, "ACTIONS_") ||
		strings.HasSuffix(name, "PASSWORD") || strings.HasSuffix(name, "TOKEN")
}
