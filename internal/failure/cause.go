package failure

import (
	"regexp"
	"slices"
	"strings"
)

// words say what has happened to images of a class: "3 network", "2 base image not found".
var words = map[Class]string{
	ClassBaseMissing: "base image not found", ClassAuth: "registry refused access", ClassTLS: "registry not trusted",
	ClassImmutable: "tag may not be overwritten", ClassQuota: "quota used up", ClassRateLimit: "rate limit", ClassRegistry: "registry error",
	ClassNetwork: "network", ClassEngine: "builder gone", ClassDisk: "disk full", ClassTimeout: "timed out", ClassStalled: "stalled",
	ClassPlatform: "wrong platform", ClassBuild: "build step failed", ClassShared: "shared stage failed", ClassWorkerDied: "worker died",
	ClassSDK: "SDK error", ClassRefused: "cannot be rebased", ClassCancelled: "cancelled", ClassDeadline: "stopped at the deadline",
	ClassNotStarted: "not started", ClassUnknown: "unknown",
}

// Words says in words what has happened to images of a class. They can follow a count.
func (c Class) Words() string {
	if w, known := words[c]; known {
		return w
	}
	return string(c)
}

// MayPass reports whether a later run may succeed although nothing was changed meanwhile.
func (c Class) MayPass() bool {
	switch c {
	case ClassCancelled, ClassDeadline, ClassNotStarted:
		return true
	}
	return policies[c].retries > never
}

// Untried reports whether images of a class were not tried, or not to the end: nothing is known to be wrong with them.
func (c Class) Untried() bool { return c == ClassCancelled || c == ClassNotStarted }

// NotStarted reports whether the end of the run came before the first attempt at an image of this class.
func (c Class) NotStarted(attempts int) bool {
	return c == ClassNotStarted || c == ClassCancelled && attempts == 0
}

// doing matches the beginnings of an error that say what was being done, and the names that BuildKit and Go put before a cause.
var doing = regexp.MustCompile(`^(building with the SDK|building (on )?\S+|building it natively|docker \S+( \S+)? ended with -?\d+|\S+ ended with -?\d+|` +
	`ERROR|failed to build|failed to solve|failed to load cache key|failed to do request|failed to push \S+|failed to copy|` +
	`putting \S+ on its eval-base|tagging the eval-base|(making|reading|inspecting|checking) (its|the) (digest|base stage|eval-base)( that was made)?|` +
	`asking [^":]*(the (base )?image \S+|exists|eval-base|accepts pushes)|confirming the push|checking the digest of [^":]*( \S+)?|` +
	`the registry of the base image does not answer|pulling from host \S+ failed with status code( \[manifests [^\]]*\])?|` +
	`failed to resolve source metadata for \S+|failed to authorize|failed to fetch (anonymous|oauth) token|unexpected status code \S+?): +`)

// reference matches the name of an image in front of its problem.
var reference = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]+)?: `)

// step matches a step of a Dockerfile that failed.
var step = regexp.MustCompile(`process "((?s).*)" did not complete successfully: (exit code: \d+.*)$`)

// request matches an HTTP request in front of its problem.
var request = regexp.MustCompile(`^(Head|Get|Put|Post|Patch|Delete|HEAD|GET|PUT|POST|PATCH|DELETE) "?(https?://[^"\s]+)"?: `)

// network matches the steps of Go's dialer in front of what went wrong.
var network = regexp.MustCompile(`^((dial|read|write|proxyconnect) (tcp|udp)[46]?( [^: ]+(:\d+)?(->[^: ]+:\d+)?)?|lookup \S+( on [^ ]+:\d+)?|connect|read|write|net/http|tls): `)

// Cause splits the message of an error into its root cause and what it was about: "not found" and the name of the image, without
// what was being done at that time. about may be empty.
func Cause(message string) (cause, about string) {
	rest := strings.TrimSpace(message)
	var abouts []string
	for {
		var found string
		for _, prefix := range []*regexp.Regexp{doing, reference, request, network} {
			if found = prefix.FindString(rest); found != "" {
				if prefix != doing {
					abouts = append(abouts, strings.TrimSuffix(found, ": "))
				} else if image := sourceImage.FindStringSubmatch(found); image != nil {
					abouts = append(abouts, image[1])
				}
				break
			}
		}
		if found == "" {
			break
		}
		rest = strings.TrimSpace(rest[len(found):])
	}
	if s := step.FindStringSubmatch(rest); s != nil {
		return s[2], "in " + strings.TrimPrefix(strings.TrimSpace(s[1]), "/bin/sh -c ")
	}
	return rest, strings.Join(slices.Compact(abouts), ": ")
}

// sourceImage finds the image in the part of a message that is left out of a cause.
var sourceImage = regexp.MustCompile(`(?:source metadata for|the base image|push) (\S+?)(?:@sha256:[0-9a-f]+)?: *$`)
