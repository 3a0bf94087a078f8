package ledger

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// A ledger of another run may hold any lines: they are an error that names the line, or they add up.
func FuzzLedger(f *testing.F) {
	for _, text := range []string{
		`{"instance_id":"a__b-1","status":"built","tags":["x/y:1"],"phases":{"build":1e308}}` + "\n" + `{"instance_id":"a__b-1","status":"failed"}` + "\n",
		`{"status":"skipped_remote_exists","finished_at":"2026-01-01T00:00:00Z","sdk_cached_step_count":-1}`, `{"instance_id":"::error::\u001b"`, "null\n[]\n", "{}\n",
		`{"duration_seconds":-1e300,"attempt_count":-9223372036854775808,"started_at":"0000-01-01T00:00:00Z"}` + "\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := parse("manifest.jsonl", text)
		if err != nil && (!strings.HasPrefix(err.Error(), "reading line ") || len(err.Error()) > 1000) {
			t.Errorf("the error is %q", err)
		}
		summary := Summarize(Run{Planned: len(entries)}, entries)
		if summary.Total < 0 || summary.Built+summary.Skipped+summary.Failed > len(entries) {
			t.Errorf("%d entries add up to %+v", len(entries), summary)
		}
		if _, err := encode(summary, ""); err != nil {
			t.Errorf("the summary is no JSON: %v", err)
		}
	})
}

// So may the summaries that merge reads.
func FuzzMerge(f *testing.F) {
	for _, text := range []string{
		`{"run":{"shard":"1/2","image":"x/y","planned_total":3,"warnings":["a"]}}`, `{"run":{"shard":"1/999999999999"}}`, `{"run":{"shard":"-1/0","rebase":null}}`,
		`{"run":{"phases":[{"name":"build","seconds":1e308}],"setup_error":"::error::x","record_errors":["x"]}}`, `{"run":{"planned_total":9223372036854775807}}`,
	} {
		f.Add([]byte(text), []byte(`{"run":{"shard":"2/2"}}`))
		f.Add([]byte(text), []byte(text))
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		var parts []Part
		for i, text := range [][]byte{one, other} {
			part := Part{Dir: string(rune('a' + i)), Entries: []Entry{FromOutcome(&outcome.Outcome{Target: plan.Target{InstanceID: "a"}, Err: errors.New("x")})}}
			if json.Unmarshal(text, &part.Summary) != nil {
				return
			}
			parts = append(parts, part)
		}
		summary, entries, err := Merge(parts)
		var not *NotMergeable
		if err != nil && !errors.As(err, &not) {
			t.Errorf("the error is %v", err)
		}
		if err == nil && (len(entries) != 1 || len(summary.Run.MissingShards) > maxShards) {
			t.Errorf("%d entries, %d missing shards", len(entries), len(summary.Run.MissingShards))
		}
		if _, err := encode(summary, ""); err != nil {
			t.Errorf("the summary is no JSON: %v", err)
		}
	})
}

// What a registry or a build says makes no line of a ledger, and no cell of a table, that nobody can read.
func TestErrorsAreShortened(t *testing.T) {
	long := "putting x: 500: " + strings.Repeat("\x1b[2J::error::\u202e <b>\n", 50_000) + ": the cause"
	e := FromOutcome(&outcome.Outcome{
		Target: plan.Target{InstanceID: "a"}, Err: errors.New(long), NotRebased: long, Attempts: []outcome.Attempt{{Err: errors.New(long)}},
	})
	for name, text := range map[string]Text{"error": e.Error, "reason": e.StrategyReason, "attempt": e.Attempts[0].Error} {
		if len(text) > 1000 || strings.ContainsAny(string(text), "\x1b\u202e\n") || !strings.HasPrefix(string(text), "putting x: 500: ") || !strings.HasSuffix(string(text), ": the cause") {
			t.Errorf("the %s has %d bytes: %q", name, len(text), text)
		}
	}
	if got := inOneLine("::error::x"); got != "| ::error::x" {
		t.Errorf("an error that is a command became %q", got)
	}
}
