package dataset

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
)

func TestEmbedded(t *testing.T) {
	cases := []struct {
		name, split string
		ids         int
		sha256      string // of the file, first 12 digits
		first, last string
	}{
		{"princeton-nlp/SWE-bench_Verified", "test", 500, "a6b0fd7c8c29", "astropy__astropy-12907", "sympy__sympy-24661"},
		{"eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test", 433, "68e0716f076e", "astropy__astropy-12907", "sympy__sympy-24661"},
		{"princeton-nlp/SWE-bench_Multimodal", "dev", 102, "9132dca74ff0", "chartjs__Chart.js-10301", "processing__p5.js-3068"},
		{"SWE-bench/SWE-bench_Multilingual", "test", 300, "8fa3330706b6", "apache__druid-13704", "vuejs__core-11915"},
	}
	shape := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*-\d+$`)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			ids, err := Embedded(tc.name, tc.split)
			if err != nil {
				t.Fatal(err)
			}
			if len(ids) != tc.ids || ids[0] != tc.first || ids[len(ids)-1] != tc.last {
				t.Errorf("got %d ids from %s to %s, want %d from %s to %s", len(ids), ids[0], ids[len(ids)-1], tc.ids, tc.first, tc.last)
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(ids, "\n")+"\n"))); sum[:12] != tc.sha256 {
				t.Errorf("the list's sha256 begins with %s, want %s", sum[:12], tc.sha256)
			}
			for _, id := range ids {
				if !shape.MatchString(id) || strings.Count(id, "__") != 1 {
					t.Errorf("%s does not look like an instance id", id)
				}
			}
			if unique := slices.Compact(slices.Sorted(slices.Values(ids))); len(unique) != len(ids) {
				t.Errorf("%d ids, but %d different ones", len(ids), len(unique))
			}
		})
	}
}

func TestEmbeddedKnowsOnlyItsOwn(t *testing.T) {
	for _, key := range [][2]string{{"princeton-nlp/SWE-bench_Verified", "dev"}, {"x/y", "test"}} {
		if ids, err := Embedded(key[0], key[1]); err == nil || !strings.Contains(err.Error(), key[0]) {
			t.Errorf("Embedded(%s) = %d ids, error %v; want an error that names it", key, len(ids), err)
		}
	}
}

var all = []string{"django__django-11333", "astropy__astropy-12907", "sympy__sympy-23824", "django__django-11338"}

func TestSelect(t *testing.T) {
	cases := map[string]struct {
		ids  []string
		file string // content; "" means that no file is given
		want []string
	}{
		"nothing chosen is everything":      {want: all},
		"dataset order, not the user's":     {ids: []string{"sympy__sympy-23824", "django__django-11333"}, want: []string{all[0], all[2]}},
		"an id given twice":                 {ids: []string{all[1], all[1]}, want: []string{all[1]}},
		"ids win over the file":             {ids: []string{all[1]}, file: all[2], want: []string{all[1]}},
		"a plain file":                      {file: all[2] + "\n" + all[0] + "\n", want: []string{all[0], all[2]}},
		"no final line break":               {file: all[2], want: []string{all[2]}},
		"byte order mark":                   {file: "\ufeff" + all[3] + "\n", want: []string{all[3]}},
		"CRLF":                              {file: all[3] + "\r\n" + all[1] + "\r\n", want: []string{all[1], all[3]}},
		"CR alone":                          {file: all[3] + "\r" + all[1], want: []string{all[1], all[3]}},
		"blank lines and blanks around ids": {file: "\n \n\t" + all[3] + " \u00a0\n\n", want: []string{all[3]}},
		"comments":                          {file: "# the hard ones\n  # and more\n" + all[3], want: []string{all[3]}},
		"a byte order mark and a comment":   {file: "\ufeff# the hard ones\n" + all[3], want: []string{all[3]}},
		"duplicates":                        {file: all[3] + "\n" + all[3], want: []string{all[3]}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Select(all, tc.ids, written(t, tc.file), os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

func written(t *testing.T, content string) string {
	if content == "" {
		return ""
	}
	file := filepath.Join(t.TempDir(), "ids.txt")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSelectMistakes(t *testing.T) {
	cases := map[string]struct {
		ids  []string
		file string
		want []string
	}{
		"an id with its nearest": {
			ids:  []string{"django__django-11334"},
			want: []string{`instance-ids: the dataset has no instance "django__django-11334"; did you mean django__django-11333?`},
		},
		"every unknown id, each once": {
			ids:  []string{"sympy__sympy-1", all[0], "DJANGO__django-11338", "sympy__sympy-1"},
			want: []string{`"sympy__sympy-1"; did you mean sympy__sympy-23824?`, `"DJANGO__django-11338"; did you mean django__django-11338?`},
		},
		"nothing like it": {
			ids:  []string{"x"},
			want: []string{`instance-ids: the dataset has no instance "x"; ids look like django__django-11333; separate them by commas`},
		},
		"several ids on a line of a file": {file: strings.Join(all, " "), want: []string{`instances-file: the dataset has no instance "django__django-11333 astropy`}},
		"a file of JSON lines":            {file: `{"instance_id": "` + strings.Repeat("y", 200) + `"}`, want: []string{`yy"...; ids look like django__django-11333; write one a line`}},
		"an empty file":                   {file: "\n", want: []string{"names no instance; write one id a line"}},
		"only comments":                   {file: "# " + all[0], want: []string{"names no instance"}},
		"UTF-16":                          {file: "\xff\xfed\x00j\x00", want: []string{"is not UTF-8 text; save it as UTF-8"}},
		"UTF-16 without a mark":           {file: "d\x00j\x00", want: []string{"is not UTF-8 text"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Select(all, tc.ids, written(t, tc.file), os.ReadFile)
			if err == nil {
				t.Fatalf("chose %q", got)
			}
			said := sayings(err)
			if len(said) != len(tc.want) {
				t.Fatalf("got %d mistakes, want %d: %q", len(said), len(tc.want), said)
			}
			for i, want := range tc.want {
				if !strings.Contains(said[i], want) {
					t.Errorf("mistake %d is %q, want %q in it", i, said[i], want)
				}
			}
		})
	}
}

// A file that is no list has an unknown id on each line.
func TestUnknownIDsAreTenAndACount(t *testing.T) {
	ids := make([]string, 20_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("django__django-%d-%s", i, strings.Repeat("x", i%50))
	}
	ids[3] = strings.Repeat("x", 5<<20)
	var known []string
	for i := range 500 {
		known = append(known, fmt.Sprintf("sympy__sympy-%d", i))
	}
	begin := time.Now()
	_, err := Select(known, ids, "", nil)
	said := sayings(err)
	if len(said) != 10 || !strings.Contains(said[9], "; 19990 more unknown ids are not shown; ") || strings.Contains(said[8], "more unknown") {
		t.Errorf("%d mistakes: %.2000q", len(said), said)
	}
	if took := time.Since(begin); took > 20*time.Second || len(fmt.Sprint(said)) > 4000 {
		t.Errorf("it took %s and %d characters", took, len(fmt.Sprint(said)))
	}
}

func TestSelectFromAMissingFile(t *testing.T) {
	_, err := Select(all, nil, "no/such\nfile", os.ReadFile)
	said := strings.Join(sayings(err), "|")
	want := "instances-file: open no/such file: no such file or directory; check the path"
	if !strings.HasPrefix(said, want) {
		t.Errorf("got %q, want %q first", said, want)
	}
}

func TestSelectFromNothing(t *testing.T) {
	if got, err := Select(nil, nil, "", os.ReadFile); err == nil {
		t.Errorf("chose %q from an empty dataset", got)
	}
}

// sayings gives each mistake with its hint.
func sayings(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, sayings(e)...)
		}
		return all
	}
	if m, ok := err.(*config.InputError); ok {
		return []string{m.Error() + "; " + m.Hint()}
	}
	return nil
}
