package sdk

import (
	"regexp"
	"strings"
)

// remedies are the hints for messages of failed programs. The first match wins, so special messages come before general
// ones: git and uv report nearly all server errors as a failed request.
var remedies = []struct {
	said *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`"?git"?: executable file not found`), "install git, or put it on PATH"},
	{regexp.MustCompile(`"?uv"?: executable file not found`), "install uv " + oldestUV + " or later, or put it on PATH"},
	{regexp.MustCompile(`must be an https`), "write sdk-repository like https://github.com/OpenHands/software-agent-sdk.git; ssh would need a key"},
	{regexp.MustCompile(`must not hold credentials`), "use a public repository: what stands in a URL ends up in logs"},
	{
		regexp.MustCompile(`^` + regexp.QuoteMeta(ErrForeignSdist.Error())),
		"check that the uv on PATH is uv itself, and what uv.toml in ~/.config/uv and /etc/uv sets",
	},
	{regexp.MustCompile(`is no software-agent-sdk`), "check sdk-repository and sdk-ref"},
	{
		regexp.MustCompile(`(?i)no space left on device|out of diskspace|disk quota exceeded`),
		"free disk space on the runner; the SDK's checkout and environment take 500 MB where TMPDIR and UV_CACHE_DIR point",
	},
	{regexp.MustCompile(`(?i)read-only file system`), "let TMPDIR and UV_CACHE_DIR point to folders that can be written"},
	{
		regexp.MustCompile(`^this machine has no Python|No interpreter found`),
		"install Python in that version, or let uv reach the server that it fetches Python from (UV_PYTHON_INSTALL_MIRROR)",
	},
	{
		regexp.MustCompile(`(?i)server verification failed|certificate verif|certificate_verify|SSL:? certificate|peer certificate|certificate locations`),
		"let SSL_CERT_FILE name a file that has the certificate of the server, or of the proxy between; in a container that file has to be in the workspace",
	},
	{
		regexp.MustCompile(`(?i)could not resolve proxy|CONNECT tunnel failed|proxy CONNECT aborted|from proxy after CONNECT|tunnel error`),
		"check HTTPS_PROXY, HTTP_PROXY and NO_PROXY: the proxy does not let this through",
	},
	{
		regexp.MustCompile(`could not read Username|Authentication failed|terminal prompts disabled|HTTP Basic|returned error: 40[13]`),
		"sdk-repository wants credentials, which this action does not take: use a public repository, check it for a typo, " +
			"or check it out by actions/checkout and give sdk-path",
	},
	{
		regexp.MustCompile(`An index( URL)? \(.*\) (could not be queried|returned a)|HTTP status client error \(40[137]`),
		"check UV_DEFAULT_INDEX, and its credentials: the package index refuses to answer",
	},
	{
		regexp.MustCompile(`not found in the package registry|HTTP status client error \(404`),
		"check UV_DEFAULT_INDEX: this package index lacks what the SDK needs",
	},
	{
		regexp.MustCompile(`HTTP status server error|HTTP status client error \(429|returned error: (429|5\d\d)`),
		"the server has a fault of its own: try again later",
	},
	{
		regexp.MustCompile(`incompatible with the project's Python requirement`),
		"this SDK's .python-version and pyproject.toml contradict each other: use another sdk-ref",
	},
	{
		regexp.MustCompile(`unsupported schema version|Required uv version|exclude-newer|Failed to parse .(uv\.lock|pyproject\.toml)|unexpected argument|unrecognized subcommand`),
		"this uv cannot read the SDK's uv.lock or pyproject.toml: use a newer release of this action, outside of it a newer uv (" +
			oldestUV + " or later), or another sdk-ref",
	},
	{regexp.MustCompile(`Unable to find lockfile`), "use an sdk-ref that has a uv.lock: the SDK's releases have one"},
	{
		regexp.MustCompile(`Could not resolve host|dns error|failed to lookup address|Connection refused|Failed to connect|timed out|` +
			`error sending request|Connection reset|unreachable|Operation too slow|early EOF|hung up unexpectedly`),
		"check the runner's network and proxy, and for the package index UV_DEFAULT_INDEX",
	},
	{
		regexp.MustCompile(`(?i)repository '.*' (not found|does not exist)|does not appear to be a git repository`),
		"check sdk-repository; a private one looks as if it were not there",
	},
	{regexp.MustCompile(`died \(signal: killed`), "the machine may be short of memory: the SDK alone takes 260 MB, and each build more; lower max-workers"},
	{
		regexp.MustCompile(`ModuleNotFoundError|ImportError|SyntaxError`),
		"this SDK does not import in its own locked environment: try another sdk-ref (1.1.0 is the oldest that works)",
	},
}

// oldestUV is the version of uv in the SDK's Dockerfile.
const oldestUV = "0.13.5"

// remedy returns the hint for err and the line that it matched, or nothing. It reads all the output of a failed program
// that was kept, not only the last line.
func remedy(err error) (hint, line string) {
	said, _ := output(err)
	for _, r := range remedies {
		for _, text := range []string{err.Error(), said} {
			if at := r.said.FindStringIndex(text); at != nil {
				return r.hint, lineAt(text, at[0])
			}
		}
	}
	return "", ""
}

// prefixes are what git, uv and git servers put before a message.
var prefixes = regexp.MustCompile(`^(?:\s*(?:fatal|error|warning|remote|cause|hint|Caused by|[×├╰]─?▶?)[: ])*\s*`)

// lineAt returns the line of text that contains the byte at, without prefixes.
func lineAt(text string, at int) string {
	line := text[strings.LastIndexByte(text[:at], '\n')+1:]
	line, _, _ = strings.Cut(line, "\n")
	return strings.TrimSpace(prefixes.ReplaceAllString(line, ""))
}
