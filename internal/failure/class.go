// Package failure says what kinds of failure there are, how a message is told to be of one, whether trying again can help,
// and what a user can do.
package failure

import (
	"maps"
	"slices"
	"time"
)

// Class groups failures by what helps against them.
type Class string

// The classes of failure. The words are what users read.
const (
	ClassBaseMissing Class = "base-missing"  // the base image does not exist, or may not be pulled
	ClassAuth        Class = "registry-auth" // a registry refuses the credentials or the right to push
	ClassQuota       Class = "quota"         // a registry's pull quota or storage is used up
	ClassRateLimit   Class = "rate-limit"    // a registry asks to slow down
	ClassRegistry    Class = "registry"      // a registry fails, or gives no clear answer
	ClassNetwork     Class = "network"       // a connection could not be made, or broke
	ClassEngine      Class = "engine-gone"   // the Docker Engine or BuildKit does not answer
	ClassDisk        Class = "disk-full"     // no space left
	ClassTimeout     Class = "timeout"       // the image took longer than image-timeout
	ClassBuild       Class = "build-failed"  // a step of the Dockerfile, or the docker command itself, failed
	ClassShared      Class = "shared-stage"  // what every image of the run needs failed
	ClassWorkerDied  Class = "worker-died"   // the worker process ended in the middle of the build
	ClassSDK         Class = "sdk-error"     // the SDK's Python code raised
	ClassRefused     Class = "not-rebased"   // strategy rebase, and the image has to be built natively
	ClassCancelled   Class = "cancelled"     // the run was cancelled before the image was done
	ClassUnknown     Class = "unknown"
)

// policy is what helps against a class of failure: to try again, or what the user can do.
type policy struct {
	// most is how many further attempts make sense, at most; max-retries may allow fewer.
	most int
	// first is the wait before the second attempt; each further one is twice as long, up to longest.
	first time.Duration
	hint  string
}

const (
	never  = 0
	once   = 1
	always = 1 << 20 // as often as max-retries allows
)

// policies say for each class why trying again helps, or why it does not. docker/testdata/samples has what real tools print
// in each class that is told by its text.
var policies = map[Class]policy{
	// Nobody pushes the base image while the run is on.
	ClassBaseMissing: {never, 0,
		"check that the base image exists (base-image-template) and, where it is not public, base-registry-" +
			"username and base-registry-password; a later run builds only what is missing"},
	// Credentials do not get better by themselves, and some registries lock out who insists.
	ClassAuth: {never, 0,
		"check registry-username and registry-password (write access to image) and, when it is about a base " +
			"image, base-registry-username and base-registry-password; a token may have expired during the run"},
	// Docker Hub counts pulls over six hours, and a full storage stays full: to try again would only fail more slowly.
	ClassQuota: {never, 0,
		"set base-registry-username and base-registry-password (a login has a greater pull quota), use a " +
			"mirror, or wait until the quota is renewed; when it is the storage of image, delete old versions " +
			"there"},
	// "Slow down" is the registry's own promise that it will answer later. GitHub asks for "a few minutes" after a
	// secondary rate limit (docs.github.com, rate limits for the REST API), hence the long first wait. longestPause bounds
	// the attempts, and not max-retries.
	ClassRateLimit: {always, time.Minute, "run it again with a smaller max-workers: the registry asked to slow down"},
	// 5xx and unclear answers come from restarts, failovers and overload.
	ClassRegistry: {always, 5 * time.Second,
		"run it again; when it persists, look at the status page of the registry"},
	// A name server, a route or a connection that was lost is back in seconds, mostly.
	ClassNetwork: {always, 5 * time.Second,
		"run it again; when it persists, check that builder and runner reach the host named in the error " +
			"(proxy, firewall, DNS)"},
	// dockerd and buildkitd are started again by their supervisors; what was built is still in their cache.
	ClassEngine: {always, 15 * time.Second,
		"check that the builder still runs (docker buildx inspect) and why it ended: its log, and the " +
			"runner's memory"},
	// Once, after room was made: what is still full then stays full.
	ClassDisk: {once, time.Second, "free disk space, take a runner with a larger disk, or lower max-workers"},
	// A second attempt finds the finished steps in BuildKit's cache. More would hold a slot for too long.
	ClassTimeout: {once, time.Second,
		"raise image-timeout, or lower max-workers: images that are built at once share CPU, disk and network"},
	// Steps fetch packages, and a mirror that is being updated fails them without a word that would tell it from a real
	// fault; the second attempt costs only the step that failed, as the others are in the cache.
	ClassBuild: {once, 5 * time.Second,
		"read the image's log: a step of the SDK's Dockerfile failed on this base image"},
	// As above, but all images hang on it, and no other is begun meanwhile.
	ClassShared: {always, 10 * time.Second,
		"read the log of the image that was tried: a stage or an image that all images need has failed, so " +
			"the others were not tried; run it again when the cause is mended"},
	// The kernel kills a process for memory that others may have given back meanwhile.
	ClassWorkerDied: {always, time.Second,
		"lower max-workers when the runner was short of memory; workers.log and the image's log have the " +
			"worker's last words"},
	// Python code that raised raises again.
	ClassSDK: {never, 0,
		"read the image's log: the SDK's own code raised an exception; another sdk-ref, or other sdk-options," +
			" may not"},
	// What cannot be rebased now cannot be a minute later.
	ClassRefused: {never, 0, "set strategy to auto, which builds natively what cannot be rebased"},
	// The run is over.
	ClassCancelled: {never, 0, "run it again: it builds only what is missing"},
	// What is not understood is not repeated.
	ClassUnknown: {never, 0, "read the image's log"},
}

// longest is the longest wait of our own between two attempts; a registry may ask for more.
const longest = 5 * time.Minute

// Hint says what a user can do about failures of a class; every class has one.
func Hint(c Class) string {
	if p, known := policies[c]; known {
		return p.hint
	}
	return policies[ClassUnknown].hint
}

// Classes are all classes of failure, sorted.
func Classes() []Class { return slices.Sorted(maps.Keys(policies)) }

// MaxRetries is how many attempts may follow failures of this class where max-retries allows that many.
func MaxRetries(c Class, maxRetries int) int { return min(policies[c].most, maxRetries) }

// Retryable tells whether trying again can help at all.
func Retryable(err error) bool { return policies[ClassOf(err)].most > never }
