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
	hint  string // for these messages; empty where that of the class helps
}{
	// The last two are messages of SQLite and of apt.
	{ClassDisk, anyOf(`no space left on device`, `disk quota exceeded`, `database or disk is full`, `don't have enough free space in `), ""},
	{ClassEngine, anyOf(
		`cannot connect to the docker daemon`, `failed to connect to the docker API`, `no builder "\S+" found`, `is the docker daemon running`,
		`error reading from server: EOF`, `code = Unavailable`, `transport is closing`, `listing workers for Build`,
		`no such container: buildx_buildkit_`, `container [0-9a-f]{12,} is not running`, `buildkitd\.sock: connect:`, `failed to list workers`), ""},
	// Google's registries call a limit per minute a quota (https://docs.cloud.google.com/artifact-registry/quotas).
	{ClassRateLimit, anyOf(`quota exceeded[^\n]*\bper[ _-]?(second|minute)`), ""},
	// The first pattern is Docker Hub's, the second Harbor's.
	{ClassQuota, anyOf(`reached your .*pull rate limit`, `exceed the configured upper limit`,
		`quota.{0,20} exceeded|exceeded.{0,20} quota`), ""},
	// The first is of package registry, the second Amazon ECR's, the third Harbor's.
	{ClassImmutable, anyOf(`the tag is immutable`, `cannot be overwritten because the (tag|repository) is immutable`,
		`configured as immutable`), ""},
	// GitHub answers 403 with "secondary rate limit" instead of 429. If the response has no body, as for a HEAD, only the status
	// remains. The run checked the right to push before the first build, and without that right ghcr.io says "denied"
	// (docker/build-push-action#463 and #687: repeated pushes succeeded).
	{ClassRateLimit, anyOf(httpStatus("429"), `too ?many ?requests`, `secondary rate limit`, `rate limit exceeded`,
		`failed to push ghcr\.io/\S+: .*\b403 forbidden$`), ""},
	// Other registries limit requests so, too (https://github.com/containerd/containerd/pull/13746), and a login that has expired looks
	// the same: a HEAD has no body to tell. It is no clear refusal, because the run checked the right to push.
	{
		ClassRegistry, anyOf(`failed to push \S+: unexpected status from HEAD request to \S+: 40[13]\b`),
		"run it again; when it persists, check registry-username and registry-password: the registry accepted them at the start of the run, " +
			"and they may have expired",
	},
	// The next messages stand in errors that also say "failed to resolve source metadata" and "not found".
	{ClassTLS, anyOf(`\bx509: `, `tls: failed to verify certificate`), ""},
	{
		ClassTLS, anyOf(`server gave HTTP response to HTTPS client`),
		`tell the builder that the registry speaks plain http: write http = true under [registry."HOST"] in buildkitd-config-inline, ` +
			"or in the configuration of the builder that builder names",
	},
	{
		ClassAuth, anyOf(`docker-credential-[^\s"]+"?: executable file not found`),
		"log in with registry-username and registry-password, or base-registry-username and base-registry-password for a base image: the " +
			"Docker configuration leaves the login to a program that is not installed here",
	},
	// Amazon ECR makes no repository at the first push.
	{
		ClassAuth, anyOf(`failed to push \S+:[\s\S]{0,400}?(name unknown|name_unknown|repository[^\n]* does not exist)`),
		"create the repository of image, and that of eval-base-image: this registry does not make one at the first push",
	},
	// Docker Hub gives the first message for a missing and for a private repository.
	{ClassBaseMissing, anyOf(`pull access denied`,
		`failed to resolve source metadata for .*(not found|manifest unknown|name unknown)`,
		`no match for platform in manifest`), ""},
	{
		ClassAuth, anyOf(`\bunauthenticated: `, `\bunauthenticated request`),
		"log in: the registry got no credentials; set registry-username and registry-password, or base-registry-username and " +
			"base-registry-password for a base image",
	},
	{ClassAuth, anyOf(httpStatus("401"), httpStatus("403"),
		`unauthorized:`, `authentication required`, `\bdenied:`, `insufficient_scope`), ""},
	{
		ClassRegistry, anyOf(`unexpected commit digest`),
		"run it again; when it persists, a mirror or proxy before the registry serves a damaged layer: empty its cache, or leave it out",
	},
	// The last is of a push whose answer has another digest (containerd, core/remotes/docker/pusher.go).
	{ClassRegistry, anyOf(httpStatus("5[0-9][0-9]"), `blob upload (unknown|invalid)`, `manifest (blob )?(unknown|invalid)`,
		`got digest \S+, expected sha256:`), ""},
	{ClassNetwork, connectionErrors, ""},
	// The kernel refuses to run a program of another architecture.
	{ClassPlatform, anyOf(`\bexec [^\n]{0,200}: exec format error`, `exec user process caused: exec format error`), ""},
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

// HintFor says what the user can do about a failure of class c with this message. Some messages have a hint of their own.
func HintFor(c Class, message string) string {
	for _, pattern := range patterns {
		if pattern.class == c && pattern.hint != "" && pattern.text.MatchString(message) {
			return pattern.hint
		}
	}
	return Hint(c)
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
