package cmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/registry"
)

// pruneCommand is the command that lists or deletes eval-bases that nothing uses.
const pruneCommand = "prune-bases"

const pruneHelp = "List the eval-bases, references and base images with Python packages that no run has used for some time, and delete them with " +
	"--delete, by their tags. Runs leave lists of what they use: before these go back far enough nothing is listed, because nobody knows what was " +
	"used. Do not run it while images are made."

// pruneFlags are the inputs of the command prune-bases.
var pruneFlags = []string{"image", "eval-base-image", "registry-username", "registry-password"}

// pruneOptions are the flags of prune-bases that are no inputs.
type pruneOptions struct {
	// Days is for how many days what was used is kept.
	Days daysFlag
	// Delete deletes what is listed.
	Delete bool
}

// daysFlag is the value of --days. It is checked with all others, so that mistakes are told together.
type daysFlag string

func (d *daysFlag) String() string { return string(*d) }

// Set takes a value.
func (d *daysFlag) Set(v string) error {
	*d = daysFlag(v)
	return nil
}

// Type is the word for the value in the help.
func (d *daysFlag) Type() string { return "N" }

const defaultDays = "90"

// prune is the command prune-bases. It returns the exit code.
func prune(ctx context.Context, l *commandLine) int {
	rec := l.record()
	days, err := strconv.Atoi(string(l.pruneOptions.Days))
	if err != nil || days < 1 {
		l.mistake("days", config.Quote(string(l.pruneOptions.Days))+" is not a whole number of at least 1", "write a number such as "+defaultDays)
	}
	c, err := l.parse(rec)
	if err != nil {
		return rec.fail(err)
	}
	work := l.workspace(rec)
	defer clean(ctx, work, nil, rec)
	if err := work.makeTemporary(l.env, rec.actions); err != nil {
		return rec.fail(withDiskHint(err))
	}
	client, err := newRegistry(c, l.env, nil, work, rec)
	if err == nil {
		err = pruneBases(ctx, client, c.EvalBaseImage, time.Duration(days)*24*time.Hour, l.pruneOptions.Delete, rec)
	}
	switch {
	case err == nil:
		return ExitOK
	case ctx.Err() != nil:
		return ExitCancelled
	}
	return rec.fail(err)
}

// pruneBases lists what can be deleted in a repository, and deletes it where that is asked for.
func pruneBases(ctx context.Context, client *registry.Client, repository string, age time.Duration, remove bool, rec *record) error {
	since := time.Now().Add(-age)
	unused, err := image.FindUnused(ctx, client, repository, since)
	if err != nil {
		return fmt.Errorf("looking for what nothing uses in %s: %w", repository, err)
	}
	for _, u := range unused.Tags {
		made := ""
		if !u.Made.IsZero() {
			made = ", made " + u.Made.Format(time.DateOnly)
		}
		rec.print(fmt.Sprintf("%s (%s%s)", u.Tag, u.What, made))
	}
	rec.print(fmt.Sprintf("%s: unused since %s: %s; kept: %s", repository, since.Format(time.DateOnly), unused.Gone, unused.Kept))
	if !remove {
		if len(unused.Tags) > 0 {
			rec.print("--delete deletes these tags")
		}
		return nil
	}
	deleted := 0
	for ; deleted < len(unused.Tags); deleted++ {
		if err = client.Delete(ctx, repository+":"+unused.Tags[deleted].Tag); err != nil {
			err = hinted{fmt.Errorf("%d of %d tags are deleted: %w", deleted, len(unused.Tags), err), deleteHint}
			break
		}
	}
	if deleted == 0 {
		return err
	}
	rec.print(fmt.Sprintf("tags deleted: %d", deleted))
	now, failed := image.KeptIn(ctx, client, repository) // or the next run would call them lost
	if failed == nil {
		failed = image.WriteLastRun(ctx, client, repository, now)
	}
	return errors.Join(err, failed)
}

// deleteHint says how to delete tags that a registry does not delete.
const deleteHint = "check that the login may delete; where the registry deletes no tags (ghcr.io deletes versions by GitHub's API only), " +
	"delete what is listed by the registry's own means"
