package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
)

func TestOutputs(t *testing.T) {
	want := [][2]string{
		{"total", "12"},
		{"built", "7"},
		{"skipped", "2"},
		{"failed", "3"},
		{"retried", "2"},
		{"failed-instances", `["astropy__astropy-12907","matplotlib__matplotlib-20488","sympy__sympy-24909"]`},
		{"images-per-hour", "147.4"},
		{"wall-clock-seconds", "218.0"},
		{"sdist-seconds", "2.6"},
		{"sdk-sha", sha},
		{"sdk-version", "1.58.2"},
		{"seam", "intercept"},
		{"strategy", "native"},
		{"manifest", "builds/princeton-nlp/SWE-bench_Verified/test/manifest.jsonl"},
		{"summary", "builds/princeton-nlp/SWE-bench_Verified/test/build-summary.json"},
		{"lock-file", "builds/princeton-nlp/SWE-bench_Verified/test/images.lock.json"},
		{"failed-file", ""},
		{"logs", "builds/princeton-nlp/SWE-bench_Verified/test/logs"},
		{"eval-env-total", ""},
		{"eval-env-built", ""},
		{"eval-env-skipped", ""},
		{"eval-env-failed", ""},
	}
	if diff := cmp.Diff(want, Outputs(scenarios()["failures"])); diff != "" {
		t.Error(diff)
	}
}

func output(s ledger.Summary, name string) string {
	for _, o := range Outputs(s) {
		if o[0] == name {
			return o[1]
		}
	}
	return "no such output"
}

func TestSingleOutputs(t *testing.T) {
	all := scenarios()
	cases := []struct{ scenario, name, want string }{
		{"setup", "failed", "12"}, // none of them is there
		{"setup", "failed-instances", "[]"},
		{"setup", "sdist-seconds", ""},
		{"setup", "sdk-sha", ""},
		{"setup", "lock-file", ""},
		{"no-sdist", "sdist-seconds", ""},
		{"skipped", "images-per-hour", "0.0"},
		{"skipped", "strategy", ""}, // nothing was made
		{"rebased", "strategy", "mixed"},
		{"different", "strategy", "rebase"},
		{"deadline", "failed", "9"},
		{"deadline", "failed-instances", `["astropy__astropy-12907","sympy__sympy-24909","x__y-1","x__y-2","x__y-3","x__y-4"]`},
		{"deadline", "failed-file", "builds/princeton-nlp/SWE-bench_Verified/test/failed.txt"},
		{"cancelled", "failed", "10"},
		{"cancelled", "failed-instances", `["astropy__astropy-12907","x__y-1","x__y-2"]`}, // failed before cancelled
	}
	for _, c := range cases {
		t.Run(c.scenario+" "+c.name, func(t *testing.T) {
			if got := output(all[c.scenario], c.name); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// action.yml is where a workflow's author reads what there is.
func TestOutputsAreThoseOfTheAction(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, declared, _ := strings.Cut(string(text), "\noutputs:\n")
	declared, _, _ = strings.Cut(declared, "\nruns:\n")
	var want, got []string
	for line := range strings.Lines(declared) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), ":"); ok {
			want = append(want, name)
		}
	}
	for _, o := range Outputs(ledger.Summary{}) {
		got = append(got, o[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-action.yml +outputs)\n%s", diff)
	}
}

func TestOutputsAreSingleLines(t *testing.T) {
	for _, o := range Outputs(everywhere("a\r\nb\rc\nd")) {
		if strings.ContainsAny(o[1], "\r\n") {
			t.Errorf("%s has a line break: %q", o[0], o[1])
		}
	}
}

func TestFailedInstancesAreCapped(t *testing.T) {
	cases := []struct {
		name          string
		failed, bytes int
		want          int
	}{
		{"few", 3, 20, 3},
		{"100", 100, 20, 100},
		{"more than 100", 101, 20, 100},
		{"long ones", 100, 1000, 32},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var list []ledger.FailedBuild
			for i := range c.failed {
				id := fmt.Sprintf("%04d", i)
				list = append(list, ledger.FailedBuild{InstanceID: id + strings.Repeat("x", c.bytes-len(id)), Class: failure.ClassBuild})
			}
			text := failedInstances(list)
			var ids []string
			if err := json.Unmarshal([]byte(text), &ids); err != nil {
				t.Fatal(err)
			}
			if len(ids) != c.want || len(text) > 32<<10 || ids[0] != list[0].InstanceID {
				t.Errorf("%d ids in %d bytes, want %d", len(ids), len(text), c.want)
			}
		})
	}
}

func TestLockFileGolden(t *testing.T) {
	outcomes := append(twelve(), cancelled("x__y-1"))
	outcomes[0].Tags = []string{"r/i:z", "r/i:a"}
	path := filepath.Join(t.TempDir(), ledger.LockFileName)
	s := ledger.Summarize(exampleRun(13), entries(outcomes))
	if err := ledger.WriteJSON(path, LockFile(s, entries(outcomes))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, ledger.LockFileName, string(text))
}
