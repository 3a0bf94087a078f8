package dataset

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// readerOf reads from a hub, and does not wait: it notes how long it would have waited.
func readerOf(t *testing.T, h *hubtest.Hub) (Reader, *[]time.Duration) {
	t.Helper()
	waits := &[]time.Duration{}
	return Reader{
		Hub: address(t, h.URL),
		wait: func(ctx context.Context, d time.Duration) error {
			*waits = append(*waits, d)
			return ctx.Err()
		},
	}, waits
}

func readTestdata(name string) ([]byte, error) { return os.ReadFile(filepath.Join("testdata", name)) }

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// instance is a row with the columns of SWE-bench_Verified.
type instance struct {
	Repo        string `parquet:"repo"`
	ID          string `parquet:"instance_id"`
	BaseCommit  string `parquet:"base_commit"`
	Patch       string `parquet:"patch"`
	TestPatch   string `parquet:"test_patch"`
	Problem     string `parquet:"problem_statement"`
	Hints       string `parquet:"hints_text"`
	CreatedAt   string `parquet:"created_at"`
	Version     string `parquet:"version"`
	FailToPass  string `parquet:"FAIL_TO_PASS"`
	PassToPass  string `parquet:"PASS_TO_PASS"`
	Environment string `parquet:"environment_setup_commit"`
	Difficulty  string `parquet:"difficulty"`
}

// instances are rows of the sizes that the real ones have; their text cannot be compressed.
func instances(ids []string) []instance {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('!' + random.IntN(90))
		}
		return string(b)
	}
	var rows []instance
	for _, id := range ids {
		repo, _, _ := strings.Cut(id, "__")
		rows = append(rows, instance{
			repo, id, text(40), text(900), text(900), text(1200), text(500), "2020-01-01T00:00:00Z", "3.0", text(100), text(400), text(40), "<15 min fix",
		})
	}
	return rows
}

// published is a hub with one dataset of n ids in an order that is not sorted.
func published(t *testing.T, n int) (*hubtest.Hub, []string) {
	h := hubtest.New(t)
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("Owner__repo-%d", (i*7919)%100_003))
	}
	h.Add("a/b", hubtest.Whole(t, "test", ids))
	return h, ids
}

// Of a file of 2 MB with 500 rows, what is fetched is its end and the column of ids.
func TestParquetIsReadInParts(t *testing.T) {
	h := hubtest.New(t)
	ids := mustEmbedded(t, "princeton-nlp/SWE-bench_Verified")
	file := hubtest.Parquet(t, instances(ids))
	if len(file) < 1_900_000 || len(file) > 2_600_000 {
		t.Fatalf("the file has %d bytes, which is not about 2 MB", len(file))
	}
	h.Add("princeton-nlp/SWE-bench_Verified", hubtest.Dataset{Config: "default", Split: "test", Files: [][]byte{file}})
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "princeton-nlp/SWE-bench_Verified", "test", nil, readTestdata)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, IDs(list.Rows)); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if list.From != "the hub's parquet files" || len(list.Warnings) != 0 {
		t.Errorf("from %s, with warnings %q", list.From, list.Warnings)
	}
	if sent := h.Sent(); sent == 0 || sent > 100_000 {
		t.Errorf("the servers sent %d bytes, want less than 100 kB", sent)
	}
	for _, r := range h.Asked() {
		if r.Place == hubtest.Storage && r.Range == "" {
			t.Errorf("asked for all of %s", r.Path)
		}
	}
	t.Logf("%d bytes of %d, %d requests", h.Sent(), len(file), len(h.Asked()))
}

func TestSeveralFilesAndColumns(t *testing.T) {
	h := hubtest.New(t)
	ids := mustEmbedded(t, "eth-sri/SWT-bench_Verified_bm25_27k_zsp")
	rows := instances(ids)
	h.Add("a/b", hubtest.Dataset{Config: "only", Split: "train", Files: [][]byte{
		hubtest.Parquet(t, rows[:200]), hubtest.Parquet(t, rows[200:201]), hubtest.Parquet(t, rows[201:]),
	}})
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "a/b", "train", []string{"problem_statement", "version"}, readTestdata)
	if err != nil {
		t.Fatal(err)
	}
	var want []Row
	for _, row := range rows {
		want = append(want, Row{row.ID, map[string]string{"problem_statement": row.Problem, "version": "3.0"}})
	}
	if diff := cmp.Diff(want, list.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// Without a network, only the datasets with an embedded list can be read. The run does not wait long to find out.
func TestNoNetwork(t *testing.T) {
	h := hubtest.New(t)
	reader, waits := readerOf(t, h)
	reader.Hub = address(t, "http://127.0.0.1:1")
	for _, known := range []struct {
		name, split string
		ids         int
	}{
		{"princeton-nlp/SWE-bench_Verified", "test", 500},
		{"eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test", 433},
		{"princeton-nlp/SWE-bench_Multimodal", "dev", 102},
		{"SWE-bench/SWE-bench_Multilingual", "test", 300},
	} {
		list, err := reader.Read(t.Context(), known.name, known.split, nil, readTestdata)
		if err != nil || len(list.Rows) != known.ids || !strings.Contains(list.From, "this version") {
			t.Errorf("%s: %d rows from %q, error %v", known.name, len(list.Rows), list.From, err)
		}
		if len(list.Warnings) != 1 || !strings.Contains(list.Warnings[0], known.name) || !strings.Contains(list.Warnings[0], "connection refused") {
			t.Errorf("%s: warnings are %q", known.name, list.Warnings)
		}
	}
	const noList = "this version has no list of the instances of "
	for _, other := range []struct {
		name, split string
		columns     []string
		says, hint  string
	}{
		{"a/b", "test", nil, noList + "a/b, split test", "with the column instance_id"},
		// Without the hub, a misspelled name cannot be told from an outage.
		{"princeton-nlp/SWE-bench_Verifid", "test", nil, noList + "princeton-nlp/SWE-bench_Verifid, split test", "with the column instance_id"},
		{"princeton-nlp/SWE-bench_Verified", "dev", nil, noList + "princeton-nlp/SWE-bench_Verified, split dev", "with the column instance_id"},
		{"SWE-Gym/SWE-Gym", "train", nil, noList + "SWE-Gym/SWE-Gym, split train", "with the column instance_id"},
		// A list of ids is no help to a template that needs a column.
		{
			"SWE-bench/SWE-smith-py", "train",
			[]string{"image_name", "problem_statement"},
			"have no column but instance_id",
			"with the columns instance_id, image_name, problem_statement",
		},
		{"princeton-nlp/SWE-bench_Verified", "test", []string{"version"}, "have no column but instance_id", "with the columns instance_id, version"},
	} {
		_, err := reader.Read(t.Context(), other.name, other.split, other.columns, readTestdata)
		fault, ok := err.(*Unreachable)
		if !ok || !strings.Contains(fault.Error(), "reading the dataset "+other.name) || !strings.Contains(fault.Error(), "connection refused; ") ||
			!strings.HasSuffix(fault.Error(), other.says) {
			t.Errorf("%s: error is %v", other.name, err)
			continue
		}
		before := map[string]string{
			"Verifid": "did you mean princeton-nlp/SWE-bench_Verified? Otherwise ", "Verified dev": "the benchmark's split is test; otherwise ",
		}[strings.TrimPrefix(other.name, "princeton-nlp/SWE-bench_")+strings.Repeat(" dev", strings.Count(other.split, "dev"))]
		if want := before + "run it again later, or set dataset to a .jsonl or .parquet file " + other.hint; fault.Hint() != want {
			t.Errorf("%s: hint is %q, want %q", other.name, fault.Hint(), want)
		}
	}
	if slices.Max(*waits) > time.Second {
		t.Errorf("waited %v", *waits)
	}
}

// A mirror of the hub may pass on lists with the hub's own addresses. Who has set a mirror cannot reach those.
func TestMirrorThatPassesOnTheHubsOwnAddresses(t *testing.T) {
	h, ids := published(t, 3)
	for _, own := range []string{"https://huggingface.co", "https://hf.co:443", "http://www.HUGGINGFACE.co"} {
		h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
			if place != hubtest.Main || strings.HasSuffix(r.URL.Path, ".parquet") {
				return false
			}
			fmt.Fprintf(w, `["%s/api/datasets/a/b/parquet/default/test/0.parquet"]`, own)
			return true
		}
		reader, _ := readerOf(t, h)
		list, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
		if err != nil || !slices.Equal(IDs(list.Rows), ids) {
			t.Errorf("%s: %d rows, error %v", own, len(list.Rows), err)
		}
	}
}

// A list of thousands of files would take as many requests.
func TestFilesOfADatasetAreBounded(t *testing.T) {
	h, _ := published(t, 3)
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprintf(w, `["x"%s]`, strings.Repeat(`,"x"`, 2000))
		return true
	}
	reader, _ := readerOf(t, h)
	_, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if fault, ok := err.(*Unreachable); !ok || !strings.Contains(fault.Error(), "lists 2001 parquet files") || len(h.Asked()) > 1 {
		t.Errorf("error is %v after %d requests", err, len(h.Asked()))
	}
}

// Addresses on other hosts are asked as they are: where they cannot be reached, it is as without a network, and the fault names
// the host.
func TestMirrorThatListsFilesElsewhere(t *testing.T) {
	h, _ := published(t, 3)
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		io.WriteString(w, `["http://127.0.0.1:1/api/datasets/a/b/parquet/default/test/0.parquet"]`)
		return true
	}
	reader, _ := readerOf(t, h)
	list, err := reader.Read(t.Context(), "SWE-bench/SWE-bench_Multilingual", "test", nil, readTestdata)
	if err != nil || len(list.Rows) != 300 || len(list.Warnings) != 1 || !strings.Contains(list.Warnings[0], "http://127.0.0.1:1/api/") {
		t.Errorf("%d rows, warnings %q, error %v", len(list.Rows), list.Warnings, err)
	}
	_, err = reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if fault, ok := err.(*Unreachable); !ok || !strings.Contains(fault.Error(), "http://127.0.0.1:1/api/") {
		t.Errorf("error is %v", err)
	}
}

func TestCancelled(t *testing.T) {
	h, _ := published(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	h.Fault = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	reader, _ := readerOf(t, h)
	if list, err := reader.Read(ctx, "princeton-nlp/SWE-bench_Verified", "test", nil, readTestdata); err == nil {
		t.Errorf("a cancelled read gave %d rows from %s", len(list.Rows), list.From)
	}
}

// The hub's storage is another company's.
func TestTheTokenStaysWithTheHub(t *testing.T) {
	h, _ := published(t, 3)
	reader, _ := readerOf(t, h)
	reader.Token = "hf_secret"
	if _, err := reader.Read(t.Context(), "a/b", "test", nil, readTestdata); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range h.Asked() {
		seen[r.Place] = true
		want := "Bearer hf_secret"
		if r.Place == hubtest.Storage {
			want = ""
		}
		if r.Authorization != want {
			t.Errorf("%s got the Authorization %q for %s, want %q", r.Place, r.Authorization, r.Path, want)
		}
	}
	if !seen[hubtest.Main] || !seen[hubtest.Storage] {
		t.Errorf("asked %v", seen)
	}
}

// A list of files may name any host; only the hub's own gets the token.
func TestTheTokenGoesToNoForeignFile(t *testing.T) {
	h, _ := published(t, 3)
	foreign := hubtest.New(t)
	h.Fault = func(place string, w http.ResponseWriter, r *http.Request) bool {
		if place == hubtest.Main {
			fmt.Fprintf(w, `[%q]`, foreign.URL+"/api/datasets/a/b/parquet/default/test/0.parquet")
		}
		return place == hubtest.Main
	}
	reader, _ := readerOf(t, h)
	reader.Token = "hf_secret"
	reader.Read(t.Context(), "a/b", "test", nil, readTestdata)
	if asked := foreign.Asked(); len(asked) == 0 || asked[0].Authorization != "" {
		t.Errorf("the foreign host was asked %+v", asked)
	}
}
