package failure

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// patterns match error messages; the first match counts. They are not for whole logs: a successful build prints "not found" and
// "not compatible" often enough.
var patterns = []struct {
	class Class
	text  *regexp.Regexp
}{
	{ClassDisk, anyOf(`no space left on device`, `disk quota exceeded`, `database or disk is full`, `don't have enough free space in `)}, // sqlite, apt
	{ClassEngine, anyOf(
		`cannot connect to the docker daemon`, `failed to connect to the docker API`, `no builder "\S+" found`, `is the docker daemon running`,
		`error reading from server: EOF`, `code = Unavailable`, `transport is closing`, `listing workers for Build`,
		`no such container: buildx_buildkit_`, `container [0-9a-f]{12,} is not running`, `buildkitd\.sock: connect:`, `failed to list workers`)},
	// The first pattern is Docker Hub's, the second Harbor's.
	{ClassQuota, anyOf(`reached your .*pull rate limit`, `exceed the configured upper limit`,
		`quota.{0,20} exceeded|exceeded.{0,20} quota`)},
	// GitHub answers 403 with "secondary rate limit" instead of 429. If the response has no body, as for a HEAD, only the status
	// remains. The run checked the right to push before the first build, and without that right ghcr.io says "denied"
	// (docker/build-push-action#463 and #687: repeated pushes succeeded).
	{ClassRateLimit, anyOf(httpStatus("429"), `too ?many ?requests`, `secondary rate limit`, `rate limit exceeded`,
		`failed to push ghcr\.io/\S+: .*\b403 forbidden$`)},
	// Docker Hub gives the first message for a missing and for a private repository.
	{ClassBaseMissing, anyOf(`pull access denied`,
		`failed to resolve source metadata for .*(not found|manifest unknown|name unknown)`,
		`no match for platform in manifest`)},
	{ClassAuth, anyOf(httpStatus("401"), httpStatus("403"),
		`unauthorized:`, `authentication required`, `\bdenied:`, `insufficient_scope`)},
	{ClassRegistry, anyOf(httpStatus("5[0-9][0-9]"), `blob upload (unknown|invalid)`, `manifest (blob )?(unknown|invalid)`)},
	{ClassNetwork, connectionErrors},
}

// connectionErrors match a connection that failed or broke: messages of Go, then those of glibc, curl, Node and uv, which run
// in steps of the Dockerfile.
var connectionErrors = anyOf(
	`no such host`, `server misbehaving`, `connection refused`, `connection reset`, `connection timed out`, `broken pipe`, `i/o timeout`,
	`TLS handshake`, `network is unreachable`, `no route to host`, `unexpected EOF`, `: EOF$`, `client\.timeout exceeded`,
	`context deadline exceeded`, `http2: `, `use of closed network connection`,
	`temporary failure (in name resolution|resolving)`, `could not resolve host`, `EAI_AGAIN`, `ECONNRESET`, `ETIMEDOUT`,
	`dns error`, `error sending request for url`)

func anyOf(texts ...string) *regexp.Regexp {
	return regexp.MustCompile(`(?im)` + strings.Join(texts, "|"))
}

// httpStatus matches an HTTP status as BuildKit, containerd and go-containerregistry write it. It requires words around the
// number, because instances and digests contain numbers too.
func httpStatus(code string) string {
	return `(status|code|request|to \S+)[^0-9\n]{0,20}:? ` + code + `\b|\b` + code + `,? (unauthorized|forbidden|not allowed|too many|` +
		`internal server|bad gateway|service|gateway|not implemented)`
}

// Classify returns the class of an error message, or otherwise if no pattern matches.
func Classify(message string, otherwise Class) Class {
	for _, pattern := range patterns {
		if pattern.text.MatchString(message) {
			return pattern.class
		}
	}
	return otherwise
}

// retryAfter matches what ghcr.io writes in the text of an error: "retry-after: 352.829µs, allowed: 44000/minute". BuildKit
// passes on the text, but not the header.
var retryAfter = regexp.MustCompile(`(?i)retry-after: *([0-9][0-9a-zµ.]*)`)

// RetryAfter returns how long a registry asks to wait, or 0. A number without a unit is in seconds.
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
