package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// TestDockerOfEnvironments is the docker command of the tests below, when it is run with a variable: it pushes an image that was made
// when the build says.
func TestDockerOfEnvironments(t *testing.T) {
	args := strings.Split(os.Getenv("FAKE_DOCKER_ARGS"), "\n")
	at := slices.Index(args, "--tag")
	if at < 0 {
		return
	}
	for _, arg := range args {
		if epoch, found := strings.CutPrefix(arg, "SOURCE_DATE_EPOCH="); found {
			seconds, _ := strconv.ParseInt(epoch, 10, 64)
			pushEnvironment(t, args[at+1], time.Unix(seconds, 0))
		}
	}
}

func pushEnvironment(t *testing.T, tag string, created time.Time) {
	t.Helper()
	ref, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.CreatedAt(registrytest.Base(tag), v1.Time{Time: created})
	if err == nil {
		err = remote.Write(ref, img, remote.WithAuth(login))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// login is what the registry of these tests asks for, also to see whether an image is there.
var login = &authn.Basic{Username: "owner", Password: "secret"}

// swtBench is where environments are made: a workspace with a dataset of four instances, a fake of swt-bench's modules, a private registry,
// and a uv, a docker and a builder that do what these tests need. The first and the last instance have one environment.
type swtBench struct {
	dir, prefix string
	env         environment
	inputs      []string
}

var swtBenchVersions = []string{"1", "2", "3", "1"}

func newSWTBench(t *testing.T) swtBench {
	t.Helper()
	images := inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != login.Username || password != login.Password {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	harness := filepath.Join(dir, "harness")
	if err := os.CopyFS(harness, os.DirFS("../evalenv/testdata/harness")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "fake"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", harness}, args...)...).CombinedOutput(); err != nil {
			t.Fatal(string(out), err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	packages, err := filepath.Abs("../evalenv/testdata/packages")
	if err != nil {
		t.Fatal(err)
	}
	for program, script := range map[string]string{
		"uv": `[ "$1" = venv ] || exit 0
for dir; do :; done
mkdir -p "$dir/bin"
printf '#!/bin/sh\nPYTHONPATH=%s exec python3 "$@"\n' ` + packages + ` >"$dir/bin/python"
chmod +x "$dir/bin/python"
`,
		"docker": fmt.Sprintf("cat >/dev/null\nFAKE_DOCKER_ARGS=$(printf '%%s\\n' \"$@\") exec %q -test.run '^TestDockerOfEnvironments$' >&2\n", os.Args[0]),
	} {
		write(t, filepath.Join(dir, "bin", program), "#!/bin/sh\n"+script)
		if err := os.Chmod(filepath.Join(dir, "bin", program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var rows strings.Builder
	for i, version := range swtBenchVersions {
		fmt.Fprintf(&rows, `{"instance_id": "o__p-%d", "repo": "owner/plain", "version": %q, "base_commit": "b"}`+"\n", i, version)
	}
	write(t, filepath.Join(dir, "rows.jsonl"), rows.String())
	path := filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")
	t.Setenv("PATH", path)
	host := strings.TrimPrefix(server.URL, "http://")
	prefix := host + "/swt"
	return swtBench{
		dir: dir, prefix: prefix,
		env: environment{"PATH=" + path, "HOME=" + dir, "GITHUB_WORKSPACE=" + dir},
		inputs: []string{ // the dataset first
			"dataset=rows.jsonl", "benchmark=swtbench", "build-eval-env=true", "eval-image-prefix=" + prefix, "max-retries=0",
			"image=" + host + "/eval", "registry-username=" + login.Username, "registry-password=" + login.Password,
			"swt-bench-repository=file://" + harness, "builder=unix://" + listener.Addr().String(),
		},
	}
}

// make makes the environments of a run whose images of the agent have ended.
func (s swtBench) make(t *testing.T, inputs ...string) (rec *record, said string) {
	t.Helper()
	given := &commandLine{env: s.env}
	given.flags.Set("sdk-ref", "main")
	for _, input := range slices.Concat(s.inputs, inputs) {
		name, value, _ := strings.Cut(input, "=")
		given.flags.Set(name, value)
	}
	var out bytes.Buffer
	rec = newRecord(Process{Stdout: &out}, s.env)
	work := &workspace{root: s.dir}
	c, targets, err := readInputs(t.Context(), given, work, rec)
	if err == nil {
		err = errors.Join(openRecord(c, work, rec), work.makeTemporary(s.env, rec.actions))
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{config: c, env: s.env, environ: work.buildEnviron(s.env, "b"), work: work, record: rec, name: "b", reached: true}
	defer clean(t.Context(), work, nil, rec)
	e, err := prepareEnvironments(t.Context(), c, s.env, work, rec)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newRegistry(c, s.env, targets, work, rec)
	if err == nil {
		err = e.make(t.Context(), client, b)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return rec, out.String()
}

// The evaluation throws away an environment that is older than its base. Those of instances that are not in the plan are named before the
// base is built.
func TestStaleEnvironmentsOfOtherPlansAreNamedBeforeBuilding(t *testing.T) {
	s := newSWTBench(t)
	rec, _ := s.make(t)
	var envs []string
	for _, image := range rec.facts.EvalEnv.Images {
		if image.Status != outcome.Built {
			t.Errorf("%s is %s: %s", image.Name, image.Status, image.Error)
		}
		if !image.Base {
			envs = append(envs, image.Tags...)
		}
	}
	commit, err := exec.Command("git", "-C", filepath.Join(s.dir, "harness"), "rev-parse", "HEAD").Output()
	if recorded := string(rec.facts.EvalEnv.SHA); err != nil || recorded != strings.TrimSpace(string(commit)) {
		t.Errorf("the record has the commit %q of swt-bench, want %s (%v)", recorded, commit, err)
	}
	if len(envs) != 3 {
		t.Fatalf("the environments of the whole dataset are %v", envs)
	}
	rec, _ = s.make(t, "instance-ids=o__p-0")
	if left := rec.facts.EvalEnv; len(left.Stale) > 0 || len(left.Images) != 2 || left.Count(outcome.Skipped) != 2 {
		t.Fatalf("a base that is there makes %v stale; images %v", left.Stale, left.Images)
	}
	own := rec.facts.EvalEnv.Images[1].Tags[0]
	others := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(envs), func(tag string) bool { return tag == own })))
	for what, inputs := range map[string][]string{
		"the base is missing": {"instance-ids=o__p-0"}, "the base is made anew": {"instance-ids=o__p-0", "force-build=true"},
	} {
		t.Run(what, func(t *testing.T) {
			if len(inputs) == 1 {
				base, err := name.ParseReference(s.prefix + "/exec.base.x86_64:latest")
				if err == nil {
					err = remote.Delete(base, remote.WithAuth(login))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			rec, said := s.make(t, inputs...)
			if diff := cmp.Diff(others, rec.facts.EvalEnv.Stale); diff != "" {
				t.Errorf("stale environments (-want +got):\n%s", diff)
			}
			warned, built := strings.Index(said, strings.Join(others, ", ")), strings.Index(said, "] built    exec.base")
			if warned < 0 || built < warned || rec.facts.EvalEnv.Count(outcome.Built) != 2 {
				t.Errorf("the log names them at %d, and builds at %d:\n%s", warned, built, said)
			}
		})
	}
}

// A wrong ref of SWT-Bench ends a run before the SDK is set up. A SWT-Bench that cannot be had leaves the images of the agent.
func TestSWTBenchThatCannotBeHad(t *testing.T) {
	s := newSWTBench(t)
	const sdk = "Set up the SDK at main of"
	cases := map[string]struct {
		input    string
		code     int
		says     string
		goesToIt bool // to the SDK
	}{
		"a wrong ref": {"swt-bench-ref=nope", ExitBadInput, `swt-bench-ref "nope" is no branch, tag or commit of file://` + s.dir + "/harness", false},
		"a repository without swt-bench": {
			"swt-bench-ref=empty", ExitBadInput, "has no src/exec_spec.py\nhint: check swt-bench-repository and swt-bench-ref", false,
		},
		"no repository": {"swt-bench-repository=file://" + s.dir + "/gone", ExitSetup, "error: cloning file://" + s.dir + "/gone", true},
	}
	for _, args := range [][]string{
		{"checkout", "--quiet", "--orphan", "empty"}, {"rm", "-rq", "--force", "."}, {"commit", "--quiet", "--allow-empty", "--message", "empty"},
	} {
		git := exec.Command("git", append([]string{"-C", s.dir + "/harness", "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatal(string(out), err)
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			input, _, _ := strings.Cut(c.input, "=")
			args := []string{"--sdk-ref=main", "--sdk-repository=file://" + s.dir + "/no-sdk", "--" + c.input}
			for _, given := range s.inputs {
				if !strings.HasPrefix(given, input+"=") {
					args = append(args, "--"+given)
				}
			}
			var said bytes.Buffer
			code := Run(t.Context(), Process{Args: args, Environ: s.env, Stdout: &said, Dir: s.dir})
			if code != c.code || !strings.Contains(said.String(), c.says) || strings.Contains(said.String(), sdk) != c.goesToIt {
				t.Errorf("exit code %d, want %d, %q, and that the SDK is set up: %v\n%s", code, c.code, c.says, c.goesToIt, &said)
			}
		})
	}
}

// The first of several shards makes the environments of all of them, and the others make none.
func TestTheFirstShardMakesTheEnvironmentsOfAll(t *testing.T) {
	s := newSWTBench(t)
	for shard, want := range map[string]int{"1/2": 4, "2/2": 0} { // the base and three environments
		p := planned(t, s.dir, s.env, append(s.inputs, "shard="+shard)...)
		got, instances := 0, 4
		if p.EvalEnv != nil {
			got, instances = len(p.EvalEnv.Images), p.EvalEnv.Instances
		}
		if got != want || instances != 4 || p.Total != 2 {
			t.Errorf("shard %s of %d images plans %d environments for %d instances, want %d", shard, p.Total, got, instances, want)
		}
	}
}

// The dataset is read once for instances and environments. What only environments lack leaves the images of the agent.
func TestTheDatasetIsReadOnceForEnvironments(t *testing.T) {
	s := newSWTBench(t)
	hub := hubtest.New(t)
	type row struct {
		ID      string `parquet:"instance_id"`
		Repo    string `parquet:"repo"`
		Version string `parquet:"version"`
		Commit  string `parquet:"base_commit"`
	}
	hub.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{
		hubtest.Parquet(t, []row{{"o__p-0", "owner/plain", "1", "b"}, {"o__p-1", "owner/plain", "2", "b"}}),
	}})
	hub.Add("a/ids", hubtest.Whole(t, "test", []string{"o__p-0"}))
	env := append(slices.Clone(s.env), "HF_ENDPOINT="+hub.URL)
	p := planned(t, s.dir, env, append(s.inputs[1:], "dataset=a/b")...)
	lists := 0
	for _, asked := range hub.Asked() {
		if asked.Place == hubtest.Main && strings.Contains(asked.Path, "parquet") && asked.Range == "" {
			lists++
		}
	}
	if p.EvalEnv == nil || len(p.EvalEnv.Images) != 3 || lists != 1 {
		t.Errorf("the plan has the environments %+v after %d lists of files:\n%v", p.EvalEnv, lists, hub.Asked())
	}
	for input, want := range map[string]string{
		"dataset=a/ids": `"a/ids" has no column repo, which build-eval-env needs`,
		// The hub does not have the preset's dataset, so its instances come from the list in the program.
		"dataset=": "has no columns",
	} {
		var said bytes.Buffer
		args := []string{"--dry-run"}
		for _, given := range append(s.inputs[1:], input) {
			args = append(args, "--"+given)
		}
		if code := Run(t.Context(), Process{Args: args, Environ: env, Stdout: &said, Dir: s.dir}); code == ExitOK || !strings.Contains(said.String(), want) {
			t.Errorf("%s: exit code %d, want an error with %q:\n%s", input, code, want, &said)
		}
	}
}

// environmentsOf are environments of a record, whose ledger is open.
func environmentsOf(t *testing.T, r *begunRecord) (*environments, environmentReporter) {
	t.Helper()
	r.facts.EvalEnv = &ledger.EvalEnv{Prefix: "r.test/swt", Instances: 3, Planned: 3}
	e := &environments{work: r.work, record: r.record}
	var err error
	if e.ledger, err = ledger.OpenEvalEnv(r.work.folder); err != nil {
		t.Fatal(err)
	}
	return e, environmentReporter{reporter{r.record, nil}, e}
}

func builtEnvironment(id string) *outcome.Outcome {
	return &outcome.Outcome{
		Target: plan.Target{InstanceID: id}, Tags: []string{"r.test/swt/" + id + ":latest"}, Digest: "sha256:" + strings.Repeat("0", 64),
		Attempts: make([]outcome.Attempt, 1), Started: time.Now(), Finished: time.Now(),
	}
}

// A ledger of environments that takes no lines fails the run, unless it takes them at the end: the same as the ledger of images.
func TestRunWhoseLedgerOfEnvironmentsTakesNoLines(t *testing.T) {
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprint("at_the_end_", later), func(t *testing.T) {
			if !inChild(t) {
				return
			}
			r := beginRecord(t)
			r.allBuilt(t)
			e, report := environmentsOf(t, r)
			lift := limitFiles(t, 100) // bytes, less than a line has
			for _, id := range []string{"exec.base", "exec.env.1", "exec.env.2"} {
				report.record(builtEnvironment(id))
			}
			if later {
				lift()
			}
			e.completeRecord(time.Second)
			lift()
			code := r.finish(t.Context(), r.work, r.targets, nil)
			entries, err := ledger.Read(filepath.Join(r.work.folder, ledger.EvalEnvFileName))
			if want := map[bool][2]int{false: {ExitFailed, 0}, true: {ExitOK, 3}}[later]; err != nil || code != want[0] || len(entries) != want[1] {
				t.Errorf("exit code %d, and %d lines (%v); want %v\n%s", code, len(entries), err, want, &r.said)
			}
			if said := r.said.String(); strings.Contains(said, "The record of this run is incomplete") == later || strings.Count(said, "warning: ledger: ") != 1 {
				t.Errorf("the log says\n%s", said)
			}
		})
	}
}

// The post step tells of the environments of a killed run, too.
func TestPostStepReportsTheEnvironmentsOfAKilledRun(t *testing.T) {
	s := newSWTBench(t)
	summary, state := filepath.Join(s.dir, "summary"), filepath.Join(s.dir, "state")
	s.env = append(s.env, "GITHUB_ACTIONS=true", "GITHUB_STATE="+state, "GITHUB_STEP_SUMMARY="+summary, "INPUT_BUILDER=b")
	s.make(t) // and the run is killed
	var said bytes.Buffer
	Post(t.Context(), Process{Environ: append(s.env, states(t, state)...), Stdout: &said, Dir: "/nowhere"})
	got, err := os.ReadFile(summary)
	if want := "4 images for 4 instances under <code>" + s.prefix + "</code>: 4 built, 0 already existed, 0 missing."; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("the summary lacks %q (%v):\n%s\n%s", want, err, got, &said)
	}
}

// A merge has the environments of the latest run of the first shard.
func TestMergeHasTheEnvironmentsOfTheFirstShard(t *testing.T) {
	top := t.TempDir()
	leave := func(dir, shard string, started time.Time, env *ledger.EvalEnv) {
		run := ledger.Run{Shard: ledger.Text(shard), PlannedTotal: 2, Planned: 1, Started: started, EvalEnv: env}
		entries := []ledger.Entry{{InstanceID: "a__a-" + shard[:1], Status: outcome.Built, Tags: []string{"r.test/i:t"}}}
		w, err := ledger.Open(filepath.Join(top, dir))
		if err == nil {
			err = errors.Join(w.Append(entries[0]), w.Close(), ledger.WriteJSON(filepath.Join(top, dir, ledger.SummaryFileName), ledger.Summarize(run, entries)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	environments := func(status outcome.Status) *ledger.EvalEnv {
		return &ledger.EvalEnv{Prefix: "r.test/swt", Instances: 2, Planned: 2, SHA: "0123abc", Images: []ledger.EvalEnvImage{
			{Name: "exec.base", Base: true, Tags: []string{"r.test/swt/exec.base:latest"}, Digest: "sha256:1", Status: outcome.Skipped},
			{Name: "exec.env", Tags: []string{"r.test/swt/exec.env:latest"}, Digest: "sha256:2", Status: status},
		}}
	}
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	leave("one", "1/2", first, environments(outcome.Failed))
	leave("one-again", "1/2", first.Add(time.Hour), environments(outcome.Built))
	leave("two", "2/2", first.Add(2*time.Hour), nil)
	for name, want := range map[string]struct {
		dirs  []string
		code  int
		built string
	}{
		"the first run failed": {[]string{"two", "one"}, ExitFailed, "0"}, "it ran again": {[]string{"one-again", "two", "one"}, ExitOK, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			var said bytes.Buffer
			args := []string{"merge"}
			for _, dir := range want.dirs {
				args = append(args, filepath.Join(top, dir))
			}
			output := filepath.Join(t.TempDir(), "output")
			env := []string{"GITHUB_ACTIONS=true", "GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + filepath.Join(out, "summary.md")}
			code := Run(t.Context(), Process{Args: args, Environ: env, Stdout: &said, Dir: out})
			outputs, _ := os.ReadFile(output)
			markdown, _ := os.ReadFile(filepath.Join(out, "summary.md"))
			var lock struct{ Environments map[string]any }
			text, err := os.ReadFile(filepath.Join(out, ledger.LockFileName))
			if err == nil {
				err = json.Unmarshal(text, &lock)
			}
			if code != want.code || err != nil || len(lock.Environments) != 1+map[string]int{"0": 0, "1": 1}[want.built] {
				t.Errorf("exit code %d, want %d; the lock file has %v (%v)\n%s", code, want.code, lock.Environments, err, &said)
			}
			if !strings.Contains(string(markdown), "2 images for 2 instances under <code>r.test/swt</code>: "+want.built+" built, 1 already existed") ||
				!strings.Contains(strings.ReplaceAll(string(outputs), "\n", " "), " "+want.built+" ") || !strings.Contains(string(outputs), "eval-env-built<<") {
				t.Errorf("the summary and the outputs are\n%s\n%s", markdown, outputs)
			}
		})
	}
}
