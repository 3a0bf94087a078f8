package pipeline

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
	"github.com/OpenHands/eval-images/internal/report"
)

// planning is a run as far as its plan needs one.
func planning(environ ...string) *run {
	r := &run{environ: environ}
	r.stdout = report.NewScreen(io.Discard, r.getenv)
	r.actions = actions.New(io.Discard, r.getenv)
	return r
}

func TestDatasetReader(t *testing.T) {
	cases := map[string]struct {
		environ    []string
		hub, token string
		input      string
	}{
		"by default":         {nil, "https://huggingface.co", "", ""},
		"another hub":        {[]string{"HF_ENDPOINT=https://hub.example/"}, "https://hub.example", "", ""},
		"a mirror's path":    {[]string{"HF_ENDPOINT=http://127.0.0.1:8080/v"}, "http://127.0.0.1:8080/v", "", ""},
		"the usual token":    {[]string{"HF_TOKEN=a"}, "https://huggingface.co", "a", ""},
		"the input's token":  {[]string{"HF_TOKEN=a"}, "https://huggingface.co", "b", "b"},
		"the hub, outright":  {[]string{"HF_ENDPOINT=https://huggingface.co"}, "https://huggingface.co", "", ""},
		"an empty variable":  {[]string{"HF_ENDPOINT="}, "https://huggingface.co", "", ""},
		"nothing but blanks": {[]string{"HF_ENDPOINT=  "}, "https://huggingface.co", "", ""},
		"no address":         {[]string{"HF_ENDPOINT=huggingface.co"}, "", "", ""},
		"another scheme":     {[]string{"HF_ENDPOINT=file:///x"}, "", "", ""},
		"with credentials":   {[]string{"HF_ENDPOINT=https://u:s3cret@hub.example"}, "", "", ""},
		"a broken escape":    {[]string{"HF_ENDPOINT=http://x/%zz"}, "", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader, err := planning(tc.environ...).datasetReader(config.Config{HFToken: tc.input})
			if tc.hub == "" {
				mistake, ok := err.(*config.InputError)
				if !ok || !strings.Contains(mistake.Input, "HF_") || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{reader.Hub.String(), reader.Token}
			if diff := cmp.Diff([]string{tc.hub, tc.token}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The order of the steps decides which instances an evaluation's limit means: choose, draw, drop, sort, split.
func TestPlan(t *testing.T) {
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
	environ := []string{"HF_ENDPOINT=" + hub.URL}
	cases := map[string]struct {
		inputs string
		first  []string
		total  int
	}{
		// pandas draws 8, 1, 5, 0 of ten: b, i, e, j. b is dropped only then.
		"drawn, then dropped":        {"benchmark=swesmith n-limit=4", []string{"e__e-1", "i__i-1", "j__j-1"}, 3},
		"and split":                  {"benchmark=swesmith n-limit=4 shard=2/2", []string{"i__i-1"}, 3},
		"chosen, not drawn":          {"benchmark=swesmith n-limit=1 instance-ids=c__c-1,a__a-1", []string{"a__a-1", "c__c-1"}, 2},
		"the preset's own selection": {"benchmark=swebench-multimodal", []string{strings.ToLower("Automattic__wp-calypso")}, 68},
		"or the user's":              {"benchmark=swebench-multimodal instance-ids=not__resolved-1", []string{"not__resolved-1"}, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			given := map[string]string{"sdk-ref": "v1", "builder": "b"}
			for _, input := range strings.Fields(tc.inputs) {
				name, value, _ := strings.Cut(input, "=")
				given[name] = value
			}
			c, err := config.Parse(func(name string) string { return given[name] })
			if err != nil {
				t.Fatal(err)
			}
			r := planning(environ...)
			if err := r.plan(t.Context(), c, nil); err != nil {
				t.Fatal(err)
			}
			if r.facts.PlannedTotal != tc.total || r.facts.Planned != len(r.targets) || r.facts.InstancesFrom != "the hub's parquet files" {
				t.Errorf("planned %d of %d, from %s; want %d", r.facts.Planned, r.facts.PlannedTotal, r.facts.InstancesFrom, tc.total)
			}
			for i, want := range tc.first {
				if got := strings.ToLower(r.targets[i].InstanceID); !strings.HasPrefix(got, want) {
					t.Errorf("target %d is %s, want %s", i, got, want)
				}
			}
		})
	}
}

// A sample of which nothing is left is no run with nothing to do.
func TestPlanOfInstancesWithoutImages(t *testing.T) {
	r := planning()
	r.workspace = t.TempDir()
	content := `{"instance_id": "a__a-1", "image_name": "x/y", "problem_statement": ""}`
	if err := os.WriteFile(filepath.Join(r.workspace, "x.jsonl"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"sdk-ref": "v1", "builder": "b", "benchmark": "swesmith", "dataset": "x.jsonl"}
	c, err := config.Parse(func(name string) string { return given[name] })
	if err != nil {
		t.Fatal(err)
	}
	mistake, ok := r.plan(t.Context(), c, nil).(*config.InputError)
	if !ok || !strings.Contains(mistake.Fix, "problem_statement") {
		t.Errorf("mistake is %v", mistake)
	}
}
