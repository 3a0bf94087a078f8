package bench

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// measured is a run and its cost.
type measured struct {
	got    runner.Result
	took   time.Duration
	since  time.Time
	phases []phase
	times  timeline
	cost   cost
}

func (m measured) phase(name string) time.Duration { return byName(m.phases)[name] }

// rebase makes images at a new commit.
func (b *bench) rebase(ctx context.Context, instances []string) (m measured, err error) {
	if b.rebasing.commit, err = b.sdk.Next(ctx); err != nil {
		return m, err
	}
	m, err = b.measure(ctx, b.rebaseStep(b.rebasing.commit, instances, b.image("rebase"), "first"), "built", len(instances))
	if err == nil {
		err = b.cleanAgents(ctx)
	}
	return m, err
}

// runAgain runs for all images at the last commit, without an engine, because references and eval-bases exist. A new tag
// makes all images missing.
func (b *bench) runAgain(ctx context.Context, image, tag, output string) (measured, error) {
	r := b.rebasing
	step := b.rebaseStep(r.commit, r.instances, image, tag)
	var err error
	if step.Image, err = b.withoutEngine(ctx); err != nil {
		return measured{}, err
	}
	return b.measure(ctx, step, output, len(r.instances))
}

func (b *bench) rebaseStep(commit string, instances []string, image, tag string) runner.Step {
	s := b.step(commit, "", instances)
	s.Inputs["image"], s.Inputs["strategy"], s.Inputs["max-workers"] = image, "rebase", fmt.Sprint(slots)
	s.Inputs["dataset"] = datasetFile
	s.Inputs["base-image-template"], s.Inputs["custom-tag-template"] = b.image("bases")+":{instance_id}", tag+"-{instance_id}"
	return s
}

// bases returns the instances' base images, by their names in containers.
func (b *bench) bases(instances []string) (images []string) {
	for _, instance := range instances {
		images = append(images, b.image("bases")+":"+instance)
	}
	return images
}

// measure runs a step and checks that the output has the number of images.
func (b *bench) measure(ctx context.Context, s runner.Step, output string, want int) (measured, error) {
	m := measured{since: time.Now()}
	started, err := s.Start(ctx)
	if err != nil {
		return m, err
	}
	m.cost = watch(ctx, started)
	m.took, m.got = time.Since(m.since), started.Wait()
	if m.got.ExitCode != 0 || m.got.Outputs[output] != fmt.Sprint(want) {
		return m, fmt.Errorf("the run ended with %d, %s images %s, want %d", m.got.ExitCode, m.got.Outputs[output], output, want)
	}
	if m.phases, err = summaryPhases(b.Workspace, m.got); err != nil {
		return m, err
	}
	m.times, err = readTimeline(b.Workspace, m.got, m.phases)
	return m, err
}

// rebasedInstances returns the images that a run has rebased; the others were references.
func rebasedInstances(workspace string, got runner.Result) (ids []string, err error) {
	err = readLedger(workspace, got, func(e entry) {
		if e.Strategy == "rebase" {
			ids = append(ids, e.InstanceID)
		}
	})
	slices.Sort(ids)
	return ids, err
}

// perImage formats the number of requests for each image, by method.
func perImage(counts map[string]int, images float64) string {
	var parts []string
	for _, method := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %.3g", method, float64(counts[method])/images))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// withoutEngine returns the action's image with an engine address where nothing listens.
func (b *bench) withoutEngine(ctx context.Context) (string, error) {
	return b.actionWith(ctx, noEngineImage, "ENV DOCKER_HOST=unix:///nowhere/docker.sock\n")
}

// gateway returns the host's address on the lab's network.
func (b *bench) gateway(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}",
		b.Values["LAB_NETWORK"]).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("looking for the host's address on the lab's network: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// writeInstances writes a dataset of made-up instances, because some of the real ones get a wrapped base image.
func (b *bench) writeInstances() (ids []string, err error) {
	var lines strings.Builder
	for i := range wholeBenchmark + references {
		ids = append(ids, fmt.Sprintf("lab__image-%d", i))
		fmt.Fprintf(&lines, "{\"instance_id\": %q}\n", ids[i])
	}
	return ids, b.write(datasetFile, lines.String())
}

// datasetFile is the dataset in the workspace.
const datasetFile = "instances.jsonl"
