package rebase

import (
	"errors"
	"slices"

	"github.com/OpenHands/eval-images/internal/plan"
)

// Chosen are the targets that Find has claimed, in the order in which Run makes them. It is to be asked before Run.
func (r *References) Chosen() []plan.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.queue)
}

// Foreseen is the *Refusal that every image will meet, as far as what earlier runs have left shows it. Whether files are
// equal where digests are not, only Run finds out. It is to be asked between Find and Run.
func (r *References) Foreseen() error {
	if r.Wanting() > 0 {
		return nil
	}
	_, err := Agree(r.known[0].change, r.known[1].change)
	var differ *LayersDiffer
	if errors.As(err, &differ) {
		return nil
	}
	return err
}
