package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// doctorFlags are the inputs that change what the doctor looks at.
var doctorFlags = []string{
	"benchmark", "dataset", "split", "instance-ids", "instances-file", "base-image-template", "image", "eval-base-image", "builder",
	"registry-username", "registry-password", "base-registry-username", "base-registry-password", "hf-token", "build-dir", "dry-run",
}

// check is one look of the doctor. It returns what it found, or an error with a hint. A minor error lets a run go on.
type check struct {
	name string
	look func(ctx context.Context) (found string, err error)
}

// minor is an error that lets a run go on.
type minor struct{ hinted }

// checkWithin limits one look of the doctor.
const checkWithin = 30 * time.Second

// doctor is the command doctor. It returns the exit code.
func doctor(ctx context.Context, l *commandLine) int {
	env, rec := l.env, l.record()
	work := l.workspace(rec)
	c, targets, inputErr := readInputs(ctx, l, work, rec)
	if isBadInput(inputErr) {
		return rec.fail(inputErr)
	}
	defer clean(ctx, work, nil, rec)
	if err := work.makeTemporary(env, rec.actions); err != nil {
		return rec.fail(withDiskHint(err))
	}
	client, err := newRegistry(c, env, targets, work, rec)
	if err != nil {
		return rec.fail(err)
	}
	buildx := docker.Buildx{Environ: work.buildEnviron(env, builderName(c.Builder, env)), Log: work.setupLog}
	tools := work.commands(env)
	tools.LogPath = "" // it is removed
	checks := []check{
		{"git", tools.GitVersion},
		{"uv", tools.UVVersion},
		{"Python", func(ctx context.Context) (string, error) {
			path, version, err := tools.FindPython(ctx)
			if err == nil && path == "" {
				err = minor{hinted{errors.New("Python " + version + " is not installed, and uv fetches it in each run"), "install Python " + version}}
			}
			return path, err
		}},
	}
	checks = append(checks, builderChecks(c, env, buildx)...)
	checks = append(checks, check{"dataset", func(context.Context) (string, error) {
		return fmt.Sprintf("%d instances of %s", len(targets), c.Dataset), inputErr
	}})
	checks = append(checks, registryChecks(c, targets, client)...)
	checks = append(checks, diskChecks(work, env)...)
	return examine(ctx, checks, rec)
}

// examine makes all checks at once, and prints them in their order. It returns the exit code.
func examine(ctx context.Context, checks []check, rec *record) int {
	lines, code := make([]chan string, len(checks)), ExitOK
	var mu sync.Mutex
	for i, c := range checks {
		lines[i] = make(chan string, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, checkWithin)
			defer cancel()
			found, err := c.look(ctx)
			mark := "✅"
			switch isMinor := (minor{}); {
			case errors.As(err, &isMinor):
				mark, found = "⚠", withHint(err)
			case err != nil:
				mark, found = "❌", withHint(err)
				mu.Lock()
				code = ExitSetup
				mu.Unlock()
			}
			lines[i] <- fmt.Sprintf("%s %-*s %s", mark, longestName(checks), c.name, found)
		}()
	}
	for i := range lines {
		for line := range strings.Lines(<-lines[i]) {
			if strings.HasPrefix(line, "hint: ") {
				line = "   " + line
			}
			rec.print(line)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if ctx.Err() != nil {
		return ExitCancelled
	}
	return code
}

func longestName(checks []check) (longest int) {
	for _, c := range checks {
		longest = max(longest, len(c.name))
	}
	return longest
}

// builderChecks are about what native builds and references need.
func builderChecks(c config.Config, env environment, buildx docker.Buildx) []check {
	checks := []check{{"docker", buildx.Command}, {"buildx", buildx.Version}}
	if docker.IsAddress(c.Builder) {
		return append(checks, check{"builder", func(ctx context.Context) (string, error) {
			return "buildkitd at " + c.Builder, docker.Dial(ctx, c.Builder)
		}})
	}
	checks = append(checks, check{"engine", func(ctx context.Context) (string, error) {
		engine, err := docker.Connect(ctx, env.get)
		if err != nil {
			return "", err
		}
		defer engine.Close()
		return "Docker Engine " + engine.Version, nil
	}})
	if c.Builder == "" {
		return checks
	}
	return append(checks, check{"builder", func(ctx context.Context) (string, error) {
		engine, err := docker.Connect(ctx, env.get)
		if err != nil {
			return "", err
		}
		defer engine.Close()
		return c.Builder, engine.HasBuilder(ctx, c.Builder)
	}})
}

// pushCheck asks whether a registry accepts pushes to the repository in an input.
func pushCheck(name, input, repository string, client *registry.Client) check {
	return check{name, func(ctx context.Context) (string, error) {
		err := client.ProbePush(ctx, repository)
		var denied *registry.Denied
		switch {
		case errors.As(err, &denied):
			denied.Input = input
			return "", denied
		case err != nil:
			return "", withRegistryHint("asking whether "+repository+" accepts pushes", err)
		}
		return repository + " accepts pushes", nil
	}}
}

func withRegistryHint(doing string, err error) error {
	failed := failure.OfRegistry(doing, err)
	return hinted{failed, failure.HintOf(failed)}
}

func registryChecks(c config.Config, targets []plan.Target, client *registry.Client) []check {
	checks := []check{pushCheck("push", "image", c.Image, client)}
	if c.EvalBaseImage != c.Image {
		evalBases := pushCheck("eval-bases", "eval-base-image", c.EvalBaseImage, client)
		checks = append(checks, check{evalBases.name, func(ctx context.Context) (string, error) {
			found, err := evalBases.look(ctx)
			if err != nil && !c.EvalBaseGiven {
				err = minor{hinted{fmt.Errorf("eval-bases go among the images: %w", err), "allow pushes to it, or name another repository in eval-base-image"}}
			}
			return found, err
		}})
	}
	if len(targets) == 0 {
		return checks
	}
	base := targets[0].BaseImage
	checks = append(checks, check{"base image", func(ctx context.Context) (string, error) {
		var decisions plan.Decisions
		image.LookForBases(ctx, client, targets[:1], &decisions)
		switch d := decisions.Images[targets[0].InstanceID]; {
		case d.Base == plan.BaseMissing:
			return "", hinted{errors.New(base + " does not exist"), failure.Hint(failure.ClassBaseMissing)}
		case d.BaseProblem != "":
			return "", hinted{errors.New(d.BaseProblem), failure.HintFor(failure.Class(d.Class), d.BaseProblem)}
		case d.Base == "":
			return "", minor{hinted{errors.New("the registry of " + base + " does not answer"), failure.Hint(failure.ClassNetwork)}}
		}
		return base + " can be read", nil
	}})
	return append(checks, check{"pulls", func(ctx context.Context) (string, error) { return pulls(ctx, base, len(targets), client) }})
}

// pulls says how many pulls of base images are left, where the registry counts them.
func pulls(ctx context.Context, base string, images int, client *registry.Client) (string, error) {
	left, allowed, err := client.Pulls(ctx, base)
	n, notNumber := strconv.Atoi(left)
	switch {
	case err != nil:
		return "not known", nil // the base image has its own line
	case notNumber != nil:
		return "the registry of the base images names no limit", nil
	}
	found := fmt.Sprintf("%s of %s are left", left, windowed(allowed))
	if n < images {
		return "", minor{hinted{
			fmt.Errorf("%s, and there are %d of these images", found, images),
			"log in to the registry of the base images (docker login, or base-registry-username), or make the images in several runs",
		}}
	}
	return found, nil
}

// windowed describes a limit such as "100;w=21600": so many in so many seconds.
func windowed(allowed string) string {
	number, window, _ := strings.Cut(allowed, ";w=")
	seconds, err := strconv.Atoi(window)
	if err != nil {
		return number + " pulls"
	}
	return number + " pulls in " + units.HumanDuration(time.Duration(seconds)*time.Second)
}

// The disk space that a run needs: the SDK's checkout and environment take 500 MB where temporary files are, and base images and cache
// much more on the engine's disk. In bytes.
const needsTemporary, needsEngine = 1 << 30, 20 << 30

func diskChecks(work *workspace, env environment) []check {
	disk := func(name, path string, needed int64, hint string) check {
		return check{name, func(context.Context) (string, error) {
			space, err := docker.SpaceOf(path)
			if err == nil && space.Free < needed {
				err = minor{hinted{fmt.Errorf("%s is free in %s", space, path), hint}}
			}
			return fmt.Sprintf("%s is free in %s", space, path), err
		}}
	}
	temporary := os.TempDir()
	return []check{
		disk("disk", work.root, needsTemporary, "free disk space, or set build-dir to a folder on another disk"),
		disk("temporary", temporary, needsTemporary, "free disk space, or set TMPDIR to a folder on another disk"),
		{"engine's disk", func(ctx context.Context) (string, error) {
			engine, err := docker.Connect(ctx, env.get)
			if err != nil {
				return "not known", nil // the engine has its own line
			}
			defer engine.Close()
			place, err := engine.Place(ctx, ownContainer())
			if err != nil || place.Disk == "" {
				return "cannot be seen from here", nil
			}
			return disk("", place.Disk, needsEngine, "free disk space: docker system df shows what takes it; docker system prune").look(ctx)
		}},
	}
}

// lookAheadWithin is how long a run waits at its end for what lookAhead finds.
const lookAheadWithin = 2 * time.Second

// lookAhead makes the checks of what a run needs only if something has to be built, and warns of what is wrong. It ends no run: if all
// images exist, nothing of that is needed. finish waits for the checks, but not for an engine that hangs.
func lookAhead(ctx context.Context, c config.Config, client *registry.Client, b *builder, rec *record) (finish func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	look := func(without string, checks ...check) {
		ctx, cancel := context.WithTimeout(ctx, checkWithin)
		defer cancel()
		for _, one := range checks { // what follows needs what comes before
			if _, err := one.look(ctx); err != nil {
				if ctx.Err() == nil {
					rec.Warn(without + ": " + withHint(err))
				}
				return
			}
		}
	}
	buildx := docker.Buildx{Environ: b.environ, Log: b.work.setupLog}
	all.Go(func() { look("No image can be built natively", builderChecks(c, b.env, buildx)...) })
	if !c.Load {
		all.Go(func() { look("No image can be pushed", pushCheck("push", "image", c.Image, client)) })
	}
	return func() {
		defer time.AfterFunc(lookAheadWithin, cancel).Stop()
		all.Wait()
		cancel()
	}
}
