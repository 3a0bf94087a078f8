package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

const (
	hostileID  = `<img src=//evil.test/x onerror=hacked=1>__"x'-a_name_that_is_longer_than_a_telephone_is_wide_and_has_no_place_to_break_it`
	hostileLog = `</script></pre><script>hacked=2</script><img src=//evil.test/y onerror=hacked=3> {{.}} <!-- `
)

var started = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

type object = map[string]any

func span(phase string, begin, seconds float64, slot any) object {
	return object{"phase": phase, "started_at": started.Add(time.Duration(begin * float64(time.Second))), "seconds": seconds, "slot": slot}
}

// record writes the record of a run of many images, as a run leaves it.
func record(t *testing.T, dir string, images int) {
	t.Helper()
	var lines []string
	for i := range images {
		id := fmt.Sprintf("%s-%d", []string{"django__django", "sympy__sympy", "astropy__astropy"}[i%3], 10000+i)
		begin := float64(i/4) * 4
		e := object{
			"schema": 1, "instance_id": id, "base_image": "docker.io/x/" + id + ":latest", "status": "built", "attempt_count": 1,
			"tags": []string{"ghcr.io/openhands/eval-agent-server:1234567-sweb.eval.x86_64." + id + "-source-minimal"}, "strategy": "rebase",
			"duration_seconds": 4.0, "started_at": started, "finished_at": started.Add(time.Duration(begin+14) * time.Second),
			"spans": []object{
				span("look-up", begin/4, 0.4, fmt.Sprintf("look-up %d", i%16+1)), span("eval-base", begin, 3.5, fmt.Sprintf("build %d", i%4+1)),
				span("waiting for delta", begin+4, 6, nil), span("push", begin+10, 1.2, fmt.Sprintf("push %d", i%16+1)),
			},
		}
		switch {
		case i == 0:
			e["instance_id"] = hostileID
			fallthrough
		case i%50 == 0:
			e["status"], e["error_class"], e["tags"] = "failed", []string{"network", "build-failed"}[i/50%2], []string{}
			e["error"], e["error_output"] = "pushing "+hostileLog, strings.Repeat("#12 RUN a-step-with-a-long-line\n", 15)+hostileLog
			e["log_path"] = "builds/logs/x.log"
			if i == 100 {
				e["error"] = `asking the registry whether the image exists: Head "https://ghcr.io/v2/x": dial tcp: lookup ghcr.io on 127.0.0.53:53: no such host`
			}
		case i%7 == 0:
			e["status"], e["strategy"] = "skipped_remote_exists", nil
		}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	phase := func(name string, begin, seconds float64, within any) object {
		return object{"name": name, "started_at": started.Add(time.Duration(begin) * time.Second), "seconds": seconds, "within": within}
	}
	summary, err := json.Marshal(object{
		"schema": 1, "started_at": started, "finished_at": started.Add(10 * time.Minute), "run": object{
			"title": "SWE-Bench image build", "dataset": "princeton-nlp/SWE-bench_Verified", "split": "test", "planned": images, "planned_total": images,
			"sdk_ref": "v1.45.0", "sdk_sha": strings.Repeat("a1", 20), "image": "ghcr.io/openhands/eval-agent-server", "image_tag_prefix": "1234567",
			"missing_allowed_percent": 0, "phases": []object{
				phase("checkout", 0, 3, nil), phase("environment", 3, 20, nil), phase("references", 30, 200, "build"), phase("build", 25, 570, nil),
			},
			"beside": []object{{"instance_id": "django__django-1", "what": "base stage", "spans": []object{span("base stage", 500, 60, "build 1")}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"manifest.jsonl": strings.Join(lines, "\n") + "\n", "build-summary.json": string(summary)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// report is the folder in which the program has written the report of a run of so many images.
func report(t *testing.T, images int) string {
	t.Helper()
	program, of, folder := filepath.Join(t.TempDir(), "eval-images"), t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	record(t, of, images)
	earlier, err := json.Marshal(object{
		"schema": 1, "started_at": started.Add(-time.Hour), "wall_clock_seconds": 700, "total": images, "failed": 1, "run": object{"dataset": "princeton-nlp/SWE-bench_Verified", "split": "test"},
		"failed_builds": []object{{"instance_id": "django__django-10003"}}, "slowest_builds": []object{{"instance_id": "sympy__sympy-10001", "duration_seconds": 40}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "build-summary.json"), earlier, 0o600) // a merge is compared with the one before
	}
	if err != nil {
		t.Fatal(err)
	}
	merge := exec.CommandContext(t.Context(), program, "merge", of)
	merge.Dir = folder
	if out, err := merge.CombinedOutput(); merge.ProcessState.ExitCode() != 1 { // images are missing
		t.Fatalf("%v: %s", err, out)
	}
	return folder
}

func start(t *testing.T) *Browser {
	t.Helper()
	b, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func open(t *testing.T, b *Browser, folder string, width int, dark bool) *Page {
	t.Helper()
	p, err := b.Open("file://"+filepath.Join(folder, "report.html"), width, dark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func eval[T any](t *testing.T, p *Page, expression string) T {
	t.Helper()
	value, err := Eval[T](p, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func do(t *testing.T, p *Page, script string) {
	t.Helper()
	if err := p.Do(script); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

func press(t *testing.T, p *Page, keys string) {
	t.Helper()
	if err := p.Keys(keys); err != nil {
		t.Fatal(err)
	}
}

// The report of a run, as a person has it before them. With SCREENSHOTS, a folder, pictures are left there to look at.
func TestReport(t *testing.T) {
	const images = 500
	folder, b := report(t, images), start(t)

	t.Run("it fits and can be read, on a telephone, in the dark", func(t *testing.T) {
		for _, width := range []int{390, 1280} {
			for _, dark := range []bool{false, true} {
				p := open(t, b, folder, width, dark)
				do(t, p, `document.querySelectorAll("details").forEach((d, i) => d.open = i < 3)`)
				if o, err := p.Overflow(); err != nil || o.Pixels > 0 {
					t.Errorf("at %d px, %d px are cut off: %s %v", width, o.Pixels, o.Element, err)
				}
				if c, err := p.Contrast(); err != nil || c.Ratio < 4.5 {
					t.Errorf("dark %v: contrast of %.2f, want 4.5: %s %v", dark, c.Ratio, c.Element, err)
				}
				if to := os.Getenv("SCREENSHOTS"); to != "" {
					png, err := p.Screenshot()
					if err == nil {
						err = os.WriteFile(filepath.Join(to, fmt.Sprintf("report-%d-dark-%v.png", width, dark)), png, 0o644)
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
		}
	})

	t.Run("it asks for nothing, and what others wrote is only text", func(t *testing.T) {
		p := open(t, b, folder, 1280, false)
		do(t, p, `document.querySelectorAll("details").forEach(d => d.open = true)`)
		if requests := p.Requests(); len(requests) != 1 {
			t.Errorf("it asks for %v", requests)
		}
		if got := eval[string](t, p, `typeof hacked + " " + document.images.length + " " + document.scripts.length`); got != "undefined 0 2" || len(p.Problems()) > 0 {
			t.Errorf("hacked, images, scripts: %s; %v", got, p.Problems())
		}
		if !eval[bool](t, p, fmt.Sprintf(`document.querySelector(".group pre").textContent.endsWith(%q)`, hostileLog)) {
			t.Error("the output of a failure is not what was written")
		}
		if got := eval[string](t, p, `[...document.querySelectorAll(".group h3")].map(h => h.textContent + ": " + h.parentElement.querySelectorAll("details").length).join()`); got != "build step failed build-failed 5: 5,network 5: 5" {
			t.Errorf("groups of failures: %s", got)
		}
		if got := eval[string](t, p, `[...document.querySelectorAll(".group summary")].map(s => s.textContent).find(s => s.includes("10100"))`); !strings.HasPrefix(got, "sympy__sympy-10100 no such host Head ") {
			t.Errorf("a failure does not begin with its cause: %s", got)
		}
		if got := eval[string](t, p, `[...document.querySelectorAll("section[aria-labelledby=comparison-title] h3")].map(h => h.textContent + ": " + h.nextElementSibling.children.length).join()`); got != "Newly failing: 10,Newly built: 1,Faster: 1" {
			t.Errorf("compared with an earlier run: %s", got)
		}
		if !eval[bool](t, p, fmt.Sprintf(`[...document.querySelectorAll("#table summary")].some(s => s.textContent === %q)`, hostileID)) {
			t.Error("the instance with an odd id is not in the table")
		}
		do(t, p, `addEventListener("securitypolicyviolation", e => window.violated = e.effectiveDirective); new Image().src = "http://127.0.0.1:9/"`)
		refused := eventually[string](t, p, `window.violated || ""`) // the browser tells of it a moment later
		if refused != "img-src" {
			t.Errorf("the policy refuses %q, want img-src: an image of another host", refused)
		}
	})

	t.Run("500 images are laid out at once", func(t *testing.T) {
		p := open(t, b, folder, 1280, false)
		if bars := eval[int](t, p, `document.querySelectorAll("#chart rect").length`); bars < 3*images {
			t.Errorf("%d bars", bars)
		}
		if n, err := p.Layouts(); err != nil || n > mostLayouts {
			t.Errorf("%d layouts, want at most %d (%v)", n, mostLayouts, err)
		}
	})

	t.Run("filters", func(t *testing.T) {
		p := open(t, b, folder, 1280, false)
		shown := `[...document.querySelector("#table").tBodies[0].rows].filter(r => r.checkVisibility()).length`
		input := `.dispatchEvent(new Event("input"))`
		cases := []struct {
			set  string
			want int
		}{
			{`text.focus()`, images},
			{`status.value = "failed"; status` + input, 10},
			{`document.getElementById("class").value = "network"; document.getElementById("class")` + input, 5},
		}
		get := `const text = document.getElementById("text"), status = document.getElementById("status");`
		for _, c := range cases {
			do(t, p, "{"+get+c.set+"}")
			if got := eval[int](t, p, shown); got != c.want {
				t.Errorf("%s: %d rows, want %d", c.set, got, c.want)
			}
		}
		press(t, p, "evil.test/x")
		if got := eval[int](t, p, shown); got != 1 {
			t.Errorf("%d rows have the text, want 1", got)
		}
		if got := eval[string](t, p, `document.getElementById("shown").textContent`); got != "1 of 500" {
			t.Errorf("it says %q", got)
		}
	})

	t.Run("the keyboard reaches all", func(t *testing.T) {
		p := open(t, b, folder, 1280, false)
		var reached []string
		for range 40 {
			press(t, p, kb.Tab)
			reached = append(reached, eval[string](t, p, `(e => e.id || e.tagName.toLowerCase() + "." + (e.className || e.closest("section")?.id || e.closest("div")?.className))(document.activeElement)`))
		}
		for _, want := range []string{"a.skip", "summary.group", "zoom", "colour", "chart", "text", "status", "class", "summary.images"} {
			if !slices.Contains(reached, want) {
				t.Errorf("Tab does not reach %s: %v", want, reached)
			}
		}
		press(t, p, kb.Enter)
		if !eventually[bool](t, p, `document.activeElement.parentElement.open && document.activeElement.parentElement.querySelectorAll(".spans li").length === 4`) {
			t.Error("Enter opens no image with its spans")
		}
		do(t, p, `document.getElementById("chart").focus()`)
		press(t, p, kb.ArrowRight)
		if got := eval[string](t, p, `document.getElementById("bar").textContent`); !strings.HasPrefix(got, "build: phase") && !strings.HasPrefix(got, "checkout") {
			t.Errorf("the first bar is %q", got)
		}
		press(t, p, kb.End)
		if got := eval[string](t, p, `document.getElementById("bar").textContent`); !strings.HasPrefix(got, "look-up 16: ") {
			t.Errorf("the last bar is %q", got)
		}
		before := eval[string](t, p, `document.querySelector("#chart svg").style.width`)
		press(t, p, "+")
		if after := eval[string](t, p, `document.querySelector("#chart svg").style.width`); before != "100%" || after != "200%" {
			t.Errorf("plus zooms from %s to %s", before, after)
		}
		if o, err := p.Overflow(); err != nil || o.Pixels > 0 {
			t.Errorf("zoomed, %d px are cut off: %s %v", o.Pixels, o.Element, err)
		}
	})

	t.Run("colours tell the outcome", func(t *testing.T) {
		p := open(t, b, folder, 1280, false)
		colour := `getComputedStyle(document.querySelector("#chart .o-failed.k-base")).fill`
		phase := eval[string](t, p, colour)
		do(t, p, `{const c = document.getElementById("colour"); c.value = "outcome"; c.dispatchEvent(new Event("change"))}`)
		if outcome := eval[string](t, p, colour); outcome == phase {
			t.Errorf("a failed image is %s either way", outcome)
		}
	})
}

// eventually evaluates an expression until its value is not the zero value, for at most two seconds, and returns it. Browsers send some
// events, such as toggle, a moment later.
func eventually[T comparable](t *testing.T, p *Page, expression string) (value T) {
	t.Helper()
	var zero T
	for range 100 {
		if value = eval[T](t, p, expression); value != zero {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return value
}

// mostLayouts bounds the layouts of a page: one when all is there, and those of the parts that the browser shows before.
const mostLayouts = 3

// trace.json is what viewers of Chrome's traces take.
func TestTrace(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(report(t, 8), "trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name, Ph string
			Ts, Dur  int64
			Pid, Tid int
			Args     map[string]string
		}
	}
	if err := json.Unmarshal(text, &trace); err != nil {
		t.Fatal(err)
	}
	names, events := map[[2]int]string{}, map[string]int64{}
	for _, e := range trace.TraceEvents {
		switch e.Ph {
		case "M":
			names[[2]int{e.Pid, e.Tid}] = e.Args["name"]
		case "X":
			events[names[[2]int{e.Pid, 0}]+", "+names[[2]int{e.Pid, e.Tid}]+": "+e.Name] = e.Dur
		}
	}
	for what, want := range map[string]int64{
		"phases, references: references":                  200e6,
		"slots, build 2: sympy__sympy-10001: eval-base":   35e5,
		"images, sympy__sympy-10001: waiting for delta":   6e6,
		"slots, build 1: django__django-1: base stage":    60e6,
		"images, django__django-1 base stage: base stage": 60e6,
	} {
		if events[what] != want {
			t.Errorf("%s takes %d µs, want %d", what, events[what], want)
		}
	}
}
