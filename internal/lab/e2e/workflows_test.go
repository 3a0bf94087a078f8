package e2e

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/lab/act"
)

// The steps of the build workflows that the tests read.
const (
	building  = "Build the images"
	notes     = "Say which inputs change nothing"
	uploading = "Upload them"
)

// withoutBaseInBoth is an instance of both benchmarks for which the lab has no base image.
const withoutBaseInBoth = "sympy__sympy-23824"

// TestWorkflows runs the workflows as users do, under act, on three instances each.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	ids := instances(t, 3)
	missing := append(ids[:2:2], withoutBaseInBoth)
	forge, err := act.NewForge(t.Context(), root, t.TempDir(), swtBench(t, missing), lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command("docker", "rmi", "--force", "act-dockeraction:latest") })
	ours, theirs := repository(t)+"-ours", repository(t)+"-theirs"

	t.Run("validate", func(t *testing.T) {
		got := runJob(t, forge, act.Job{
			Repository: forge.Sources, Workflow: "validate.yml", Event: "workflow_dispatch",
			Inputs: map[string]string{"sdk-commit": lab["LAB_SDK_REF"], "instance-ids": strings.Join(ids, ",")},
		}, ours)
		if got.ExitCode != 0 || got.Step("validate/outputs", "Check the outputs").Result != "success" {
			t.Errorf("act ended with %d; want 0, and the outputs checked", got.ExitCode)
		}
		builtOnce(t, forge, got)
		for _, benchmark := range []string{"swebench", "swtbench"} {
			record := recordOf(t, got, benchmark)
			checkLockFile(t, ours, record, ids)
			names := strings.Join(slices.Sorted(maps.Keys(record)), "\n")
			if fileNamed(record, "manifest.jsonl") == nil || fileNamed(record, "build-summary.json") == nil || !strings.Contains(names, "/logs/") {
				t.Errorf("the record of %s lacks ledger, summary or logs:\n%s", benchmark, names)
			}
		}
	})

	t.Run("two shards of swebenchmultimodal", func(t *testing.T) { twoShards(t, forge, repository(t)+"-shards", ids[0]) })
	t.Run("called from another repository", func(t *testing.T) { calledFromAnother(t, forge, theirs, ids) })

	t.Run("a missing base image, swebench", func(t *testing.T) {
		missingBase(t, forge, "swebench", ours, missing, nil, "extensions-ref", "benchmarks-commit")
	})
	// The environments of the evaluation are made although an image is missing: one base, and two for three instances.
	t.Run("a missing base image, and build-eval-env, swtbench", func(t *testing.T) {
		prefix := lab["LAB_REGISTRY_INSIDE"] + "/" + ours + "-swt"
		got := missingBase(t, forge, "swtbench", ours, missing, map[string]string{
			"dataset": "rows.jsonl", "build-eval-env": "true", "eval-image-prefix": prefix,
			"swt-bench-repository": "file://" + forge.Sources + "/harness.git",
		}, "extensions-ref")
		checkBuilt(t, forge, got, "", map[string]string{"eval-env-total": "3", "eval-env-built": "3", "eval-env-skipped": "0", "eval-env-failed": "0"})
		var made struct {
			BaseImages []string `json:"base_images"`
			EnvImages  []string `json:"env_images"`
		}
		if err := json.Unmarshal(fileNamed(recordOf(t, got, "swtbench"), "eval-env-summary.json"), &made); err != nil {
			t.Fatal(err)
		}
		for _, key := range slices.Concat(made.BaseImages, made.EnvImages) {
			name, tag, _ := strings.Cut(key, ":")
			if digestInRegistry(t, ours+"-swt/"+name, tag) == "" {
				t.Errorf("the registry lacks the environment image %s", key)
			}
		}
		if len(made.BaseImages) != 1 || len(made.EnvImages) != 2 {
			t.Errorf("the bases are %v, the environments %v", made.BaseImages, made.EnvImages)
		}
	})

	t.Run("build-eval-env with a bad prefix", func(t *testing.T) {
		got := runJob(t, forge, act.Job{
			Repository: forge.Sources, Workflow: "build-swtbench-images.yml", Event: "workflow_dispatch",
			Inputs: map[string]string{"sdk-commit": lab["LAB_SDK_REF"], "instance-ids": ids[0], "build-eval-env": "true", "eval-image-prefix": "Upper"},
		}, ours)
		if got.ExitCode == 0 || !strings.Contains(got.Log, `eval-image-prefix: "Upper"`) {
			t.Errorf("act ended with %d; want a failure that names the prefix", got.ExitCode)
		}
	})
}

// swtBench is a folder with what a run with build-eval-env needs in its workspace: a dataset of instances that need two environments, and
// a git repository of the fake of swt-bench.
func swtBench(t *testing.T, ids []string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeRows(t, filepath.Join(dir, "rows.jsonl"), ids, []string{"1", "2", "1"})
	harness := t.TempDir()
	fakeHarness(t, harness)
	if err := os.CopyFS(filepath.Join(dir, "harness.git"), os.DirFS(filepath.Join(harness, ".git"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// builtOnce checks that one of two jobs has built all images and the other has found them. act chooses which one is
// first.
func builtOnce(t *testing.T, forge *act.Forge, got act.Result) {
	t.Helper()
	first, second := "swebench/", "swtbench/"
	if got.Step(second, building).Outputs["built"] == "3" {
		first, second = second, first
	}
	checkBuilt(t, forge, got, first, map[string]string{"total": "3", "built": "3", "skipped": "0", "failed": "0"})
	checkBuilt(t, forge, got, second, map[string]string{"total": "3", "built": "0", "skipped": "3", "failed": "0"})
}

// twoShards runs two shards and their merge on images that exist: making images is the same in each workflow, and package image tests
// that one shard waits for another.
func twoShards(t *testing.T, forge *act.Forge, repo, withBase string) {
	ids := []string{"markedjs__marked-1535", "markedjs__marked-684", "markedjs__marked-1674"}
	for _, id := range ids {
		pushOtherBaseAs(t, repo, withBase, id)
	}
	got := runJob(t, forge, act.Job{
		Repository: forge.Sources, Workflow: "build-swebenchmultimodal-images.yml", Event: "workflow_dispatch",
		Inputs: map[string]string{"sdk-commit": "main", "instance-ids": strings.Join(ids, ","), "shards": "2"},
	}, repo)
	if got.ExitCode != 0 {
		t.Errorf("act ended with %d", got.ExitCode)
	}
	const jobs = "Build SWE-Bench Multimodal images/"
	_, sha := phasedPrefix(t) // the branch's commit, too
	for job, total := range map[string]string{"build 1/2": "2", "build 2/2": "1"} {
		checkBuilt(t, forge, got, jobs+job, map[string]string{"total": total, "skipped": total, "failed": "0"})
		if summary := got.Step(jobs+job, building).Summary; !strings.Contains(summary, "SDK ref: <code>"+sha+"<") {
			t.Errorf("%s did not get the commit of the branch:\n%s", job, summary)
		}
	}
	// The second shard does not wait for references: the first one, whose images are there, says that it leaves none.
	if digestInRegistry(t, repo, "reference-"+sha+"-none") == "" {
		t.Error("the first shard does not say that it leaves no references")
	}
	merged := got.Step(jobs+"merge", "Merge them")
	if o := merged.Outputs; o["total"] != "3" || o["skipped"] != "3" || o["failed"] != "0" || !strings.Contains(merged.Summary, "3 images already exist") {
		t.Errorf("the merge has the outputs %v and the summary\n%s", o, merged.Summary)
	}
	record := recordOf(t, got, "swebenchmultimodal")
	whole := map[string][]byte{}
	logs := 0
	for name, content := range record {
		if strings.HasPrefix(name, "builds/") {
			whole[name] = content
		} else if path.Base(name) == "workers.log" {
			logs++
		}
	}
	checkLockFile(t, repo, whole, ids)
	if lines := strings.Count(string(fileNamed(whole, "manifest.jsonl")), "\n"); lines != 3 || logs != 2 || len(got.Uploads) != 3 {
		t.Errorf("the merged ledger has %d lines, its record the logs of %d shards, and there are the uploads %v", lines, logs, got.Uploads)
	}
}

// calledFromAnother calls both workflows from a repository that has an action of its own, which must not run.
func calledFromAnother(t *testing.T, forge *act.Forge, repo string, ids []string) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".github/workflows"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "name: another\ndescription: Not to be run.\nruns: {using: composite, steps: [{shell: bash, run: exit 1}]}\n", dir, "action.yml")
	write(t, evaluation(ids), dir, ".github/workflows/evaluation.yml")
	if err := forge.Push(t.Context(), "someone/evaluation", dir); err != nil {
		t.Fatal(err)
	}
	got := runJob(t, forge, act.Job{Repository: dir, Workflow: "evaluation.yml", Event: "push"}, repo)
	if got.ExitCode != 0 {
		t.Errorf("act ended with %d", got.ExitCode)
	}
	builtOnce(t, forge, got)
	for _, benchmark := range []string{"swebench", "swtbench"} {
		checkLockFile(t, repo, recordOf(t, got, benchmark), ids)
		changesNothing(t, got.Step(benchmark+"/", notes), "benchmarks-ref")
		if deadline := got.Step(benchmark+"/", "Divide the time").Outputs["deadline"]; deadline != "70m" {
			t.Errorf("%s: the deadline in a job of 90 minutes is %q, want 70m", benchmark, deadline)
		}
	}
	_, sha := phasedPrefix(t)
	if read := got.Step("evaluation.yml/", "Read the outputs").Outputs["read"]; read != "3 "+sha+" true 3 "+sha+" true" {
		t.Errorf("the caller reads the outputs %q", read)
	}
}

// evaluation is a workflow that calls both workflows and reads their outputs.
func evaluation(ids []string) string {
	call := func(benchmark string) string {
		return fmt.Sprintf(`  %s:
    permissions: {contents: read, packages: write}
    uses: %s/.github/workflows/build-%[1]s-images.yml@%[3]s
    with:
      sdk-commit: %[4]s
      instance-ids: %[5]s
      benchmarks-ref: main
      timeout-minutes: '90'
    secrets:
      EVAL_IMAGES_REGISTRY_PASSWORD: ${{ secrets.EVAL_IMAGES_REGISTRY_PASSWORD }}
`, benchmark, act.Name, act.Release, lab["LAB_SDK_REF"], strings.Join(ids, ", "))
	}
	return "on: push\njobs:\n" + call("swebench") + call("swtbench") + `  evaluation:
    needs: [swebench, swtbench]
    runs-on: ubuntu-24.04
    steps:
      - name: Read the outputs
        env:
          SWEBENCH: ${{ needs.swebench.outputs.total }} ${{ needs.swebench.outputs.sdk-sha }} ${{ needs.swebench.outputs.wall-clock-seconds != '' }}
          SWTBENCH: ${{ needs.swtbench.outputs.total }} ${{ needs.swtbench.outputs.sdk-sha }} ${{ needs.swtbench.outputs.wall-clock-seconds != '' }}
        run: echo "read=$SWEBENCH $SWTBENCH" >>"$GITHUB_OUTPUT"
`
}

// missingBase starts a workflow by hand for two images that exist and one that cannot be built. The values of its
// unused inputs would do harm if they became part of a script.
func missingBase(
	t *testing.T, forge *act.Forge, benchmark, repo string, ids []string, more map[string]string, unused ...string,
) (got act.Result) {
	t.Helper()
	inputs := map[string]string{"sdk-commit": lab["LAB_SDK_REF"], "instance-ids": strings.Join(ids, " "), "max-workers": "2", "strategy": "native"}
	maps.Copy(inputs, more)
	for _, name := range unused {
		inputs[name] = "`touch /fake-uploads/owned`$(touch /fake-uploads/owned)\"; touch /fake-uploads/owned; #"
	}
	got = runJob(t, forge, act.Job{
		Repository: forge.Sources, Workflow: "build-" + benchmark + "-images.yml",
		Event: "workflow_dispatch", Inputs: inputs,
	}, repo)
	if got.ExitCode == 0 || got.Step("", building).Result != "failure" {
		t.Errorf("act ended with %d: an image that failed does not fail the job", got.ExitCode)
	}
	checkBuilt(t, forge, got, "", map[string]string{"total": "3", "built": "0", "skipped": "2", "failed": "1"})
	record := recordOf(t, got, benchmark)
	checkLockFile(t, repo, record, ids[:2])
	if ledger := string(fileNamed(record, "manifest.jsonl")); !strings.Contains(ledger, ids[2]) {
		t.Errorf("the uploaded ledger does not have the image that failed:\n%s", ledger)
	}
	if summary := string(fileNamed(record, "build-summary.json")); !strings.Contains(summary, `"strategy": "native"`) {
		t.Errorf("the strategy did not reach the action:\n%s", summary)
	}
	changesNothing(t, got.Step("", notes), unused...)
	if len(got.Uploads) != 1 {
		t.Errorf("an input was run as a program: %v", got.Uploads)
	}
	return got
}

// changesNothing checks that the summary says so for each input.
func changesNothing(t *testing.T, step act.Step, inputs ...string) {
	t.Helper()
	for _, name := range inputs {
		if !strings.Contains(step.Summary, "`"+name+"` was accepted and changes nothing") {
			t.Errorf("%s: the summary does not say that %s changes nothing:\n%s", step.Job, name, step.Summary)
		}
	}
}

// runJob sets variables and secrets, as an installation does.
func runJob(t *testing.T, forge *act.Forge, job act.Job, repo string) act.Result {
	t.Helper()
	job.Variables = map[string]string{
		"EVAL_IMAGES_IMAGE":               lab["LAB_REGISTRY_INSIDE"] + "/" + repo,
		"EVAL_IMAGES_SDK_REPOSITORY":      lab["LAB_SDK_REPOSITORY_INSIDE"],
		"EVAL_IMAGES_SDK_OPTIONS":         lab["LAB_SDK_OPTIONS"],
		"EVAL_IMAGES_BASE_IMAGE_TEMPLATE": lab["LAB_BASE_IMAGE_TEMPLATE"],
		"EVAL_IMAGES_REGISTRY_USERNAME":   "lab",
	}
	job.Secrets = map[string]string{"EVAL_IMAGES_REGISTRY_PASSWORD": "pa55-of-the-lab"}
	got, err := forge.Run(t.Context(), job, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.Log, "pa55-of-the-lab") {
		t.Error("the log has the password")
	}
	return got
}

// checkBuilt checks the action's step in a job: outputs, summary, and that the action was built from these sources.
func checkBuilt(t *testing.T, forge *act.Forge, got act.Result, job string, outputs map[string]string) {
	t.Helper()
	step := got.Step(job, building)
	for name, want := range outputs {
		if step.Outputs[name] != want {
			t.Errorf("%s: output %s is %q, want %q", job, name, step.Outputs[name], want)
		}
	}
	if _, sha := phasedPrefix(t); !strings.Contains(step.Summary, "image build") || !strings.Contains(step.Summary, sha) {
		t.Errorf("%s: the step summary is\n%s", job, step.Summary)
	}
	if got.Action != forge.Mark {
		t.Errorf("%s: the action that ran has the mark %q, want %q: it was not built from these sources", job, got.Action, forge.Mark)
	}
	if upload := got.Step(job, uploading); upload.Result != "success" {
		t.Errorf("%s: the upload's result is %q", job, upload.Result)
	}
}

// recordOf unpacks the only upload of a benchmark's workflow: the content of each file by name.
func recordOf(t *testing.T, got act.Result, benchmark string) map[string][]byte {
	t.Helper()
	var names []string
	for name := range got.Uploads {
		if strings.HasPrefix(name, "build-record-"+benchmark+"-") {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		t.Fatalf("%d uploads of %s in %v, want one", len(names), benchmark, got.Uploads)
	}
	file, err := os.Open(got.Uploads[names[0]])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	record := map[string][]byte{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return record
		}
		if err != nil {
			t.Fatal(err)
		}
		if record[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// fileNamed returns the file of a record by its base name.
func fileNamed(record map[string][]byte, name string) []byte {
	for found, content := range record {
		if path.Base(found) == name {
			return content
		}
	}
	return nil
}

// checkLockFile checks that an uploaded lock file has exactly these instances, and that the registry has every tag.
func checkLockFile(t *testing.T, repo string, record map[string][]byte, ids []string) {
	t.Helper()
	var lock struct {
		Images map[string]struct {
			Tags   []string
			Digest string
		}
	}
	if err := json.Unmarshal(fileNamed(record, "images.lock.json"), &lock); err != nil {
		t.Fatalf("reading the lock file: %v", err)
	}
	if got := slices.Sorted(maps.Keys(lock.Images)); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("the lock file has %v, want %v", got, ids)
	}
	for id, image := range lock.Images {
		for _, reference := range image.Tags {
			_, tag, _ := strings.Cut(strings.TrimPrefix(reference, lab["LAB_REGISTRY_INSIDE"]), ":")
			if digest := digestInRegistry(t, repo, tag); digest == "" || digest != image.Digest {
				t.Errorf("%s: the registry has %q under %s, the lock file %q", id, digest, tag, image.Digest)
			}
		}
	}
}
