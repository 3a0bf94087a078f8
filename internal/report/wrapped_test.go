package report

import (
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/ledger"
)

func TestSummarySaysWhatWasWrapped(t *testing.T) {
	s := ledger.Summarize(exampleRun(7), nil)
	if got := Markdown(s); strings.Contains(got, "wrapped") {
		t.Errorf("nothing was wrapped, and the summary speaks of it:\n%s", got)
	}
	s.Wrapped = map[ledger.Text]int{"docutils<0.21 roman": 3, "a": 1}
	const want = "| Base images wrapped first | 1 with <code>a</code>, 3 with <code>docutils&#60;0.21 roman</code> |\n"
	if got := Markdown(s); !strings.Contains(got, want) {
		t.Errorf("no line %q in\n%s", want, got)
	}
}
