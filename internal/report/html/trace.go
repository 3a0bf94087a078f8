package html

import (
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// Trace is the content of trace.json, in Chrome's trace event format
// (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): chrome://tracing and ui.perfetto.dev draw it.
type Trace struct {
	TraceEvents     []Event `json:"traceEvents"`
	DisplayTimeUnit string  `json:"displayTimeUnit"`
}

// Event is a complete event ("X"), or the name of a process or thread ("M"). Times are in microseconds.
type Event struct {
	Name     string            `json:"name"`
	Phase    string            `json:"ph"`
	Start    int64             `json:"ts"`
	Duration int64             `json:"dur"`
	Process  int               `json:"pid"`
	Thread   int               `json:"tid"`
	Args     map[string]string `json:"args,omitempty"`
}

// The processes of a trace, which viewers draw as groups.
const (
	phasesProcess = iota + 1
	slotsProcess
	imagesProcess
)

// NewTrace returns the trace of a run: its phases, what each slot was used for, and what each image did and waited for. Times
// count from the start of the run.
func NewTrace(s ledger.Summary, entries []ledger.Entry) Trace {
	t := tracer{start: s.StartedAt, threads: map[thread]int{}}
	t.name("process_name", phasesProcess, 0, "phases")
	t.name("process_name", slotsProcess, 0, "slots")
	t.name("process_name", imagesProcess, 0, "images")
	for _, p := range s.Run.Phases {
		if p.StartedAt != nil {
			t.add(phasesProcess, p.Name, Event{Name: p.Name}, *p.StartedAt, p.Seconds)
		}
	}
	for _, e := range entries {
		t.spans(e.InstanceID, "", e.Shard, e.Spans, map[string]string{"instance": e.InstanceID, "status": string(e.Status)})
	}
	for _, w := range s.Run.Beside {
		t.spans(w.InstanceID, w.What, w.Shard, w.Spans, map[string]string{"instance": w.InstanceID, "beside": w.What})
	}
	return Trace{TraceEvents: t.events, DisplayTimeUnit: "ms"}
}

type thread struct {
	process int
	name    string
}

type tracer struct {
	start   time.Time
	events  []Event
	threads map[thread]int
}

// spans adds the spans of an image, and those that held a slot to the slot, too.
func (t *tracer) spans(instance, what string, shard ledger.Text, spans []ledger.Span, args map[string]string) {
	for _, s := range spans {
		t.add(imagesProcess, strings.TrimSpace(instance+" "+what), Event{Name: s.Phase, Args: args}, s.StartedAt, s.Seconds)
		if s.Slot != "" {
			t.add(slotsProcess, lane(shard, s.Slot), Event{Name: instance + ": " + s.Phase, Args: args}, s.StartedAt, s.Seconds)
		}
	}
}

// lane names a slot. Each shard has slots of its own.
func lane(shard, slot ledger.Text) string {
	if shard == "" {
		return string(slot)
	}
	return "shard " + string(shard) + " " + string(slot)
}

func (t *tracer) add(process int, threadName string, e Event, begin time.Time, seconds float64) {
	id := thread{process, threadName}
	if t.threads[id] == 0 {
		t.threads[id] = len(t.threads) + 1
		t.name("thread_name", process, t.threads[id], threadName)
	}
	e.Phase, e.Process, e.Thread = "X", process, t.threads[id]
	e.Start, e.Duration = begin.Sub(t.start).Microseconds(), int64(seconds*1e6)
	t.events = append(t.events, e)
}

func (t *tracer) name(kind string, process, thread int, name string) {
	t.events = append(t.events, Event{Name: kind, Phase: "M", Process: process, Thread: thread, Args: map[string]string{"name": name}})
}
