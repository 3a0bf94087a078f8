package ledger

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/outcome"
)

// OpenHands/benchmarks shows eval-env-summary.json in its reports by these names (benchmarks/utils/build_manifest.py,
// render_eval_env_summary_markdown at 4e5469e). The others are ours.
func TestFieldsOfTheSummaryOfEnvironments(t *testing.T) {
	run := Run{Dataset: "d", Split: "test", EvalEnv: &EvalEnv{Prefix: "r.test/swt", SHA: "0123abc", Images: []EvalEnvImage{
		{Name: "exec.base", Base: true, Status: outcome.Built, Seconds: 2},
		{Name: "exec.env.a", Status: outcome.Skipped},
		{Name: "exec.env.b", Status: outcome.Failed, Error: "exit code: 7"},
		{Name: "exec.env.c", Status: outcome.Built, Seconds: 3},
	}}}
	text, err := json.Marshal(SummarizeEvalEnv(run, []string{"i"}, []string{"exec.base:latest"}, []string{"exec.env.b:l", "exec.env.a:l", "exec.env.c:l"}, 0))
	var got map[string]any
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	const theirs = "dataset split instances base_images env_images image_prefix arch summary"
	if diff := cmp.Diff(slices.Sorted(slices.Values(strings.Fields(theirs+" swt_bench_sha failed_images"))), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	numbers := map[string]any{
		"total_base_images": 1.0, "built_base_images": 1.0, "skipped_base_images": 0.0, "total_env_images": 3.0, "selected_env_instances": 1.0,
		"built_env_images": 1.0, "skipped_env_images": 1.0, "base_build_seconds": 2.0, "env_build_seconds": 3.0, "push_seconds": 0.0,
		"wall_clock_seconds": 0.0, "batch_count": 0.0, "batches": []any{},
		"failed_env_images": 1.0, // ours
	}
	if diff := cmp.Diff(numbers, got["summary"]); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"exec.env.a:l", "exec.env.b:l", "exec.env.c:l"}, got["env_images"]); diff != "" {
		t.Errorf("environments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"exec.env.b": "exit code: 7"}, got["failed_images"]); diff != "" {
		t.Errorf("failed images (-want +got):\n%s", diff)
	}
}
