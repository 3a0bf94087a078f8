package dataset

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// Pages that do not fit together are no list.
func TestPagesThatDoNotFit(t *testing.T) {
	body := func(change func(answer string, offset string) (string, string)) func(string, http.ResponseWriter, *http.Request) bool {
		return func(place string, w http.ResponseWriter, r *http.Request) bool {
			if place == hubtest.Main {
				return everywhere(404)(place, w, r)
			}
			if r.URL.Path != "/rows" {
				return false
			}
			var rows []string
			offset := r.URL.Query().Get("offset")
			from := 0
			fmt.Sscan(offset, &from)
			for i := from; i < min(from+100, 150); i++ {
				rows = append(rows, fmt.Sprintf(`{"row_idx":%d,"row":{"instance_id":"a__a-%d"},"truncated_cells":[]}`, i, i))
			}
			answer, revision := change(`{"features":[{"name":"instance_id"}],"rows":[`+strings.Join(rows, ",")+`],"num_rows_total":150,"partial":false}`, offset)
			w.Header().Set("X-Revision", revision)
			io.WriteString(w, answer)
			return true
		}
	}
	replaced := func(old, new string) func(string, string) (string, string) {
		return func(answer, _ string) (string, string) { return strings.Replace(answer, old, new, 1), "r" }
	}
	cases := map[string]struct {
		change func(string, string) (string, string)
		says   string
	}{
		"as they should be":      {replaced("", ""), ""},
		"another revision":       {func(a, offset string) (string, string) { return a, offset }, "changed while it was read"},
		"another total":          {func(a, offset string) (string, string) { return strings.Replace(a, "150", "15"+offset, 1), "r" }, "changed while it was read"},
		"only a part":            {replaced(`"partial":false`, `"partial":true`), "only a part of a/b"},
		"a cell cut":             {replaced(`"truncated_cells":[]`, `"truncated_cells":["instance_id"]`), "only a part of instance_id in row 1"},
		"a cell cut, not needed": {replaced(`"truncated_cells":[]`, `"truncated_cells":["text"]`), ""},
		"a row missing":          {replaced(`{"row_idx":1,"row":{"instance_id":"a__a-1"},"truncated_cells":[]},`, ""), "gave 99 rows from row 1"},
		"rows in disorder":       {replaced(`"row_idx":1,`, `"row_idx":2,`), "gave row 3 in place of row 2"},
		"too many":               {replaced(`"num_rows_total":150`, `"num_rows_total":20001`), "too many to be read in pages"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h, _ := published(t, 3)
			h.Fault = body(tc.change)
			reader, _ := readerOf(t, h)
			list, err := reader.Read(t.Context(), "a/b", "test", nil)
			if tc.says == "" && (err != nil || len(list.Rows) != 150) {
				t.Fatalf("%d rows, error %v", len(list.Rows), err)
			}
			if tc.says != "" && (err == nil || !strings.Contains(fmt.Sprint(errors.Unwrap(err)), tc.says) && !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%d rows, error %v; want %q", len(list.Rows), err, tc.says)
			}
		})
	}
}

// A dataset that changed between two pages is read anew, once.
func TestAChangeBetweenPages(t *testing.T) {
	h, ids := published(t, 150)
	asked := 0
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		if place == hubtest.Main {
			return everywhere(404)(place, w, r)
		}
		if r.URL.Path == "/rows" {
			if asked++; asked == 2 {
				io.WriteString(w, `{"rows":[],"num_rows_total":150}`)
				return true
			}
		}
		return false
	}
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "test", nil)
	if err != nil || !slices.Equal(IDs(list.Rows), ids) || asked != 4 {
		t.Errorf("%d rows after %d pages, error %v", len(list.Rows), asked, err)
	}
}
