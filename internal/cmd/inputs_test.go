package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
	"github.com/OpenHands/eval-images/internal/report"
)

func TestHubAddress(t *testing.T) {
	cases := map[string]struct {
		environ []string
		want    string // empty for a bad input
	}{
		"by default":         {nil, "https://huggingface.co"},
		"another hub":        {[]string{"HF_ENDPOINT=https://hub.example/"}, "https://hub.example"},
		"a mirror's path":    {[]string{"HF_ENDPOINT=http://127.0.0.1:8080/v"}, "http://127.0.0.1:8080/v"},
		"the hub, outright":  {[]string{"HF_ENDPOINT=https://huggingface.co"}, "https://huggingface.co"},
		"an empty variable":  {[]string{"HF_ENDPOINT="}, "https://huggingface.co"},
		"nothing but blanks": {[]string{"HF_ENDPOINT=  "}, "https://huggingface.co"},
		"no address":         {[]string{"HF_ENDPOINT=huggingface.co"}, ""},
		"another scheme":     {[]string{"HF_ENDPOINT=file:///x"}, ""},
		"with credentials":   {[]string{"HF_ENDPOINT=https://u:s3cret@hub.example"}, ""},
		"a broken escape":    {[]string{"HF_ENDPOINT=http://x/%zz"}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.want == "" { // the program refuses it before it asks anybody
				var said bytes.Buffer
				code := Run(t.Context(), Process{Args: []string{"--dry-run"}, Environ: c.environ, Stdout: &said, Dir: t.TempDir()})
				if code != ExitBadInput || !strings.Contains(said.String(), "HF_ENDPOINT") || strings.Contains(said.String(), "s3cret") {
					t.Errorf("exit code %d, want %d:\n%s", code, ExitBadInput, &said)
				}
				return
			}
			got, err := hubAddress(c.environ)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("the hub is %s, want %s", got, c.want)
			}
		})
	}
}

// The input's token goes before that of the environment.
func TestTheHubGetsTheToken(t *testing.T) {
	cases := map[string]struct {
		environ []string
		want    string
	}{
		"none":              {nil, ""},
		"the usual token":   {[]string{"HF_TOKEN=aaaa"}, "Bearer aaaa"},
		"the input's token": {[]string{"HF_TOKEN=aaaa", "INPUT_HF-TOKEN=bbbb"}, "Bearer bbbb"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			hub := hubtest.New(t)
			hub.Add("a/b", hubtest.Whole(t, "test", []string{"x__y-1"}))
			environ := append(c.environ, "INPUT_DRY-RUN=true", "INPUT_DATASET=a/b", "HF_ENDPOINT="+hub.URL)
			var said bytes.Buffer
			if code := Run(t.Context(), Process{Environ: environ, Stdout: &said, Dir: t.TempDir()}); code != ExitOK {
				t.Fatalf("exit code %d:\n%s", code, &said)
			}
			for _, asked := range hub.Asked() {
				if asked.Place == hubtest.Main && asked.Authorization != c.want {
					t.Errorf("%s was asked for with %q, want %q", asked.Path, asked.Authorization, c.want)
				}
			}
		})
	}
}

// planned is the plan of a dry run, which has inputs beside those that every run needs.
func planned(t *testing.T, dir string, environ []string, inputs ...string) report.Plan {
	t.Helper()
	var out, said bytes.Buffer
	args := []string{"--dry-run", "--format=json"}
	for _, input := range inputs {
		args = append(args, "--"+input)
	}
	code := Run(t.Context(), Process{Args: args, Environ: environ, Stdout: &out, Stderr: &said, Dir: dir})
	if code != ExitOK {
		t.Fatalf("exit code %d:\n%s", code, &said)
	}
	var p report.Plan
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("%v:\n%s", err, &out)
	}
	return p
}

// The order of the steps decides which instances an evaluation's limit means: choose, draw, drop, sort, split.
func TestInstancesAreChosenAsAnEvaluationDoes(t *testing.T) {
	type row struct {
		ID      string `parquet:"instance_id"`
		Image   string `parquet:"image_name"`
		Problem string `parquet:"problem_statement"`
	}
	hub := hubtest.New(t)
	var rows []row
	for _, name := range strings.Split("j i h g f e d c b a", " ") {
		rows = append(rows, row{name + "__" + name + "-1", "x/" + name, "it fails"})
	}
	rows[8].Problem = "\n " // b, which is the first that pandas draws of ten
	hub.Add("SWE-bench/SWE-smith-py", hubtest.Dataset{Config: "default", Split: "train", Files: [][]byte{hubtest.Parquet(t, rows)}})
	multimodal, err := dataset.Selection("swe-bench-multimodal-resolved")
	if err != nil {
		t.Fatal(err)
	}
	hub.Add("princeton-nlp/SWE-bench_Multimodal", hubtest.Whole(t, "dev", append([]string{"not__resolved-1"}, multimodal...)))
	resolved := slices.Clone(multimodal)
	slices.Sort(resolved)
	cases := map[string]struct {
		inputs string
		want   []string
		total  int
	}{
		// pandas draws 8, 1, 5, 0 of ten: b, i, e, j. b is dropped only then.
		"drawn, then dropped":        {"benchmark=swesmith n-limit=4", []string{"e__e-1", "i__i-1", "j__j-1"}, 3},
		"and split":                  {"benchmark=swesmith n-limit=4 shard=2/2", []string{"i__i-1"}, 3},
		"chosen, not drawn":          {"benchmark=swesmith n-limit=1 instance-ids=c__c-1,a__a-1", []string{"a__a-1", "c__c-1"}, 2},
		"the preset's own selection": {"benchmark=swebench-multimodal", resolved, 68},
		"or the user's":              {"benchmark=swebench-multimodal instance-ids=not__resolved-1", []string{"not__resolved-1"}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := planned(t, t.TempDir(), []string{"HF_ENDPOINT=" + hub.URL}, strings.Fields(c.inputs)...)
			if p.PlannedTotal != c.total || p.Total != len(p.Images) || p.InstancesFrom != "the hub's parquet files" {
				t.Errorf("planned %d of %d, from %s; want %d", p.Total, p.PlannedTotal, p.InstancesFrom, c.total)
			}
			var got []string
			for _, image := range p.Images {
				got = append(got, image.InstanceID)
			}
			if name == "the preset's own selection" { // its order is that of the base images, which are all in lower case
				slices.Sort(got)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}

// A sample of which nothing is left is no run with nothing to do.
func TestInstancesWithoutImagesAreABadInput(t *testing.T) {
	dir := t.TempDir()
	content := `{"instance_id": "a__a-1", "image_name": "x/y", "problem_statement": ""}`
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	args := []string{"--sdk-ref=v1", "--builder=b", "--benchmark=swesmith", "--dataset=x.jsonl"}
	code := Run(t.Context(), Process{Args: args, Stdout: &said, Dir: dir})
	if hint := "hint: choose others: column problem_statement of all of these is blank"; code != ExitBadInput || !strings.Contains(said.String(), hint) {
		t.Errorf("exit code %d, want %d and %q:\n%s", code, ExitBadInput, hint, &said)
	}
}
