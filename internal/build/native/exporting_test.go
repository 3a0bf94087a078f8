package native

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

type noted struct{ passed, settled chan struct{} }

func (n *noted) Passed()                  { close(n.passed) }
func (n *noted) Settled() <-chan struct{} { return n.settled }

// The export of an earlier attempt, or of what a step says, is not this build's.
func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(text string) {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("[stderr] #25 exporting to image\n")
	n, done, ended := &noted{make(chan struct{}), make(chan struct{})}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		watch(path, n, done)
	}()
	time.Sleep(2 * lookEvery)
	write("#8 0.1 exporting to image is next\n#9 exporting to ")
	select {
	case <-n.passed:
		t.Fatal("passed before the export began")
	case <-time.After(3 * lookEvery):
	}
	write("image\n")
	select {
	case <-n.passed:
	case <-time.After(30 * time.Second):
		t.Fatal("the export was not seen")
	}
	<-ended
}

func TestWatchEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	close(done)
	watch(path, &noted{nil, make(chan struct{})}, done) // with the build
	settled := make(chan struct{})
	close(settled)
	watch(path, &noted{nil, settled}, nil) // when it is known
}
