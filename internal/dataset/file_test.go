package dataset

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

func readFrom(content string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if name != "data/x.jsonl" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(content), nil
	}
}

func TestFile(t *testing.T) {
	plain := []Row{{ID: "b__b-2"}, {ID: "a__a-1"}}
	cases := map[string]struct {
		content string
		columns []string
		want    []Row
	}{
		"lines":               {`{"instance_id": "b__b-2"}` + "\n" + `{"repo": "a/a", "instance_id": "a__a-1"}`, nil, plain},
		"CRLF, blank lines":   {"\r\n" + `{"instance_id": "b__b-2"}` + "\r\n\r\n" + `{"instance_id": "a__a-1"}` + "\r\n", nil, plain},
		"a byte order mark":   {"\ufeff" + `{"instance_id": "b__b-2"} {"instance_id": "a__a-1"}`, nil, plain},
		"an array":            {"\n" + `[{"instance_id": "b__b-2"}, {"instance_id": "a__a-1"}]` + "\n", nil, plain},
		"a mark and an array": {"\ufeff" + `[{"instance_id": "b__b-2"}, {"instance_id": "a__a-1"}]`, nil, plain},
		"columns, one not in every object": {
			`{"instance_id": "b__b-2", "image": "x/y"}` + "\n" + `{"instance_id": "a__a-1"}`,
			[]string{"image"},
			[]Row{{"b__b-2", map[string]string{"image": "x/y"}}, {ID: "a__a-1"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list, err := Reader{}.Read(t.Context(), "data/x.jsonl", "no such split", tc.columns, readFrom(tc.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, list.Rows); diff != "" || list.From != "data/x.jsonl" {
				t.Errorf("from %s (-want +got):\n%s", list.From, diff)
			}
		})
	}
}

func TestParquetFile(t *testing.T) {
	type row struct {
		ID    string `parquet:"instance_id"`
		Image string `parquet:"image"`
	}
	read := func(content string) (List, error) {
		return Reader{}.Read(t.Context(), "data/x.parquet", "no such split", []string{"image"}, func(string) ([]byte, error) { return []byte(content), nil })
	}
	list, err := read(string(hubtest.Parquet(t, []row{{"b__b-2", "x/y"}})))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Row{{"b__b-2", map[string]string{"image": "x/y"}}}, list.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	var mistake *config.InputError
	if _, err := read("instance_id\nb__b-2\n"); !errors.As(err, &mistake) || !strings.Contains(mistake.Problem, `"data/x.parquet" is not a parquet file`) {
		t.Errorf("a text: %v", err)
	}
}

func TestFileMistakes(t *testing.T) {
	cases := map[string]struct {
		content    string
		says, hint string
	}{
		"empty":              {"", "has no rows", "every row"},
		"an empty array":     {"[]", "has no rows", "every row"},
		"a list of ids":      {"django__django-11333\n", `"data/x.jsonl" is not JSON at byte`, "one JSON object a line"},
		"cut":                {`{"instance_id": "a__a-1"}` + "\n" + `{"instance_id": "a__`, "is not JSON at byte 25: unexpected EOF", "one JSON object"},
		"null":               {"null", "null is no object", "one JSON object"},
		"null in an array":   {`[{"instance_id": "a__a-1"}, null]`, "null is no object", "one JSON object"},
		"more than an array": {`[{"instance_id": "a__a-1"}] x`, "something follows the array", "one JSON object"},
		"no ids":             {`{"name": "x", "id": "y"}`, "has no column instance_id", "this one has id, name"},
		"no id later":        {`{"instance_id": "a__a-1"}` + "\n" + `{"name": "x"}`, "no instance_id in row 2", "every row"},
		"a null id":          {`{"instance_id": null}`, "no instance_id in row 1", "every row"},
		"a number":           {`{"instance_id": 7}`, "is not text in row 1", "choose"},
		"twice":              {`{"instance_id": "a__a-1"} {"instance_id": "a__a-1"}`, "twice, in rows 1 and 2", "of its own"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Reader{}.Read(t.Context(), "data/x.jsonl", "test", nil, readFrom(tc.content))
			var mistake *config.InputError
			if !errors.As(err, &mistake) || mistake.Input != "dataset" {
				t.Fatalf("error is %v", err)
			}
			if !strings.Contains(mistake.Problem, tc.says) || !strings.Contains(mistake.Fix, tc.hint) {
				t.Errorf("says %q, hint %q; want %q and %q in them", mistake.Problem, mistake.Fix, tc.says, tc.hint)
			}
		})
	}
	_, err := Reader{}.Read(t.Context(), "absent.json", "test", nil, readFrom(""))
	var mistake *config.InputError
	if !errors.As(err, &mistake) || !strings.Contains(mistake.Fix, "check the path") {
		t.Errorf("a missing file: %v", err)
	}
}

// TestOptionalColumns: an optional column is read where a dataset has it, and is no mistake where it has none.
func TestOptionalColumns(t *testing.T) {
	type row struct {
		ID   string `parquet:"instance_id"`
		Repo string `parquet:"repo"`
	}
	type full struct {
		ID     string `parquet:"instance_id"`
		Repo   string `parquet:"repo"`
		Commit string `parquet:"commit"`
	}
	cases := map[string]struct {
		file string
		want map[string]string
	}{
		"x.jsonl":         {`{"instance_id": "a__a-1", "repo": "a/a"}`, map[string]string{"repo": "a/a"}},
		"x.parquet":       {string(hubtest.Parquet(t, []row{{"a__a-1", "a/a"}})), map[string]string{"repo": "a/a"}},
		"data/x.jsonl":    {`{"instance_id": "a__a-1", "repo": "a/a", "commit": "1"}`, map[string]string{"repo": "a/a", "commit": "1"}},
		"data/x.parquet":  {string(hubtest.Parquet(t, []full{{"a__a-1", "a/a", "1"}})), map[string]string{"repo": "a/a", "commit": "1"}},
		"data/null.jsonl": {`{"instance_id": "a__a-1", "repo": "a/a", "commit": null}`, map[string]string{"repo": "a/a"}},
	}
	for name, tc := range cases {
		list, err := Reader{Optional: []string{"commit"}}.Read(t.Context(), name, "test", []string{"repo"},
			func(string) ([]byte, error) { return []byte(tc.file), nil })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(tc.want, list.Rows[0].Columns); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", name, diff)
		}
	}
}
