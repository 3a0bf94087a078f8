package dataset

import (
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// Lists that nobody can build from.
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
	a, b, path := "a__a-1", "b__b-2", "../x"
	cases := map[string]struct {
		file       []byte
		says, hint string
	}{
		"nulls":         {hubtest.Parquet(t, []nullable{{&a}, {nil}, {&b}}), `"a/b" has no instance_id in row 2`, "every row has one"},
		"duplicates":    {hubtest.Parquet(t, []nullable{{&a}, {&b}, {&a}}), `"a/b" has the instance_id a__a-1 twice, in rows 1 and 3`, "of its own"},
		"no ids":        {hubtest.Parquet(t, []other{{"x", "y"}}), `"a/b" has no column instance_id`, "this one has name, text"},
		"numbers":       {hubtest.Parquet(t, []numbered{{1}}), `column instance_id of "a/b" is not text`, "choose"},
		"empty":         {hubtest.Parquet(t, []nullable{}), `"a/b" has no rows`, "every row"},
		"no id's shape": {hubtest.Parquet(t, []nullable{{&path}}), `has the instance_id "../x" in row 1, which cannot become a part`, "of its own"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := hubtest.New(t)
			h.Add("a/b", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{tc.file}})
			reader, _ := readerOf(t, h)
			_, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
			mistake, ok := err.(*config.InputError)
			if !ok || mistake.Input != "dataset" || !strings.Contains(mistake.Problem, tc.says) || !strings.Contains(mistake.Fix, tc.hint) {
				t.Fatalf("error is %v, want a mistake with %q and the hint %q", err, tc.says, tc.hint)
			}
		})
	}
}
