package imagediff

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// comparer is a PycComparer that calls equal what says the same behind the header but for its case.
type comparer struct {
	asked int
	err   error
}

func (c *comparer) Equal(_ context.Context, want, got []byte) (bool, error) {
	c.asked++
	return strings.EqualFold(string(want[headerSize:]), string(got[headerSize:])), c.err
}

func TestCompiledFilesOfAgentLayers(t *testing.T) {
	big := strings.Repeat("x", 9<<20)
	compiled := func(name string, time byte, code string) entry { return regular(name+".pyc", pycOf(0, time, 1, code)) }
	want := []entry{compiled("a", 1, "code"), compiled("b", 1, "code"), compiled("c", 1, "code")}
	got := []entry{compiled("a", 2, "Code"), compiled("b", 2, "cold"), compiled("c", 2, "code")}
	cases := []struct {
		name                 string
		want, got            [][]entry
		base, asked, opened  int
		found                []string
		withoutPyc, withTree bool
	}{
		{
			name: "one of the same code, one not, one of another time", want: [][]entry{want}, got: [][]entry{got},
			asked: 2, opened: 4, found: []string{"/b.pyc"},
		},
		{
			name: "nothing compares code", want: [][]entry{want}, got: [][]entry{got}, opened: 2,
			found: []string{"/a.pyc", "/b.pyc"}, withoutPyc: true,
		},
		{
			name: "the upper of two layers counts", want: [][]entry{{compiled("a", 1, "zero")}, want[:1]}, got: [][]entry{got[:1]},
			asked: 1, opened: 6,
		},
		{
			name: "the mode differs too", want: [][]entry{want[:1]}, got: [][]entry{{got[0].mode(0o600)}}, opened: 2,
			found: []string{"/a.pyc"},
		},
		{
			name: "more than is held at once", want: [][]entry{{compiled("a", 1, big), compiled("b", 1, big)}},
			got: [][]entry{{compiled("a", 1, strings.ToUpper(big)), compiled("b", 1, "X"+big[1:])}}, asked: 2, opened: 6,
		},
		{
			name: "more than is ever held", want: [][]entry{{compiled("a", 1, big+big), want[1]}},
			got: [][]entry{{compiled("a", 1, "X"+big+big[1:]), compiled("b", 1, "Code")}}, asked: 1, opened: 4, found: []string{"/a.pyc"},
		},
		{
			name: "nothing that could be held", want: [][]entry{{compiled("a", 1, big+big)}},
			got: [][]entry{{compiled("a", 1, "X"+big+big[1:])}}, opened: 2, found: []string{"/a.pyc"},
		},
		{
			name: "asked once with the whole tree too", want: [][]entry{want}, got: [][]entry{got}, asked: 2, opened: 6,
			found: []string{"/b.pyc"}, withTree: true,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, code := store(), &comparer{}
			o := Options{Pyc: code, Tree: c.withTree}
			if c.withoutPyc {
				o.Pyc = nil
			}
			found := compare(t, b, b.image(t, plainTar, "{}", c.want...), b.image(t, plainTar, "{}", c.got...), o)
			if diff := cmp.Diff(c.found, whats(found)); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			opened := 0
			for _, n := range b.opened {
				opened += n
			}
			if code.asked != c.asked || opened != c.opened {
				t.Errorf("asked %d times and opened %d layers, want %d and %d", code.asked, opened, c.asked, c.opened)
			}
		})
	}
	t.Run("it cannot tell", func(t *testing.T) {
		b := store()
		broken := errors.New("broken")
		_, err := Compare(t.Context(), b, b.image(t, gzipped, "{}", want), b.image(t, gzipped, "{}", got), Options{Pyc: &comparer{err: broken}})
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a.pyc") {
			t.Errorf("error is %v, want the comparer's with the file's name", err)
		}
	})
}
