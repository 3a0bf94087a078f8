package sdk

import (
	"errors"
	"strings"
	"testing"
)

// What git 2.39 and uv 0.13.9 really said, shortened in the middle of the longest lines.
func TestSetupErrorsSayWhatHelps(t *testing.T) {
	cases := []struct{ name, said, cause, hint string }{
		{"private repository", "fatal: could not read Username for 'https://github.com': terminal prompts disabled\n",
			"could not read Username for 'https://github.com': terminal prompts disabled", "wants credentials"},
		{"no network", "fatal: unable to access 'https://github.com/x/': Could not resolve host: github.com\n",
			"unable to access 'https://github.com/x/': Could not resolve host: github.com", "network"},
		{"no Python", "error: No interpreter found for Python 3.13 in managed installations or search path\n",
			"No interpreter found for Python 3.13 in managed installations or search path", "install Python 3.13"},
		{"old uv", "error: The lockfile at `uv.lock` uses an unsupported schema version (v99, but only v1 is supported). Downgrade ...\n",
			"The lockfile at `uv.lock` uses an unsupported schema version (v99, but only v1 is supported). Downgrade ...", "this uv is too old"},
		{"uv refused", "error: Required uv version `>=9.0` does not match the running version `0.13.9`. Update ...\n",
			"Required uv version `>=9.0` does not match the running version `0.13.9`. Update ...", "this uv is too old"},
		{"package index down", "Using CPython 3.13.0\nerror: Failed to download `botocore==1.44.5`\n  cause: Failed to fetch: http://127.0.0.1:1/b.whl\n" +
			"  cause: tcp connect error\n  cause: Connection refused (os error 111)\n\nhint: `botocore` (v1.44.5) was included because ...\n",
			"Failed to download `botocore==1.44.5`: Connection refused (os error 111)", "UV_DEFAULT_INDEX"},
		{"disk full", "error: Failed to install: fakeredis-2.40.0-py3-none-any.whl (fakeredis==2.40.0)\n  cause: Failed to copy to `/v/geohash.py`\n" +
			"  cause: failed to copy file from /a to /b: No space left on device (os error 28)\n",
			"Failed to install: fakeredis-2.40.0-py3-none-any.whl (fakeredis==2.40.0): failed to copy file from /a to /b: No space left on device (os error 28)",
			"free disk space"},
		{"anything else", "error: Could not find root package `nope`\n", "Could not find root package `nope`", "the whole output is in builds/setup.log"},
		{"no error line", "it broke\n\n", "it broke", "builds/setup.log"},
		{"silence", "", "exit status 2", "builds/setup.log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			failed := Commands{LogPath: "builds/setup.log"}.failed("doing", &commandError{err: errors.New("exit status 2"), tail: c.said})
			if failed.Cause != c.cause {
				t.Errorf("cause = %q\n want %q", failed.Cause, c.cause)
			}
			if hint := failed.Hint(); !strings.Contains(hint, c.hint) || !strings.HasSuffix(hint, "the whole output is in builds/setup.log") {
				t.Errorf("hint = %q, want %q in it, and the log", hint, c.hint)
			}
		})
	}
}
