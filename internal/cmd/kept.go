package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// keptBases is what a run says at its start of the eval-bases that there are, and leaves at its end for the next one.
type keptBases struct {
	repository string
	client     *registry.Client
	record     *record
	looked     chan struct{}
}

// lookAtKept begins to count what there is, where it may be used. The run goes on meanwhile: a registry may take some time for many tags.
func lookAtKept(ctx context.Context, s image.Settings, targets []plan.Target, client *registry.Client, rec *record) *keptBases {
	if s.BaseStage == nil && !addsPackages(targets) {
		return nil
	}
	k := &keptBases{s.EvalBaseRepository, client, rec, make(chan struct{})}
	go func() {
		defer close(k.looked)
		ctx, cancel := context.WithTimeout(ctx, lookWithin)
		defer cancel()
		k.look(ctx)
	}()
	return k
}

// lookWithin bounds the look. A run does not wait longer for a list of tags that does not come.
const lookWithin = time.Minute

// look logs how many there are. It warns when there are fewer eval-bases than the last run left.
func (k *keptBases) look(ctx context.Context) {
	now, err := image.KeptIn(ctx, k.client, k.repository)
	if err != nil {
		k.info(ctx, "it is not known how many eval-bases there are", err)
		return
	}
	k.record.Info(fmt.Sprintf("%s has %s", k.repository, now))
	last, err := image.ReadLastRun(ctx, k.client, k.repository)
	switch {
	case errors.Is(err, registry.ErrNotFound):
	case err != nil:
		k.info(ctx, "it is not known how many eval-bases the last run has left", err)
	case last.EvalBases > now.EvalBases:
		k.record.Warn(fmt.Sprintf("Since the last run, on %s, %d of the %d eval-bases in %s were deleted. This run makes those again that it needs, "+
			"which takes hours where they are many.\nhint: %s", last.At.Format(time.DateOnly), last.EvalBases-now.EvalBases, last.EvalBases, k.repository,
			retentionHint(k.repository)))
	}
}

// retentionHint says which rule deletes eval-bases.
func retentionHint(repository string) string {
	host, path, _ := strings.Cut(repository, "/")
	if host == registry.GitHub {
		return "let the workflow that deletes old versions of packages, such as one with actions/delete-package-versions, leave out the package " + path[strings.IndexByte(path, '/')+1:]
	}
	return "let the retention or lifecycle rule of " + host + " that deletes old images leave out the repository " + path
}

// info logs why something about eval-bases is not known. No image depends on it.
func (k *keptBases) info(ctx context.Context, what string, err error) {
	if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		k.record.Info(what + ": " + err.Error())
	}
}

// leaveWithin bounds what a run leaves for the next one, also after its deadline.
const leaveWithin = 30 * time.Second

// leave leaves for the next run what there is now, and for prune-bases what this run has used. A cancelled run has no time for that.
func (k *keptBases) leave(ctx context.Context, used []string) {
	if k == nil {
		return
	}
	<-k.looked
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), failure.ErrDeadline) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	if err := image.LeaveUsed(ctx, k.client, k.repository, used, time.Now()); err != nil {
		k.record.Info("what this run has used of " + k.repository + " is not noted there: " + err.Error())
	}
	now, err := image.KeptIn(ctx, k.client, k.repository)
	if err == nil {
		err = image.WriteLastRun(ctx, k.client, k.repository, now)
	}
	if err != nil {
		k.record.Info("the next run is not told how many eval-bases there are: " + err.Error())
	}
}
