package spelling

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNear(t *testing.T) {
	known := []string{"main", "v1.58.2", "v1.58.1", "v1.8.2", "feature/x", "Größe"}
	cases := []struct {
		word string
		most int
		want []string
	}{
		{"v1.58.2", 1, []string{"v1.58.2"}},
		{"v1.58.3", 3, []string{"v1.58.2", "v1.58.1", "v1.8.2"}},
		{"v1.58.3", 2, []string{"v1.58.2", "v1.58.1"}},
		{"mian", 3, []string{"main"}},
		{"MAIN", 3, []string{"main"}},
		{"ma", 3, []string{"main"}},
		{"m", 3, nil},
		{"something else", 3, nil},
		{"größe", 1, []string{"Größe"}},
		{"grosse", 1, []string{"Größe"}},
		{"1.58.2", 1, []string{"v1.58.2"}},
		{"", 3, nil},
	}
	for _, c := range cases {
		t.Run(c.word, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Near(c.word, known, c.most)); diff != "" {
				t.Errorf("near %q (-want +got):\n%s", c.word, diff)
			}
		})
	}
}
