package plan

import (
	"errors"
	"fmt"

	"github.com/OpenHands/eval-images/internal/config"
)

// shownAtMost bounds the mistakes of one plan: one wrong template makes one for each of 500 instances.
const shownAtMost = 10

// mistakes collects what is wrong with the targets of a plan.
type mistakes struct {
	shown []error
	more  int
}

func (m *mistakes) add(input, fix, problem string, args ...any) {
	if len(m.shown) == shownAtMost {
		m.more++
		return
	}
	m.shown = append(m.shown, &config.InputError{Input: input, Problem: fmt.Sprintf(problem, args...), Fix: fix})
}

func (m *mistakes) joined() error {
	if m.more > 0 {
		last := m.shown[len(m.shown)-1].(*config.InputError)
		last.Problem += fmt.Sprintf("; %d more like these are not shown", m.more)
	}
	return errors.Join(m.shown...)
}
