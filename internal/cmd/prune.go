package cmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/registry"
)

// pruneCommand is the command that lists or deletes eval-bases that nothing uses.
const pruneCommand = "prune-bases"

// pruneOptions are the flags of pruneCommand.
type pruneOptions struct {
	// EvalBaseImage is the repository of the eval-bases. Where it is empty, it is the default of Image.
	Image, EvalBaseImage string
	// Days is for how many days what was used is kept.
	Days int
	// Delete deletes what is listed.
	Delete bool
}

// defaultDays is the default of pruneOptions.Days.
const defaultDays = 90

const pruneHelp = "eval-images prune-bases lists the eval-bases, references and base images with Python packages that no run has used for some time.\n\n" +
	"  --image REPOSITORY            the repository of the images (default " + config.DefaultImage + ")\n" +
	"  --eval-base-image REPOSITORY  the repository of the eval-bases, where it is not the default one\n" +
	"  --days N                      keep what was used in the last N days (default 90)\n" +
	"  --delete                      delete what is listed, by tag\n\n" +
	"Runs leave lists of what they use. Without lists from before these days nothing is listed, because nobody knows what was used.\n" +
	"The login is that of docker. Do not run it while images are made.\n"

// parsePrune reads the flags of pruneCommand. The error is flag.ErrHelp for --help.
func parsePrune(args []string) (o pruneOptions, err error) {
	flags := flag.NewFlagSet(pruneCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.Image, "image", config.DefaultImage, "")
	flags.StringVar(&o.EvalBaseImage, "eval-base-image", "", "")
	flags.IntVar(&o.Days, "days", defaultDays, "")
	flags.BoolVar(&o.Delete, "delete", false, "")
	err = flags.Parse(args)
	wrong := func(problem, fix string) error {
		return &config.InputError{Input: pruneCommand, Problem: problem, Fix: fix}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return o, err
	case err != nil:
		return o, wrong(err.Error(), "--help lists the flags")
	case flags.NArg() > 0:
		return o, wrong(config.Quote(flags.Arg(0))+" is not a flag", "--help lists the flags")
	case o.Days < 1:
		return o, wrong(fmt.Sprintf("--days %d is too small", o.Days), "write a whole number of at least 1")
	}
	return o, nil
}

// prune is the command prune-bases. It returns the exit code.
func prune(ctx context.Context, p Process) int {
	o, err := parsePrune(p.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(p.Stdout, pruneHelp)
		return ExitOK
	}
	rec := newRecord(p, environment(p.Environ))
	if err == nil {
		err = pruneBases(ctx, p, o, rec)
	}
	for _, one := range split(err) {
		rec.actions.Error("", withHint(one))
	}
	rec.actions.Flush()
	var wrong *config.InputError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &wrong):
		return ExitBadInput
	case ctx.Err() != nil:
		return ExitCancelled
	}
	return ExitSetup
}

// pruneBases lists what can be deleted, and deletes it where that is asked for.
func pruneBases(ctx context.Context, p Process, o pruneOptions, rec *record) (err error) {
	repository := o.EvalBaseImage
	if repository == "" {
		repository = config.EvalBaseImageOf(o.Image)
	}
	for input, given := range map[string]string{"image": o.Image, "eval-base-image": repository} {
		if err := config.CheckRepository(input, given); err != nil {
			return err
		}
	}
	env := environment(p.Environ)
	work := &workspace{root: p.Dir}
	if work.temporary, work.lock, err = makeLockedFolder(os.TempDir(), temporaryPrefix); err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	defer work.clean(ctx)
	if work.dockerConfig, work.dockerConfigLock, err = makeDockerConfig(env, work.temporary); err != nil {
		return err
	}
	client, err := newRegistry(config.Config{Image: repository}, env, nil, work, rec)
	if err != nil {
		return err
	}
	return pruneWith(ctx, client, repository, o, p.Stdout)
}

// pruneWith lists what can be deleted in a repository, and deletes it where that is asked for.
func pruneWith(ctx context.Context, client *registry.Client, repository string, o pruneOptions, out io.Writer) error {
	since := time.Now().Add(-time.Duration(o.Days) * 24 * time.Hour)
	unused, err := image.FindUnused(ctx, client, repository, since)
	if err != nil {
		return fmt.Errorf("looking for what nothing uses in %s: %w", repository, err)
	}
	for _, u := range unused.Tags {
		made := ""
		if !u.Made.IsZero() {
			made = ", made " + u.Made.Format(time.DateOnly)
		}
		fmt.Fprintf(out, "%s (%s%s)\n", u.Tag, u.What, made)
	}
	fmt.Fprintf(out, "%s: not used since %s are %s; kept are %s\n", repository, since.Format(time.DateOnly), unused.Gone, unused.Kept)
	if !o.Delete {
		if len(unused.Tags) > 0 {
			fmt.Fprintln(out, "--delete deletes these tags")
		}
		return nil
	}
	deleted := 0
	for ; deleted < len(unused.Tags); deleted++ {
		if err = client.Delete(ctx, repository+":"+unused.Tags[deleted].Tag); err != nil {
			err = &notDeleted{fmt.Errorf("%d of %d tags are deleted: %w", deleted, len(unused.Tags), err)}
			break
		}
	}
	if deleted == 0 {
		return err
	}
	fmt.Fprintf(out, "deleted %d tags\n", deleted)
	now, failed := image.KeptIn(ctx, client, repository) // or the next run would call them lost
	if failed == nil {
		failed = image.WriteLastRun(ctx, client, repository, now)
	}
	return errors.Join(err, failed)
}

// notDeleted says that a registry does not delete a tag.
type notDeleted struct{ error }

func (e *notDeleted) Unwrap() error { return e.error }

// Hint says how to delete it otherwise.
func (e *notDeleted) Hint() string {
	return "check that the login may delete; where the registry deletes no tags (ghcr.io deletes versions by GitHub's API only), delete what is listed by " +
		"the registry's own means"
}
