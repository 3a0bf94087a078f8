package dataset

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// checkRead checks what reading any dataset may end with: rows that can be named, or a short error.
func checkRead(t *testing.T, rows []Row, err error) {
	t.Helper()
	if err == nil {
		err = checkRows("d", rows)
	}
	if err == nil {
		for _, row := range rows {
			if len(row.ID) > 200 || strings.ContainsAny(row.ID, "/\\ \n\r:$`\"'") {
				t.Errorf("%q is an id", row.ID)
			}
		}
		return
	}
	told := sayings(err)
	if len(told) == 0 {
		told = []string{err.Error()}
	}
	for _, said := range told {
		if len(said) > 4000 || strings.ContainsAny(said, "\n\r\x1b\x00") {
			t.Errorf("the error is %q", said)
		}
	}
}

func FuzzParquet(f *testing.F) {
	type row struct {
		ID    string  `parquet:"instance_id"`
		Image *string `parquet:"image,optional"`
	}
	image := "x/y"
	f.Add(hubtest.Parquet(f, []row{{"a__a-1", &image}, {"b__b-2", nil}}))
	f.Add(hubtest.Parquet(f, []row{{"a__a-1", nil}, {"a__a-1", nil}}))
	f.Add([]byte("PAR1\xff\xff\xff\xffPAR1"))
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := readParquet(bytes.NewReader(file), int64(len(file)), "d", []string{"image"}, nil)
		checkRead(t, rows, err)
	})
}

func FuzzRows(f *testing.F) {
	for _, text := range []string{
		`{"instance_id": "a__a-1", "image": "x"}` + "\n" + `{"instance_id": "b__b-2"}`, `[{"instance_id": "a__a-1", "image": null}]`,
		`[`, `[{}] x`, "\ufeff{}", `{"instance_id": "../../x", "image": ""}`, strings.Repeat("[", 20_000), `{"::error::": 1, "\u001b[2J": 2}`,
		`{"instance_id": {"a": {"a": 1}}, "image": 1}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := func(string) ([]byte, error) { return []byte(text), nil }
		rows, err := fromFile(&query{name: "d.json", columns: []string{"image"}}, read)
		checkRead(t, rows, err)
	})
}

func FuzzIDs(f *testing.F) {
	for _, text := range []string{all[0] + "\n" + all[1], "# x\r\ndjango__django-11334", "\xff\xfe", "::error::x\n##[error]x", "\u202e", strings.Repeat("x\n", 30)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		chosen, err := Select(all, nil, "ids.txt", func(string) ([]byte, error) { return []byte(text), nil })
		if err == nil && len(chosen) == 0 {
			t.Error("nothing is chosen, without an error")
		}
		if said := sayings(err); len(said) > maxUnknown {
			t.Errorf("%d mistakes are told", len(said))
		}
		checkRead(t, nil, err)
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"120", "-1", "99999999999999999999", "9223372037", "Wed, 21 Oct 2099 07:28:00 GMT", "1.5", "52µs", ""} {
		f.Add(value, `"api";r=0;t=`+value)
	}
	f.Fuzz(func(t *testing.T, after, limit string) {
		wait := retryAfter(http.Header{"Retry-After": {after}, "Ratelimit": {limit}}, time.Unix(1e9, 0))
		if wait < 0 {
			t.Errorf("the wait is %s", wait)
		}
		if len(after) > 10 && strings.Trim(after, "0123456789") == "" && strings.TrimLeft(after, "0") == after && wait < time.Hour {
			t.Errorf("%s seconds are a wait of %s", after, wait)
		}
	})
}

// Parquet says how many rows it has in a few bytes, and a file of kilobytes may repeat one value two thousand million times.
func TestRowsAreBounded(t *testing.T) {
	type row struct {
		ID string `parquet:"instance_id,dict"`
	}
	many := make([]row, maxRows+1)
	for i := range many {
		many[i].ID = "a__a-1"
	}
	file := hubtest.Parquet(t, many)
	if len(file) > 1<<20 {
		t.Fatalf("the file has %d bytes", len(file))
	}
	if rows, err := readParquet(bytes.NewReader(file), int64(len(file)), "a/b", nil, nil); err == nil || !strings.Contains(err.Error(), "more than 1000000 rows") {
		t.Errorf("read %d rows, error %v", len(rows), err)
	}
	long := slices.Repeat([]row{{strings.Repeat("x", 10<<20)}}, 30)
	file = hubtest.Parquet(t, long)
	if rows, err := readParquet(bytes.NewReader(file), int64(len(file)), "a/b", nil, nil); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("read %d rows, error %v", len(rows), err)
	}
	// The footer's length is read before the footer.
	_, err := readParquet(bytes.NewReader(append(bytes.Repeat([]byte{0}, 100), "\xff\xff\xff\x7fPAR1"...)), 108, "a/b", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "its footer has 2147483647 bytes") {
		t.Errorf("error is %v", err)
	}
}

func TestNamesOfADatasetAreListedInBounds(t *testing.T) {
	var names []string
	for range 1000 {
		names = append(names, "a::error::\x1b[2J"+strings.Repeat("x", 1000))
	}
	var mistake *config.InputError
	if err := noColumn("d", "c", names); !errors.As(err, &mistake) || len(mistake.Fix) > 4000 || strings.Contains(mistake.Fix, "\x1b") ||
		!strings.HasSuffix(mistake.Fix, "and 980 more") {
		t.Errorf("the hint is %q", mistake.Fix)
	}
}
