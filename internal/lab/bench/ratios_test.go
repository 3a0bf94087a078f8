package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The ways of a run: seconds of the first image, and of the eight after it.
var said = `noise
mark begin 100
mark sdk-import 107.5
mark sdk 291.5
mark linked-begin 300
mark linked-first 360
mark linked 400
mark thin-begin 400
mark thin-first 500
mark thin 700
`

func TestWaysOf(t *testing.T) {
	phases, err := marks(said)
	if err != nil {
		t.Fatal(err)
	}
	want := []way{
		{rivalWays[0].name, 0, 23 * time.Second},
		{rivalWays[1].name, 0, 25 * time.Second},
		{rivalWays[2].name, 55 * time.Second, 5 * time.Second},
	}
	if diff := cmp.Diff(want, waysOf(phases, 8), cmp.AllowUnexported(way{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := marks("no mark at all"); err == nil {
		t.Error("a program that left no times is no error")
	}
}

func TestCompare(t *testing.T) {
	rivals := []way{
		{"P1", 0, 23 * time.Second}, {"P2", 0, 15 * time.Second}, {"P3", 20 * time.Second, 4 * time.Second},
	}
	got := compare(way{"rebase", 180 * time.Second, 20 * time.Millisecond}, rivals, 40)
	project(&got, rivals[2:])
	want := [][]string{
		{"P1", "23.000 s", "1150x", "over 1000x: met", "920.0 s", "5.1x", "over 5x: met"},
		{"P2", "15.000 s", "750x", "over 1000x: **not met**", "600.0 s", "3.3x", "over 5x: **not met**"},
		{"P3", "4.000 s", "200x", "over 5x: met", "180.0 s", "1.0x", "over 1x: **not met**"},
		{"rebase", "0.020 s", "", "", "180.8 s", "", ""},
	}
	if diff := cmp.Diff(want, got.rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if want := "20.0 s + 500 x 4.000 s = 33m40s"; len(got.notes) != 1 || !strings.Contains(got.notes[0], want) {
		t.Errorf("projection is %q, want %s", got.notes, want)
	}
}

// A note names what a figure leaves out, and the figure with it.
func TestNoteAgent(t *testing.T) {
	got := table{}
	noteAgent(&got, way{"rebase", 28 * time.Second, 50 * time.Millisecond}, way{"P3", 15 * time.Second, time.Second / 2}, 25*time.Second, 40)
	if want := "took 25.0 s to build and push"; !strings.Contains(got.notes[0], want) {
		t.Errorf("%q does not say %q", got.notes[0], want)
	}
	if want := "P3 takes 60.0 s for 40 images, 2.0x as long as rebase"; !strings.Contains(got.notes[0], want) {
		t.Errorf("%q does not say %q", got.notes[0], want)
	}
}
