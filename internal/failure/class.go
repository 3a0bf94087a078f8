// Package failure defines the classes of failures. It classifies error messages, and says whether a retry can help and what
// the user can do.
package failure

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Class groups failures that the same remedy helps against.
type Class string

// The classes of failure. The words are what users read.
const (
	ClassBaseMissing Class = "base-missing"   // the base image does not exist, or may not be pulled
	ClassAuth        Class = "registry-auth"  // a registry refuses the credentials or the right to push
	ClassTLS         Class = "registry-tls"   // a registry is not trusted, or speaks plain http
	ClassImmutable   Class = "immutable-tag"  // a registry does not let a tag be overwritten
	ClassQuota       Class = "quota"          // a registry's pull quota or storage is used up
	ClassRateLimit   Class = "rate-limit"     // a registry asks to slow down
	ClassRegistry    Class = "registry"       // a registry fails, or gives no clear answer
	ClassNetwork     Class = "network"        // a connection could not be made, or broke
	ClassEngine      Class = "engine-gone"    // the Docker Engine or BuildKit does not answer
	ClassDisk        Class = "disk-full"      // no space left
	ClassTimeout     Class = "timeout"        // the image took longer than image-timeout
	ClassStalled     Class = "stalled"        // the build printed nothing for longer than stall-timeout allows
	ClassPlatform    Class = "wrong-platform" // the builder does not run amd64
	ClassBuild       Class = "build-failed"   // a step of the Dockerfile, or the docker command itself, failed
	ClassShared      Class = "shared-stage"   // something that every image of the run needs failed
	ClassWorkerDied  Class = "worker-died"    // the worker process ended in the middle of the build
	ClassSDK         Class = "sdk-error"      // the SDK's Python code raised an exception
	ClassRefused     Class = "not-rebased"    // cannot be rebased, and strategy is rebase
	ClassCancelled   Class = "cancelled"      // the run was cancelled before the image was done
	ClassDeadline    Class = "deadline"       // the run's deadline came while the image was being made
	ClassNotStarted  Class = "not-started"    // the run's deadline was too near to begin the image
	ClassUnknown     Class = "unknown"
)

// policy is the remedy for a class of failures: retries, or what the user can do.
type policy struct {
	// retries is the maximum number of retries. max-retries may allow fewer.
	retries int
	// firstWait is the wait before the first retry. Each further wait is twice as long, up to maxWait.
	firstWait time.Duration
	hint      string
}

const (
	never  = 0
	once   = 1
	twice  = 2
	always = 1 << 20 // as often as max-retries allows
)

// policies say for each class whether a retry can help, and why. testdata/samples of package docker holds the output of real
// tools for the classes that a message shows.
var policies = map[Class]policy{
	// Nobody pushes the base image during the run.
	ClassBaseMissing: {
		never, 0,
		"check that the base image exists (base-image-template) and, where it is not public, base-registry-" +
			"username and base-registry-password; a later run builds only what is missing",
	},
	// Wrong credentials stay wrong, and some registries lock out clients that repeat them.
	ClassAuth: {
		never, 0,
		"check registry-username and registry-password (write access to image) and, when it is about a base " +
			"image, base-registry-username and base-registry-password; a token may have expired during the run",
	},
	// The settings of the builder stay as they are.
	ClassTLS: {
		never, 0,
		`let the builder trust the registry: write ca = ["PATH"] under [registry."HOST"] in buildkitd-config-inline, or in the ` +
			"configuration of the builder that builder names; the program itself trusts SSL_CERT_FILE",
	},
	// A tag that may not be overwritten stays so.
	ClassImmutable: {
		never, 0,
		"delete the tag in the registry, or leave the repository out of its rule for immutable tags: the tag is on another image, " +
			"and force-build, eval-base-max-age and a new attempt at an image write over tags",
	},
	// Docker Hub counts pulls over six hours, and full storage stays full. A retry would only delay the failure.
	ClassQuota: {
		never, 0,
		"set base-registry-username and base-registry-password (a login has a greater pull quota), use a " +
			"mirror, or wait until the quota is renewed; when it is the storage of image, delete old versions " +
			"there",
	},
	// A registry that says "slow down" will answer later. GitHub asks for "a few minutes" after a secondary rate limit
	// (docs.github.com, rate limits for the REST API), so the first wait is long. longestPause bounds these retries, not
	// max-retries.
	ClassRateLimit: {always, time.Minute, "run it again in some minutes; when it persists, log in, or lower max-workers: the registry asked to slow down"},
	// Restarts, failovers and overload cause 5xx and unclear answers.
	ClassRegistry: {
		always, 5 * time.Second,
		"run it again; when it persists, look at the status page of the registry",
	},
	// Failures of DNS, routes and connections mostly last seconds.
	ClassNetwork: {
		always, 5 * time.Second,
		"run it again; when it persists, check that builder and runner reach the host named in the error " +
			"(proxy, firewall, DNS)",
	},
	// Supervisors restart dockerd and buildkitd, whose cache still has the finished steps.
	ClassEngine: {
		always, 15 * time.Second,
		"check that the builder still runs (docker buildx inspect) and why it ended: its log, and the " +
			"runner's memory",
	},
	// A retry follows a prune, and goes alone. The first one keeps a part of the builder's cache, the second one nothing. If
	// the disk is still full then, it stays full.
	ClassDisk: {
		twice, time.Second,
		"free space on the disk that is full (the message has the sizes), or take a runner with a larger disk: " +
			"the image did not fit even alone",
	},
	// A retry finds the finished steps in BuildKit's cache. More retries would occupy a slot for too long.
	ClassTimeout: {
		once, time.Second,
		"raise image-timeout, or lower max-workers: images that are built at once share CPU, disk and network",
	},
	// The builder has the processor that it has.
	ClassPlatform: {
		never, 0,
		"take an amd64 runner or builder, or set up QEMU (docker/setup-qemu-action) before this step: the builder runs another architecture",
	},
	// A retry makes a new connection, and the finished steps are in BuildKit's cache.
	ClassStalled: {
		always, 5 * time.Second,
		"read the end of the image's log: it names the step that printed nothing more; raise stall-timeout when a step of yours is silent for longer",
	},
	// Steps download packages. A mirror that is being updated makes a step fail in the same way as a real fault. A retry only
	// repeats the step that failed, because the others are in the cache.
	ClassBuild: {
		once, 5 * time.Second,
		"read the image's log: a step of the SDK's Dockerfile failed on this base image",
	},
	// As for ClassBuild, but all images depend on it, and no other image starts meanwhile.
	ClassShared: {
		always, 10 * time.Second,
		"read the log of the image that was tried: a stage or an image that all images need has failed, so " +
			"the others were not tried; run it again when the cause is mended",
	},
	// The kernel kills a process when memory is short. Other processes may have freed memory since.
	ClassWorkerDied: {
		always, time.Second,
		"lower max-workers when the runner was short of memory; workers.log and the image's log have the " +
			"worker's last words",
	},
	// Python code that raised an exception raises it again.
	ClassSDK: {
		never, 0,
		"read the image's log: the SDK's own code raised an exception; another sdk-ref, or other sdk-options," +
			" may not",
	},
	// An image that cannot be rebased now cannot be rebased a minute later.
	ClassRefused: {
		never, 0,
		"set strategy to auto, which builds natively what cannot be rebased; where a tag is too long for that, shorten " +
			"custom-tag-template",
	},
	// The run is over.
	ClassCancelled: {never, 0, "run it again: it builds only what is missing"},
	ClassDeadline: {
		never, 0,
		"run it again: it builds only what is missing; when it persists, raise deadline, or split the run with shard",
	},
	ClassNotStarted: {never, 0, "run it again: it builds only what is missing"},
	// Nothing shows that a retry could help.
	ClassUnknown: {never, 0, "read the image's log"},
}

// maxWait is the longest wait between two attempts, unless a registry asks for more.
const maxWait = 5 * time.Minute

// Hint says what the user can do about failures of a class. Every class has a hint.
func Hint(c Class) string {
	if p, known := policies[c]; known {
		return p.hint
	}
	return policies[ClassUnknown].hint
}

// Classes lists all classes of failures, sorted.
func Classes() []Class { return slices.Sorted(maps.Keys(policies)) }

// MaxRetries returns how many retries the class allows, but at most maxRetries.
func MaxRetries(c Class, maxRetries int) int { return min(policies[c].retries, maxRetries) }

// Retryable reports whether a retry can help.
func Retryable(err error) bool { return policies[ClassOf(err)].retries > never }

// Wait returns how long to wait before the next attempt after a number of failures, the last of which is err. The wait doubles
// with each failure. A part of it is random, so that images that failed together do not retry together. It is never shorter
// than a registry asks for.
func Wait(err error, failures int) time.Duration {
	wait := min(policies[ClassOf(err)].firstWait<<min(max(failures, 1)-1, 16), maxWait)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1))
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = max(wait, e.RetryAfter+time.Duration(rand.Int64N(int64(e.RetryAfter)/4+1)))
	}
	return wait
}

// Paused reports whether a registry only asks to come back later.
func Paused(err error) bool {
	var e *Error
	return errors.As(err, &e) && Retryable(err) && (e.Class == ClassRateLimit || e.RetryAfter > 0)
}

// Waited returns how long the failed request has waited for a registry already.
func Waited(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.Waited
	}
	return 0
}
