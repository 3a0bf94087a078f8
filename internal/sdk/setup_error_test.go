package sdk

import (
	"errors"
	"strings"
	"testing"
)

// What git 2.39 and uv 0.13.9 really said, shortened in the middle of the longest lines.
func TestSetupErrorsSayWhatHelps(t *testing.T) {
	cases := []struct{ name, said, cause, hint string }{
		{
			"private repository", "fatal: could not read Username for 'https://github.com': terminal prompts disabled\n",
			"could not read Username for 'https://github.com': terminal prompts disabled", "wants credentials",
		},
		{
			"no network", "fatal: unable to access 'https://github.com/x/': Could not resolve host: github.com\n",
			"unable to access 'https://github.com/x/': Could not resolve host: github.com", "network",
		},
		{
			"no Python", "error: No interpreter found for Python 3.13 in managed installations or search path\n",
			"No interpreter found for Python 3.13 in managed installations or search path", "install Python in that version",
		},
		{
			"old uv", "error: The lockfile at `uv.lock` uses an unsupported schema version (v99, but only v1 is supported). Downgrade ...\n",
			"The lockfile at `uv.lock` uses an unsupported schema version (v99, but only v1 is supported). Downgrade ...", "this uv cannot read",
		},
		{
			"uv refused", "error: Required uv version `>=9.0` does not match the running version `0.13.9`. Update ...\n",
			"Required uv version `>=9.0` does not match the running version `0.13.9`. Update ...", "this uv cannot read",
		},
		{
			"package index down", "Using CPython 3.13.0\nerror: Failed to download `botocore==1.44.5`\n  cause: Failed to fetch: http://127.0.0.1:1/b.whl\n" +
				"  cause: tcp connect error\n  cause: Connection refused (os error 111)\n\nhint: `botocore` (v1.44.5) was included because ...\n",
			"Failed to download `botocore==1.44.5`: Connection refused (os error 111) (http://127.0.0.1:1/b.whl)", "UV_DEFAULT_INDEX",
		},
		{
			"package index never answers", "error: Request failed after 3 retries in 120.4s\n  cause: Failed to fetch: http://u:secret@127.0.0.1:1/simple/botocore/\n" +
				"  cause: error sending request for url (http://127.0.0.1:1/simple/botocore/)\n  cause: operation timed out\n",
			"Request failed after 3 retries in 120.4s: operation timed out (http://127.0.0.1:1/simple/botocore/)", "UV_DEFAULT_INDEX",
		},
		{
			"unreadable lock", "error: Failed to parse `uv.lock`\n  cause: TOML parse error at line 22, column 1\n            |\n         22 | [[package]]\n" +
				"            | ^^^^^^^^^^^\n         data did not match any variant of untagged enum SourceWire\n",
			"Failed to parse `uv.lock`: TOML parse error at line 22, column 1", "this uv cannot read",
		},
		{
			"very old uv", "error: unexpected argument '--frozen' found\n\nUsage: uv sync [OPTIONS]\n\nFor more information, try '--help'.\n",
			"unexpected argument '--frozen' found", "this uv cannot read",
		},
		{
			"no lock", "error: Unable to find lockfile at `uv.lock`, but `--frozen` was provided. To create ...\n",
			"Unable to find lockfile at `uv.lock`, but `--frozen` was provided. To create ...", "that has a uv.lock",
		},
		{
			"Python too old", "Using CPython 3.13.0 interpreter at: /x/python3.13\nerror: The requested interpreter resolved to Python 3.13.0, which is incompatible with " +
				"the project's Python requirement: `>=3.14` (from `requires-python` in `uv.lock`).\n",
			"The requested interpreter resolved to Python 3.13.0, which is incompatible with the project's Python requirement: `>=3.14` (from `requires-python` in `uv.lock`).",
			"contradict each other",
		},
		{
			"package index wants credentials", "error: Failed to build `openhands-sdk @ file:///w`\n  cause: Failed to resolve requirements from `build-system.requires`\n" +
				"  cause: Because setuptools was not found in the package registry and you require setuptools>=83.0.0, we can conclude that your requirements are unsatisfiable.\n\n" +
				"hint: An index URL (http://127.0.0.1:1/401) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)\n",
			"Failed to build `openhands-sdk @ file:///w`: Because setuptools was not found in the package registry and you require setuptools>=83.0.0, we can conclude " +
				"that your requirements are unsatisfiable: An index URL (http://127.0.0.1:1/401) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)",
			"and its credentials",
		},
		{
			"package index lacks it", "error: Failed to build `openhands-sdk @ file:///w`\n  cause: Because setuptools was not found in the package registry and you require ...\n",
			"Failed to build `openhands-sdk @ file:///w`: Because setuptools was not found in the package registry and you require ...", "lacks what the SDK needs",
		},
		{
			"certificate, git 2.47 in Debian 13", "fatal: unable to access 'https://h/x/': server verification failed: certificate signer not trusted. (CAfile: none CRLfile: none)\n",
			"unable to access 'https://h/x/': server verification failed: certificate signer not trusted. (CAfile: none CRLfile: none)", "SSL_CERT_FILE",
		},
		{
			"proxy", "fatal: unable to access 'https://github.com/x/': CONNECT tunnel failed, response 407\n",
			"unable to access 'https://github.com/x/': CONNECT tunnel failed, response 407", "check HTTPS_PROXY",
		},
		{
			"disk full for git", "remote: Counting objects\nfatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output\n",
			"fetch-pack: invalid index-pack output: write error: No space left on device", "free disk space",
		},
		{
			"disk full at the checkout", "error: unable to write file uv.lock\nfatal: sha1 file '/a/.git/index.lock' write error. Out of diskspace\n",
			"sha1 file '/a/.git/index.lock' write error. Out of diskspace", "free disk space",
		},
		{
			"disk full for the sdist", "error: [Errno 28] No space left on device\nerror: Failed to build `/w`\n  cause: The build backend returned an error\n" +
				"  cause: Call to `setuptools.build_meta:__legacy__.build_sdist` failed (exit status: 1)\n",
			"Failed to build `/w`: Call to `setuptools.build_meta:__legacy__.build_sdist` failed (exit status: 1): [Errno 28] No space left on device", "free disk space",
		},
		{
			"disk full", "error: Failed to install: fakeredis-2.40.0-py3-none-any.whl (fakeredis==2.40.0)\n  cause: Failed to copy to `/v/geohash.py`\n" +
				"  cause: failed to copy file from /a to /b: No space left on device (os error 28)\n",
			"Failed to install: fakeredis-2.40.0-py3-none-any.whl (fakeredis==2.40.0): failed to copy file from /a to /b: No space left on device (os error 28)",
			"free disk space",
		},
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
