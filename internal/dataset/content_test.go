package dataset

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// Lists that nobody can build from, in parquet and, where the hub has none, in rows.
func TestUnusableDatasets(t *testing.T) {
	type nullable struct {
		ID *string `parquet:"instance_id,optional"`
	}
	type numbered struct {
		ID int64 `parquet:"instance_id"`
	}
	type other struct {
		Name string `parquet:"name"`
		Text string `parquet:"text"`
	}
	a, b := "a__a-1", "b__b-2"
	cases := map[string]struct {
		file       []byte
		rows       []map[string]any
		says, hint string
	}{
		"nulls": {hubtest.Parquet(t, []nullable{{&a}, {nil}, {&b}}), []map[string]any{{"instance_id": a}, {"instance_id": nil}, {"instance_id": b}},
			`"a/b" has no instance_id in row 2`, "every row has one"},
		"duplicates": {hubtest.Parquet(t, []nullable{{&a}, {&b}, {&a}}), []map[string]any{{"instance_id": a}, {"instance_id": b}, {"instance_id": a}},
			`"a/b" has the instance_id a__a-1 twice, in rows 1 and 3`, "of its own"},
		"no ids": {hubtest.Parquet(t, []other{{"x", "y"}}), []map[string]any{{"name": "x", "text": "y"}},
			`"a/b" has no column instance_id`, "this one has name, text"},
		"numbers": {hubtest.Parquet(t, []numbered{{1}}), []map[string]any{{"instance_id": 1}}, `column instance_id of "a/b" is not text`, "choose"},
		"empty":   {hubtest.Parquet(t, []nullable{}), nil, `"a/b" has no rows`, "every row"},
		"no id's shape": {hubtest.Parquet(t, []other{}), []map[string]any{{"instance_id": "../x"}},
			"has no column", ""},
	}
	for name, tc := range cases {
		for _, parquet := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, parquet %v", name, parquet), func(t *testing.T) {
				if name == "no id's shape" && !parquet {
					tc.says = `has the instance_id "../x" in row 1, which cannot become a part`
				}
				h := hubtest.New(t)
				h.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{tc.file}, Rows: tc.rows})
				if !parquet {
					h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
						return place == hubtest.Main && everywhere(404)(place, w, r)
					}
				}
				reader, _ := readerOf(t, h)
				_, err := reader.Read(t.Context(), "a/b", "test", nil)
				mistake, ok := err.(*config.InputError)
				if !ok || mistake.Input != "dataset" || !strings.Contains(mistake.Problem, tc.says) {
					t.Fatalf("error is %v, want a mistake with %q", err, tc.says)
				}
				hint := sortedTail(mistake.Fix)
				if !strings.Contains(hint, tc.hint) {
					t.Errorf("hint is %q, want %q in it", hint, tc.hint)
				}
				if asked := h.Asked(); parquet && slices.ContainsFunc(asked, func(r hubtest.Request) bool { return r.Place == hubtest.Server }) {
					t.Errorf("asked on: %+v", asked)
				}
			})
		}
	}
}

// sortedTail sorts the columns of a hint, which the server gives in any order.
func sortedTail(hint string) string {
	head, tail, ok := strings.Cut(hint, "this one has ")
	if !ok {
		return hint
	}
	columns := strings.Split(tail, ", ")
	slices.Sort(columns)
	return head + "this one has " + strings.Join(columns, ", ")
}
