package sdk

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

// A worker's message holds what the SDK and its build said. Each is an answer, or an error that can be told.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		`{"description":{"sdk_version":"1.58.2\n","seam":"none"}}`, `{"names":[["a:b"],[]]}`, `{"names":null,"telemetry":{"a":1e308}}`,
		`{"error":{"kind":"command","return_code":-9,"command":["--push"],"tail":"::error::\n\u001b[2J"}}`, `{"error":{"kind":"command","command":[]}}`,
		`{"error":{"kind":"options","problems":["a\nb"],"valid":[]}}`, `{"error":{}}`, `{"error":{"kind":"exception","type":"","message":"no space left on device"}}`,
		`{"captured":{"args":{"":""},"argv":null}}`, `{"error":{"kind":"capture"}}`, `[]`, strings.Repeat(`{"error":`, 5000),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m message
		if json.Unmarshal(text, &m) != nil {
			return
		}
		err := m.err()
		if (err == nil) != (m.Error == nil) {
			t.Errorf("the error of %s is %v", text, err)
		}
		if err != nil {
			checkFailed(t, err)
		}
	})
}

// checkFailed checks that a fault of the set-up is told in one short line.
func checkFailed(t *testing.T, err error) {
	t.Helper()
	failed := Commands{LogPath: "l"}.failed("doing", err)
	if len(failed.Cause) > 2*maxCause+10 || strings.ContainsFunc(failed.Cause, unicode.IsControl) || strings.ContainsFunc(failed.Hint(), unicode.IsControl) {
		t.Errorf("the cause is %q, the hint %q", failed.Cause, failed.Hint())
	}
}

// What git and uv print comes from servers: the last of it, and the refs that git lists.
func FuzzCommandOutput(f *testing.F) {
	for _, text := range []string{
		"fatal: unable to access 'https://h/x/': Operation too slow. Less than 1000 bytes/sec transferred the last 120 seconds\n", "error: x\n  cause: y\n  Caused by: z\n",
		"remote: ::error::\x1b[2J\r\nfatal: \n", "  × a\n  ╰─▶ b\n", "\xff\xfe", strings.Repeat("fatal: ", 1000),
		strings.Repeat("a", 40) + "\trefs/heads/main\n" + strings.Repeat("b", 40) + "\trefs/tags/main\n", "x\t\n\t\ny\trefs/heads/../../x\n", "?? a\n M \"b\\n\"\nR\nUU",
		"error: unable to normalize alternate object path: /x\nfatal: bad object HEAD",
	} {
		f.Add(text, "main")
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		checkFailed(t, &commandError{err: errors.New("exit status 128"), tail: text})
		refs := listedRefs(text)
		wanted, err := resolve(Source{Repository: "https://h/x", Ref: ref}, refs)
		var bad *RefError
		switch {
		case err == nil && refs[wanted] == "" && !shaPrefix.MatchString(wanted):
			if _, listed := refs[wanted]; !listed {
				t.Errorf("%q resolves to %q, which is not listed", ref, wanted)
			}
		case err != nil && (!errors.As(err, &bad) || bad.Hint() == "" || len(bad.Near) > 3):
			t.Errorf("the error is %v", err)
		}
		for line := range strings.Lines(text) {
			if said := shortLine(describeChange(strings.TrimRight(line, "\n"))); len(said) > maxChange+3 {
				t.Errorf("a change is %q", said)
			}
		}
	})
}
