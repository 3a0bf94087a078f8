package bench

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

//go:embed sampler.py
var samplerProgram string

// cost is what the processes of one run used.
type cost struct {
	peakKB  int             // of the orchestrator's resident memory
	cpu     time.Duration   // of the orchestrator, without its children
	workers map[string]bool // by process id
}

// watch samples a run's container until the run has ended.
func watch(ctx context.Context, run *runner.Run) cost {
	c := cost{workers: map[string]bool{}}
	ended := make(chan struct{})
	go func() {
		run.Wait()
		close(ended)
	}()
	for {
		c.follow(ctx, run.Container)
		select {
		case <-ended:
			return c
		case <-time.After(50 * time.Millisecond): // the container is not there yet
		}
	}
}

// follow reads samples until the container or the sampler ends.
func (c *cost) follow(ctx context.Context, container string) {
	cmd := exec.CommandContext(ctx, "docker", "exec", "--interactive", container, "python3", "-")
	cmd.Stdin = strings.NewReader(samplerProgram)
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		c.add(lines.Bytes())
	}
	io.Copy(io.Discard, out)
	cmd.Wait() // it ends badly, when its container does
}

func (c *cost) add(line []byte) {
	var sample struct {
		Orchestrator *struct {
			PeakKB int     `json:"peak_kb"`
			CPU    float64 `json:"cpu_seconds"`
		}
		Workers []string
	}
	if json.Unmarshal(line, &sample) != nil {
		return
	}
	if o := sample.Orchestrator; o != nil {
		c.peakKB, c.cpu = max(c.peakKB, o.PeakKB), time.Duration(o.CPU*float64(time.Second))
	}
	for _, pid := range sample.Workers {
		c.workers[pid] = true
	}
}
