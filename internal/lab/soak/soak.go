// Package soak makes images on the lab for a given time while requests to the registry fail, runs and the builder are
// killed, and disks are full. At the end every image must be in the registry, and right.
package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/bases"
	"github.com/OpenHands/eval-images/internal/lab/sdkrepo"
)

// The goals, and the size of a round.
const (
	wantRebases = 1000
	wantNatives = 20
	rebases     = 125 // images of a round of rebases
	natives     = 4   // images of a round of native builds
	// reruns is how often a disturbed run may be repeated until its images must be there.
	reruns = 3
)

// Lab is the input of a soak.
type Lab struct {
	Values     map[string]string // the lab's variables, as `go run -C internal/lab . env` prints them
	ActionFile string            // the path of action.yml
	Workspace  string            // an empty folder
	Instances  []string          // ids with a base image in the lab
	Log        io.Writer         // gets the output of the runs
}

// soak is what the rounds share.
type soak struct {
	Lab
	out      io.Writer
	start    time.Time // makes the names of this soak's images its own
	random   *rand.Rand
	registry *registry
	sdk      sdkrepo.Commits
	builder  string            // a BuildKit that may be killed
	commit   string            // of the rebases
	calm     map[string]string // the digest of each rebased image without faults, by instance
	tally    tally
}

// tally counts what was done and what came of it.
type tally struct {
	rebases, natives int            // images asked for
	lost             []string       // images that are not there, or not right
	kills, disks     map[string]int // by what was killed or full
	survived         int            // rounds after which every image was right
	rounds           int
}

// Run makes images until the goals are reached and limit is over, and prints what came of it.
func Run(ctx context.Context, lab Lab, limit time.Duration, seed uint64, out io.Writer) (err error) {
	fmt.Fprintf(out, "==> soak: for %s, with seed %d\n", limit, seed)
	s := &soak{
		Lab: lab, out: out, start: time.Now(), random: rand.New(rand.NewPCG(seed, 0)),
		sdk:   sdkrepo.Commits{Folder: filepath.Join(lab.Workspace, "sdk.git"), Ref: lab.Values["LAB_SDK_REF"]},
		tally: tally{kills: map[string]int{}, disks: map[string]int{}},
	}
	if err := s.sdk.Clone(ctx, lab.Values["LAB_SDK_REPOSITORY"]); err != nil {
		return err
	}
	gateway, err := docker(ctx, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", lab.Values["LAB_NETWORK"])
	if err != nil {
		return err
	}
	if s.registry, err = startRegistry(gateway, lab.Values["LAB_REGISTRY"], seed); err != nil {
		return err
	}
	defer s.registry.Close()
	defer func() { err = errors.Join(err, s.clean(context.WithoutCancel(ctx))) }()
	if s.builder, err = s.startBuilder(ctx, "kept"); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("preparing the soak: %w", err)
	}
	s.registry.SetRate(share)
	rounds := []func(context.Context, int) error{
		s.rebaseFaults, s.rebaseKilled, s.nativeFaults, s.recordDiskFull, s.nativeKilled, s.rebaseKilled, s.builderKilled, s.builderDiskFull,
	}
	for i := 0; !s.over(limit); i++ {
		if err := rounds[i%len(rounds)](ctx, i); err != nil {
			return err
		}
	}
	return s.print()
}

// over reports whether the soak is to end.
func (s *soak) over(limit time.Duration) bool {
	reached := s.tally.rebases >= wantRebases && s.tally.natives >= wantNatives
	took := time.Since(s.start)
	return reached && took > limit || took > limit*3/2
}

// print prints the tally. Anything lost, or a goal that was missed, is an error.
func (s *soak) print() error {
	t := s.tally
	fmt.Fprintf(s.out, "\n| What | Number |\n| --- | --- |\n")
	row := func(what string, n int) { fmt.Fprintf(s.out, "| %s | %d |\n", what, n) }
	injected := s.registry.Injected()
	total := 0
	for _, name := range slices.Sorted(maps.Keys(injected)) {
		row("registry: "+string(name), injected[name])
		total += injected[name]
	}
	for _, counts := range []map[string]int{t.kills, t.disks} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			row(name, counts[name])
			total += counts[name]
		}
	}
	row("faults injected", total)
	row("rounds survived", t.survived)
	row("rebased images", t.rebases)
	row("native images", t.natives)
	row("images lost", len(t.lost))
	if len(t.lost) > 0 {
		return fmt.Errorf("%d of %d images were lost: %s", len(t.lost), t.rebases+t.natives, strings.Join(t.lost[:min(10, len(t.lost))], ", "))
	}
	if t.rebases < wantRebases || t.natives < wantNatives {
		return fmt.Errorf("made %d rebased and %d native images in the time, want %d and %d: give it more, as in make soak time=40m", t.rebases, t.natives, wantRebases, wantNatives)
	}
	return nil
}

// prepare makes references and eval-bases without faults, and rebases every image once to learn its digest.
func (s *soak) prepare(ctx context.Context) (err error) {
	const made = 6 // two references, and four images with an eval-base that is built
	ids := make([]string, rebases)
	var lines strings.Builder
	for i := range ids {
		ids[i] = fmt.Sprintf("lab__image-%d", i)
		fmt.Fprintf(&lines, "{\"instance_id\": %q}\n", ids[i])
	}
	if err := os.WriteFile(filepath.Join(s.Workspace, datasetFile), []byte(lines.String()), 0o644); err != nil {
		return fmt.Errorf("writing the instances: %w", err)
	}
	var from, to []string
	for _, instance := range s.Instances[:made] {
		from = append(from, bases.Repository(instance)+":latest")
	}
	for _, id := range ids {
		to = append(to, s.path("bases")+":"+id)
	}
	if err := s.pushLabelled(ctx, from, to); err != nil {
		return err
	}
	if s.commit, err = s.sdk.Next(ctx); err != nil {
		return err
	}
	first := s.rebaseStep("first")
	first.Inputs["instance-ids"] = strings.Join(ids[:made], " ")
	if err := s.mustRun(ctx, first); err != nil {
		return err
	}
	// A dry run asks for all eval-bases. Copies of those that were built will do for the missing ones.
	plan := s.rebaseStep("plan")
	plan.Inputs["dry-run"] = "true"
	if err := s.mustRun(ctx, plan); err != nil {
		return err
	}
	const evalBases = "rebase-base" // the default repository of eval-bases
	var missing []string
	for _, path := range s.registry.answers.paths() {
		if tag, ok := strings.CutPrefix(path, "/v2/"+s.path(evalBases)+"/manifests/eval-base-"); ok {
			missing = append(missing, s.path(evalBases)+":eval-base-"+tag)
		}
	}
	there, err := s.tags(ctx, evalBases)
	if err != nil {
		return err
	}
	var built []string
	for _, tag := range there {
		if strings.HasPrefix(tag, "eval-base-") {
			built = append(built, s.path(evalBases)+":"+tag)
		}
	}
	missing = slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(built, name) })
	if err := s.pushLabelled(ctx, built, missing); err != nil {
		return err
	}
	if err := s.mustRun(ctx, s.rebaseStep("calm")); err != nil {
		return err
	}
	if s.calm, err = s.digests(ctx, "rebase", "calm"); err != nil {
		return err
	}
	if distinct := slices.Compact(slices.Sorted(maps.Values(s.calm))); len(distinct) != rebases {
		return fmt.Errorf("%d instances have %d different images without faults, want %d", len(s.calm), len(distinct), rebases)
	}
	return nil
}
