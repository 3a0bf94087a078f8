package actions

import (
	"bytes"
	"path/filepath"
	"testing"
)

func TestSaveState(t *testing.T) {
	cases := []struct {
		name, state, value string
		file, fails        bool
	}{
		{"a plain word", "builder", "eval-images-run-1", true, false},
		{"a second line could be a further state", "builder", "a\nb=c", true, true},
		{"a name that is none", "a b", "c", true, true},
		{"a runner that wants no state", "builder", "a", false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			variables := map[string]string{"GITHUB_ACTIONS": "true"}
			file := filepath.Join(t.TempDir(), "state")
			if c.file {
				variables["GITHUB_STATE"] = file
			}
			err := New(&bytes.Buffer{}, environment(variables)).SaveState(c.state, c.value)
			if (err != nil) != c.fails {
				t.Fatalf("SaveState = %v, want an error: %v", err, c.fails)
			}
			if c.fails {
				return
			}
			want := c.state + "<<" + libraryDelimiter + "\n" + c.value + "\n" + libraryDelimiter + "\n"
			if got := read(t, file); got != want {
				t.Errorf("the file holds %q, want %q", got, want)
			}
		})
	}
}

func TestState(t *testing.T) {
	r := New(&bytes.Buffer{}, environment(map[string]string{"STATE_builder": "b"}))
	if got := r.State("builder") + r.State("absent"); got != "b" {
		t.Errorf("State = %q, want b", got)
	}
}
