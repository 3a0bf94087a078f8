package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestSampleIsPandas(t *testing.T) {
	var recorded struct {
		Vectors []struct {
			Len, N  int
			Seed    uint32
			Indices []int
		}
	}
	decode(t, "testdata/pandas_sample_vectors.json", &recorded)
	if len(recorded.Vectors) != 101 {
		t.Fatalf("%d vectors, want 101", len(recorded.Vectors))
	}
	for _, v := range recorded.Vectors {
		t.Run(fmt.Sprintf("%d of %d, seed %d", v.N, v.Len, v.Seed), func(t *testing.T) {
			if diff := cmp.Diff(v.Indices, permutation(v.Len, v.N, v.Seed)); diff != "" {
				t.Errorf("indices (-pandas +sample):\n%s", diff)
			}
		})
	}
}

// Ids that pandas draws from the real lists, in the order in which it draws them.
func TestSampleOfTheRealLists(t *testing.T) {
	var recorded map[string][]string
	decode(t, "testdata/pandas_sample_ids.json", &recorded)
	verified, swt := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified"), mustEmbedded(t, "eth-sri/SWT-bench_Verified_bm25_27k_zsp")
	multimodal, err := Embedded("princeton-nlp/SWE-bench_Multimodal", "dev")
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := Selection("swe-bench-multimodal-resolved")
	if err != nil || len(resolved) != 68 {
		t.Fatalf("the selection has %d ids, want 68; error %v", len(resolved), err)
	}
	only := func(ids []string, chosen func(string) bool) []string {
		return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !chosen(id) })
	}
	lists := map[string][]string{
		"swe-bench-verified": verified,
		"swt-bench-verified": swt,
		"swe-bench-multimodal-dev-selected": only(multimodal, func(id string) bool {
			return slices.Contains(resolved, id)
		}),
		"swe-bench-verified/select=django__*": only(verified, func(id string) bool { return strings.HasPrefix(id, "django__") }),
	}
	if len(recorded) != 16 {
		t.Fatalf("%d recorded samples, want 16", len(recorded))
	}
	for name, want := range recorded {
		t.Run(name, func(t *testing.T) {
			list, count, _ := strings.Cut(name, "/n=")
			var n int
			if _, err := fmt.Sscan(count, &n); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, IDs(Sample(rowsFromIDs(lists[list]), n))); diff != "" {
				t.Errorf("ids (-pandas +Sample):\n%s", diff)
			}
		})
	}
}

func mustEmbedded(t *testing.T, name string) []string {
	t.Helper()
	ids, err := Embedded(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestSampleWithoutALimit(t *testing.T) {
	rows := rowsFromIDs([]string{"c", "a", "b"})
	if got := IDs(Sample(rows, 0)); !slices.Equal(got, []string{"c", "a", "b"}) {
		t.Errorf("Sample(0) = %q", got)
	}
	if got := IDs(Sample(rows, 9)); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"a", "b", "c"}) {
		t.Errorf("Sample(9) of 3 = %q", got)
	}
	if got := Sample(nil, 5); len(got) != 0 {
		t.Errorf("Sample of nothing = %v", got)
	}
}
