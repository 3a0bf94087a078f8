package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// series is a series of runs into one repository and one workspace, as one user makes them on one machine.
type series struct {
	repo, workspace string
	ids             []string
	// first is what the first run has made, by instance. verified is the image that it has compared with a native build.
	first    map[string]line
	verified string
}

// step is a run for the instances. Its eval-bases are in the default repository, which is not that of the images, so that their layers
// must be mounted.
func (s *series) step(t *testing.T, ids []string, more map[string]string) runner.Step {
	t.Helper()
	one := step(t, s.repo, ids, nil)
	maps.Copy(one.Inputs, more)
	one.Workspace = s.workspace
	return one
}

// rebased returns the first run's rebased images, sorted by instance.
func (s *series) rebased() (lines []line) { return made(s.first, "rebase") }

// made returns the lines of a ledger with this strategy, sorted by instance.
func made(lines map[string]line, strategy string) (found []line) {
	for _, id := range slices.Sorted(maps.Keys(lines)) {
		if lines[id].Strategy == strategy {
			found = append(found, lines[id])
		}
	}
	return found
}

// TestRebase follows one repository: its first images, and later runs that find its references and eval-bases.
func TestRebase(t *testing.T) {
	t.Parallel()
	s := &series{repo: repository(t), workspace: t.TempDir(), ids: instances(t, 6)}
	if !t.Run("the first run", s.firstRun) {
		return // the others begin with what it has made
	}
	t.Run("equal to a native build", s.equalsNative)
	t.Run("without an engine", s.withoutEngine)
	t.Run("a cold builder", s.coldBuilder)
	t.Run("verified by hand", s.verifiedByHand)
	t.Run("odd bases", s.oddBases)
	t.Run("killed", s.killRandomly)
	t.Run("two shards", s.twoShards)
}

// firstRun makes references, eval-bases and images in an empty repository, and verifies one image.
func (s *series) firstRun(t *testing.T) {
	step := s.step(t, s.ids, map[string]string{"verify-tree": "true"})
	got := start(t, step).Wait()
	checkOutputs(t, got, 0, map[string]string{"total": "6", "built": "6", "skipped": "0", "failed": "0", "retried": "0", "strategy": "rebase"})
	s.first = ledger(t, s.workspace, got)
	told := facts(t, s.workspace, got)
	var references []string
	for _, r := range told.References {
		references = append(references, r.Instance)
		if r.Reused || digestInRegistry(t, s.repo+"-base", tagOf(r.Tag)) == "" {
			t.Errorf("reference %+v is not new, or has no tag of its own", r)
		}
	}
	slices.Sort(references)
	natives := made(s.first, "native")
	if len(natives) != 2 || len(s.rebased()) != 4 || !slices.Equal(references, []string{natives[0].InstanceID, natives[1].InstanceID}) {
		t.Fatalf("2 references should be native and 4 images rebased; references %v, ledger %+v", references, s.first)
	}
	if natives[0].InstanceID[:5] == natives[1].InstanceID[:5] {
		t.Errorf("the references %v are of one repository", references)
	}
	agent := last(layersOf(t, onHost(natives[0].Tags[0])))
	for id, l := range s.first {
		if l.NotRebased != "" || digestInRegistry(t, s.repo, tagOf(l.Tags[0])) != l.Digest || last(layersOf(t, onHost(l.Tags[0]))) != agent {
			t.Errorf("%s: %+v; want its digest in the registry, the references' agent layer %s, and nothing against it", id, l, agent)
		}
	}
	if told.EvalBasesMade != 4 || told.EvalBasesReused != 0 {
		t.Errorf("%d eval-bases were made and %d reused, want 4 and none", told.EvalBasesMade, told.EvalBasesReused)
	}
	tags, err := crane.ListTags(lab["LAB_REGISTRY"] + "/" + s.repo + "-base")
	if left := strings.Join(tags, " "); err != nil || !strings.Contains(left, "last-run") || !strings.Contains(left, "used-20") {
		t.Errorf("the run has not left what it used, and how much there is: %s, %v", left, err)
	}
	s.verified = s.verifiedOne(t, got)
	if !strings.Contains(got.Summary, "How the images were made") {
		t.Errorf("the summary is\n%s", got.Summary)
	}
}

// verifiedOne checks that a run compared one rebased image, found it equal, and removed the native one. It returns the
// image's instance.
func (s *series) verifiedOne(t *testing.T, got runner.Result) string {
	t.Helper()
	told := facts(t, s.workspace, got)
	if len(told.Verified) != 1 || told.Verified[0].Result != "ok" || !strings.Contains(got.Summary, "equals its native build") {
		t.Fatalf("verified: %+v; want one that is equal, and the summary to say so", told.Verified)
	}
	v := told.Verified[0]
	if ledger(t, s.workspace, got)[v.Instance].Strategy != "rebase" {
		t.Errorf("%s was verified, and was not rebased", v.Instance)
	}
	for _, tag := range v.Tags {
		if digestInRegistry(t, s.repo, tagOf(tag)) != "" {
			t.Errorf("%s is left", tag)
		}
	}
	return v.Instance
}

// equalsNative builds a rebased image natively elsewhere and compares both in the registry. The builder still has the
// layers of the native build with which the first run compared it.
func (s *series) equalsNative(t *testing.T) {
	rebased := s.first[s.verified]
	step := s.step(t, []string{rebased.InstanceID}, map[string]string{
		"image": lab["LAB_REGISTRY_INSIDE"] + "/" + s.repo + "-native", "strategy": "native",
	})
	got := start(t, step).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "1", "strategy": "native"})
	native := ledger(t, s.workspace, got)[rebased.InstanceID]
	a, b := onHost(native.Tags[0]), onHost(rebased.Tags[0])
	if native.Digest == rebased.Digest || last(layersOf(t, a)) != last(layersOf(t, b)) {
		t.Errorf("they should be two images with one agent layer: %v and %v", layersOf(t, a), layersOf(t, b))
	}
	if diff := cmp.Diff(image(t, a).Config, image(t, b).Config); diff != "" {
		t.Errorf("configurations (-native +rebased):\n%s", diff)
	}
	nativeFiles, rebasedFiles := files(t, a), files(t, b)
	if len(rebasedFiles) < 10_000 {
		t.Errorf("the rebased image has %d paths", len(rebasedFiles))
	}
	if diff := differences(nativeFiles, rebasedFiles); len(diff) > 0 {
		t.Errorf("of %d paths %d differ: %s", len(rebasedFiles), len(diff), strings.Join(diff[:min(20, len(diff))], "\n"))
	}
}

// withoutEngine makes images from what earlier runs have left, without a docker command and an engine.
func (s *series) withoutEngine(t *testing.T) {
	gone := s.rebased()[:2]
	deleteTags(t, gone...)
	step := s.step(t, s.ids, map[string]string{"builder": ""})
	step.Image = derived(t, "no-docker", "ENV DOCKER_HOST=tcp://127.0.0.1:1", "RUN rm /usr/bin/docker")
	if *more {
		step.Inputs["verify"] = "1"
		got := start(t, step).Wait()
		checkOutputs(t, got, 3, map[string]string{"built": "0"})
		if !strings.Contains(got.Log, "tcp://127.0.0.1:1") {
			t.Error("the log does not say what does not answer")
		}
		delete(step.Inputs, "verify")
	}
	got := start(t, step).Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "2", "skipped": "4", "failed": "0", "strategy": "rebase"})
	if !warned(got, "No rebased image was verified") {
		t.Errorf("no warning that nothing was verified: %+v", got.Annotations)
	}
	told := facts(t, s.workspace, got)
	if !strings.Contains(got.Log, lab["LAB_REGISTRY_INSIDE"]+"/"+s.repo+"-base has eval-bases: 4, references: 2,") {
		t.Error("the log does not say how many eval-bases there are")
	}
	if told.EvalBasesReused != 2 || told.EvalBasesMade != 0 || len(told.References) != 2 || !told.References[0].Reused || !told.References[1].Reused {
		t.Errorf("%+v; want 2 eval-bases and 2 references, all reused", told)
	}
	for _, l := range gone {
		if again := digestInRegistry(t, s.repo, tagOf(l.Tags[0])); again != l.Digest {
			t.Errorf("%s is now %q, and was %s", l.InstanceID, again, l.Digest)
		}
	}
}

// coldBuilder verifies an image with a builder of the run's own, which has made none of its layers. The builder is on the
// run's network, has the lab's mirrors, and ends with the run.
func (s *series) coldBuilder(t *testing.T) {
	deleteTags(t, s.rebased()[2])
	theirs := ownBuilder(t, s.ids, map[string]string{"verify-tree": "true"})
	delete(theirs.Inputs, "image")
	run := start(t, s.step(t, s.ids, theirs.Inputs))
	waitFor(t, run, "BuildKit v")
	said, err := command("docker", "logs", run.Container)
	if err != nil {
		t.Fatal(err)
	}
	name := builderOf(t, said)
	network := docker(t, "inspect", "--format", "{{.HostConfig.NetworkMode}}", "buildx_buildkit_"+name+"0")
	if network != lab["LAB_NETWORK"] {
		t.Errorf("the builder is on network %s, and the action's container on %s", network, lab["LAB_NETWORK"])
	}
	got := run.Wait()
	checkOutputs(t, got, 0, map[string]string{"built": "1", "skipped": "5", "failed": "0", "strategy": "rebase"})
	s.verifiedOne(t, got)
	nothingLeft(t, name)
	if !strings.Contains(got.Summary, name) {
		t.Error("the summary does not name the builder")
	}
	post, err := run.Post(t.Context())
	if err != nil || post.ExitCode != 0 || post.Summary != "" || strings.Contains(post.Log, "removed") {
		t.Errorf("the post step: %v, exit code %d, %q, summary %q; want that it had nothing to do", err, post.ExitCode, post.Log, post.Summary)
	}
}

// rebaseFacts is the part of a summary about rebases that the tests read.
type rebaseFacts struct {
	EvalBasesMade   int `json:"eval_bases_made"`
	EvalBasesReused int `json:"eval_bases_reused"`
	References      []struct {
		Instance string `json:"instance_id"`
		Tag      string
		Reused   bool
	}
	Verified []struct {
		Instance    string `json:"instance_id"`
		Result      string
		Differences []string
		Tags        []string
	}
}

func facts(t *testing.T, workspace string, got runner.Result) rebaseFacts {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(workspace, got.Outputs["summary"]))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct{ Run struct{ Rebase rebaseFacts } }
	if err := json.Unmarshal(content, &summary); err != nil {
		t.Fatal(err)
	}
	return summary.Run.Rebase
}

// tagOf returns the tag of a reference.
func tagOf(reference string) string { return reference[strings.LastIndexByte(reference, ':')+1:] }

func last(digests []string) string { return digests[len(digests)-1] }
