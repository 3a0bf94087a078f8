package image

import (
	"slices"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
)

// evalBaseWay is the way of eval-bases in a pace, beside outcome.Native and outcome.Rebase.
const evalBaseWay = "eval-base"

// pace is how long a run's images have taken, by the way in which they were made.
type pace struct {
	mu   sync.Mutex
	took map[string][]time.Duration
}

func (p *pace) add(way string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.took == nil {
		p.took = map[string][]time.Duration{}
	}
	p.took[way] = append(p.took[way], took)
}

// typical is the median of what has been made in one way, or 0 when nothing has.
func (p *pace) typical(way string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := slices.Sorted(slices.Values(p.took[way]))
	if len(took) == 0 {
		return 0
	}
	return took[len(took)/2]
}

// inTime runs fn, unless less time is left before the deadline than the median of this way so far. It always runs the first one,
// because there is no median yet.
func (m *Maker) inTime(way string, fn func() error) error {
	begin, typical := time.Now(), m.pace.typical(way)
	if left := m.Deadline.Sub(begin); !m.Deadline.IsZero() && left < typical {
		return failure.TooLate(left, typical)
	}
	err := fn()
	if err == nil {
		m.pace.add(way, time.Since(begin))
	}
	return err
}
