package failure

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// signs are what failures say, most telling first. They are looked for in error messages only, never in all of a log:
// a build that works prints "not found" and "not compatible" often enough.
var signs = []struct {
	class Class
	text  *regexp.Regexp
}{
	{ClassDisk, say(`no space left on device`, `disk quota exceeded`)},
	{ClassEngine, say(
		`cannot connect to the docker daemon`, `failed to connect to the docker API`, `no builder "\S+" found`, `is the docker daemon running`,
		`error reading from server: EOF`, `code = Unavailable`, `transport is closing`, `listing workers for Build`,
		`no such container: buildx_buildkit_`, `container [0-9a-f]{12,} is not running`, `buildkitd\.sock: connect:`, `failed to list workers`)},
	// Docker Hub says the first, Harbor the second.
	{ClassQuota, say(`reached your .*pull rate limit`, `exceed the configured upper limit`,
		`quota.{0,20} exceeded|exceeded.{0,20} quota`)},
	// 403 with "secondary rate limit" is GitHub's way to say 429; where the answer has no body, as for a HEAD, only the bare
	// status is left. The right to push was probed before the first build, and without it ghcr.io says "denied"
	// (docker/build-push-action#463 and #687: pushes that worked when they were made again).
	{ClassRateLimit, say(status("429"), `too ?many ?requests`, `secondary rate limit`, `rate limit exceeded`,
		`failed to push ghcr\.io/\S+: .*\b403 forbidden$`)},
	// Docker Hub does not tell a repository that is missing from one that is private: the first.
	{ClassBaseMissing, say(`pull access denied`,
		`failed to resolve source metadata for .*(not found|manifest unknown|name unknown)`,
		`no match for platform in manifest`)},
	{ClassAuth, say(status("401"), status("403"),
		`unauthorized:`, `authentication required`, `\bdenied:`, `insufficient_scope`)},
	{ClassRegistry, say(status("5[0-9][0-9]"), `blob upload (unknown|invalid)`, `manifest (blob )?(unknown|invalid)`)},
	{ClassNetwork, connection},
}

// connection is how a connection says that it was not made, or broke: Go's words, then glibc's, curl's, Node's and uv's,
// which a step of the Dockerfile prints.
var connection = say(
	`no such host`, `server misbehaving`, `connection refused`, `connection reset`, `connection timed out`, `broken pipe`, `i/o timeout`,
	`TLS handshake`, `network is unreachable`, `no route to host`, `unexpected EOF`, `: EOF$`, `client\.timeout exceeded`,
	`context deadline exceeded`, `http2: `, `use of closed network connection`,
	`temporary failure (in name resolution|resolving)`, `could not resolve host`, `EAI_AGAIN`, `ECONNRESET`, `ETIMEDOUT`,
	`dns error`, `error sending request for url`)

func say(texts ...string) *regexp.Regexp {
	return regexp.MustCompile(`(?im)` + strings.Join(texts, "|"))
}

// status is an HTTP status in an error message, as BuildKit, containerd and go-containerregistry write it. The words
// around it count: instances and digests have numbers, too.
func status(code string) string {
	return `(status|code|request|to \S+)[^0-9\n]{0,20}:? ` + code + `\b|\b` + code + `,? (unauthorized|forbidden|not allowed|too many|` +
		`internal server|bad gateway|service|gateway|not implemented)`
}

// Classify finds the class of an error message. It is otherwise where the message says nothing of the kind.
func Classify(message string, otherwise Class) Class {
	for _, sign := range signs {
		if sign.text.MatchString(message) {
			return sign.class
		}
	}
	return otherwise
}

// retryAfter is what ghcr.io says in the text of a refusal: "retry-after: 352.829µs, allowed: 44000/minute". BuildKit
// passes on that text, and not the header.
var retryAfter = regexp.MustCompile(`(?i)retry-after: *([0-9][0-9a-zµ.]*)`)

// RetryAfter finds how long a registry asks to wait, in any unit, seconds where there is none. It is 0 where the
// message does not say.
func RetryAfter(message string) time.Duration {
	found := retryAfter.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	if d, err := time.ParseDuration(found[1]); err == nil {
		return d
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	if err != nil || seconds < 0 || seconds > (24*time.Hour).Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
