package outcome

import (
	"strings"
	"time"
)

// The phases of an image. A phase in which it only waits begins with "waiting".
const (
	WaitingToLookUp    = "waiting to look up"
	LookUp             = "look-up" // what registries have: the image, its base image, its eval-base
	WaitingForEvalBase = "waiting for eval-base"
	WaitingForTurn     = "waiting for turn" // while one image goes alone
	WaitingToBuild     = "waiting to build"
	Builder            = "builder" // reaching it, or bringing it back
	Prune              = "prune"
	PipBase            = "base image with packages"
	EvalBase           = "eval-base"
	BaseStage          = "base stage"
	Inspect            = "inspect"
	WaitingForDelta    = "waiting for delta"
	WaitingToPush      = "waiting to push"
	WaitingForLayer    = "waiting for layer" // which another image brings
	Copy               = "layer"             // mount or copy
	Push               = "push"
	NativeBuild        = "native build"
	Confirm            = "confirm"
	WaitingToRetry     = "waiting to retry"
)

// Waits reports whether an image only waits in this phase.
func Waits(phase string) bool { return strings.HasPrefix(phase, "waiting") }

// Span is a part of an image's time. It ends where the next one begins; the last one ends with the outcome.
type Span struct {
	Phase string
	// Slot is the slot that the image holds, such as "build 2", or empty.
	Slot  string
	Begin time.Time
}

// Enter begins a phase, in the slot that the image holds now, and so ends the one before.
func (o *Outcome) Enter(phase string) {
	o.Spans = append(o.Spans, Span{Phase: phase, Slot: o.Slot, Begin: time.Now()})
}
