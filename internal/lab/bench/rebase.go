package bench

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/limited"
)

// The size of the runs with strategy rebase: images of the whole benchmark, images with a distinct base, references,
// which need no eval-base, images for each other way, and images at once.
const (
	wholeBenchmark = 500
	rebased        = 40
	references     = 2
	compared       = 8
	slots          = 4
)

// writesOfRun is the number of writes that a run makes once, to try whether it may push and whether the registry checks
// manifests: starting and ending an upload, a configuration, and a manifest that is refused.
const writesOfRun = 5

// rebasing is what the measurements of rebase share. Each fills in what the later ones need.
type rebasing struct {
	instances []string       // of the whole benchmark
	cold      map[string]int // requests of the first run to the repository of the images
	commit    string         // at which the 40 images were made, and whose reference is there
	fresh     measured       // that run
	whole     measured       // the one of all images after it
}

// againstBuilding makes 40 images at a new commit on existing eval-bases, then all 500, and compares both with the
// other ways.
func (b *bench) againstBuilding(ctx context.Context) (t table, err error) {
	r := &b.rebasing
	cold, err := b.prepare(ctx)
	if err != nil {
		return t, err
	}
	if r.fresh, err = b.rebase(ctx, r.instances[:rebased]); err != nil {
		return t, err
	}
	rivals, agent, err := b.rivals(ctx, b.bases(r.instances[:compared+1]))
	if err != nil {
		return t, err
	}
	if err := b.labelEvalBases(ctx, r.commit); err != nil {
		return t, err
	}
	if r.whole, err = b.runAgain(ctx, b.image("rebase"), "again", "built"); err != nil {
		return t, err
	}
	rebase := way{name: "rebase", each: r.whole.phase(buildPhase) / time.Duration(len(r.instances))}
	rebase.once = max(0, r.fresh.times.making()-rebased*rebase.each)
	t = compare(rebase, rivals, rebased)
	t.note("%d images at once in all ways. Rebase: the %s of a run of %d images, each on an eval-base of its own, with its look-ups; all but %d of "+
		"the eval-bases differ from another in a label only. The other ways: %d images each, on base stages that are there. All counted: the "+
		"references' builds, and with COPY --link the first export of the layer.",
		slots, milliseconds(r.whole.phase(buildPhase)), len(r.instances), rebased, compared)
	noteAgent(&t, rebase, rivals[len(rivals)-1], agent, rebased)
	t.note("The run that made the %d eval-bases, with two references, took %s; the next one, at a new commit, %s.", rebased, seconds(cold.took), seconds(r.fresh.took))
	project(&t, append(rivals, rebase))
	return t, b.costs(ctx, &t)
}

// prepare gives all instances a base image and makes the eval-bases of the first ones.
func (b *bench) prepare(ctx context.Context) (cold measured, err error) {
	all, err := b.writeInstances()
	if err != nil {
		return cold, err
	}
	first, others := all[:rebased+references], all[rebased+references:]
	if err := b.pushDistinctBases(ctx, first); err != nil {
		return cold, err
	}
	if cold, err = b.rebase(ctx, first); err != nil {
		return cold, err
	}
	if b.rebasing.cold, err = b.countRequests(ctx, cold.since, "rebase"); err != nil {
		return cold, err
	}
	having, err := rebasedInstances(b.Workspace, cold.got)
	if err != nil {
		return cold, err
	}
	if len(having) != rebased {
		return cold, fmt.Errorf("the first run rebased %d images, want %d", len(having), rebased)
	}
	b.rebasing.instances = append(having, others...)
	return cold, b.pushLabelledBases(ctx, others, having)
}

// costs adds the requests and resources of the run of all images to the table.
func (b *bench) costs(ctx context.Context, t *table) error {
	m, images := b.rebasing.whole, float64(len(b.rebasing.instances))
	tags, err := lockedTags(b.Workspace, m.got)
	if err != nil {
		return err
	}
	for _, repository := range []string{"rebase", evalBaseRepository, "bases"} {
		counts, err := b.countRequests(ctx, m.since, repository)
		if err != nil {
			return err
		}
		t.note("Requests for each image to the repository of the %s: %s.", map[string]string{"rebase": "images", evalBaseRepository: "eval-bases", "bases": "bases"}[repository],
			perImage(counts, images))
		if repository == "rebase" {
			allowed := 2*len(b.rebasing.instances) + tags + writesOfRun
			t.note("Writes: %d for %.0f images with %d tags, %s.", limited.Writes(counts), images, tags,
				met(limited.Writes(counts) <= allowed, fmt.Sprintf("at most 2 + tags each, and %d for the run", writesOfRun)))
		}
	}
	t.note("The first run sent these for each of its %d images to the repository of the images, with the builder's for the %d references: %s.",
		rebased+references, references, perImage(b.rebasing.cold, rebased+references))
	t.note("The orchestrator took %s of processor time and %s at its peak, %s.", seconds(m.cost.cpu), mebibytes(m.cost.peakKB),
		met(m.cost.peakKB < 64<<10, "under 64 MiB"))
	return nil
}

// newCommit shows where the time of the run at a new commit went.
func (b *bench) newCommit(context.Context) (table, error) {
	t := b.rebasing.fresh.times.table(b.rebasing.fresh.phases)
	t.note("%d images at a new commit, which changes a file of the agent, their eval-bases present.", rebased)
	return t, nil
}

// limitedWrites makes all images again, at a registry with ghcr.io's limit of writes.
func (b *bench) limitedWrites(ctx context.Context) (table, error) {
	t := table{header: []string{"What", "Got", "Goal"}}
	gateway, err := b.gateway(ctx)
	if err != nil {
		return t, err
	}
	limits := limited.GHCR
	front, err := limited.Start(gateway, b.Values["LAB_REGISTRY"], limits)
	if err != nil {
		return t, err
	}
	defer front.Close()
	m, err := b.runAgain(ctx, front.Address+"/"+b.path("rebase"), "limited", "built")
	if err != nil {
		return t, err
	}
	counts, took := front.Counts(), m.phase(buildPhase)
	writes := limited.Writes(counts)
	floor := limits.Floor(writes)
	t.row("images", m.got.Outputs["built"], "")
	t.row("failed", m.got.Outputs["failed"], met(m.got.Outputs["failed"] == "0", "0"))
	t.row("requests of an image", perImage(counts, float64(len(b.rebasing.instances))), "")
	t.row("wall time of the builds", seconds(took), met(took <= floor+floor/10, "within 10 % of the floor"))
	t.row("over the floor", fmt.Sprintf("%.1f %%", 100*(took.Seconds()/floor.Seconds()-1)), "")
	t.row("answers 429", fmt.Sprint(front.Refused()), "")
	t.row("peak memory of the orchestrator", mebibytes(m.cost.peakKB), met(m.cost.peakKB < 64<<10, "under 64 MiB"))
	t.note("Floor: (%d writes - %d at once) / %d a minute = %s.", writes, limits.Burst, limits.PerMinute, seconds(floor))
	t.note("Reference and eval-bases are there, and the run has no engine.")
	return t, nil
}

// rerunAll runs again with all images present.
func (b *bench) rerunAll(ctx context.Context) (table, error) {
	t := table{header: []string{"What", "Got", "Goal"}}
	m, err := b.runAgain(ctx, b.image("rebase"), "again", "skipped")
	if err != nil {
		return t, err
	}
	requests, err := b.countRequests(ctx, m.since, "rebase")
	if err != nil {
		return t, err
	}
	tags, err := lockedTags(b.Workspace, m.got)
	if err != nil {
		return t, err
	}
	heads := requests["HEAD"]
	delete(requests, "HEAD")
	t.row("images present", m.got.Outputs["skipped"], "")
	t.row("HEAD requests", fmt.Sprint(heads), met(heads == tags, fmt.Sprintf("one for each of %d tags", tags)))
	probes := maps.Equal(requests, map[string]int{"POST": 1, "DELETE": 1}) // an upload is begun and ended
	t.row("other requests", perImage(requests, 1), met(probes, "two, which ask for the right to push"))
	present := m.phase("check-registry")
	t.row("after the tags are known", milliseconds(present), met(present < 5*time.Second, "under 5 s"))
	t.note("Without an engine; the whole run took %s.", seconds(m.took))
	return t, nil
}
