package runner

import (
	"bytes"
	"io"
	"testing"
)

func TestWatch(t *testing.T) {
	var log bytes.Buffer
	w, seen := Watch(&log, "pushes")
	for i, line := range []string{"a\n", "it accepts pushes\n", "more pushes\n"} {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
		closed := false
		select {
		case <-seen:
			closed = true
		default:
		}
		if closed != (i > 0) {
			t.Errorf("after %q the text was seen: %t", line, closed)
		}
	}
	if want := "a\nit accepts pushes\nmore pushes\n"; log.String() != want {
		t.Errorf("the log has %q, want %q", &log, want)
	}
}
