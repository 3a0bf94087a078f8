package runner

import (
	"syscall"
	"time"
)

// The pauses of actions/runner ProcessInvoker.cs between its signals, for a cancelled job and for a step's
// timeout-minutes alike.
const (
	afterInterrupt = 7500 * time.Millisecond
	afterTerminate = 2500 * time.Millisecond
)

// Cancel cancels the step and returns when the docker CLI has ended: SIGINT to the CLI, which forwards it to the
// container's process 1; SIGTERM; then SIGKILL to the CLI alone. A container that is not gone by then keeps running,
// as it does on a real runner.
func (r *Run) Cancel() {
	r.cancel()
	<-r.ended
}

func (r *Run) signalInTurn() {
	close(r.cancelled)
	if r.endsAfter(syscall.SIGINT, afterInterrupt) || r.endsAfter(syscall.SIGTERM, afterTerminate) {
		return
	}
	r.cmd.Process.Kill() // fails only for a process that has just ended
}

func (r *Run) endsAfter(signal syscall.Signal, pause time.Duration) bool {
	r.cmd.Process.Signal(signal) // fails only for a process that has just ended
	select {
	case <-r.ended:
		return true
	case <-time.After(pause):
		return false
	}
}
