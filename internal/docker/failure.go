package docker

import (
	"regexp"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
)

// BuildFailure classifies a docker build by how it ended: by its error message and, where that is a step's failure, by what
// the step printed. The rest of the output does not count, whatever it says: a build that works prints warnings, too. tail
// holds the last lines of output, and err is the error to report. baseImage is the image that was built on. ownStages are the
// stages that are built from it; where none is given, no stage counts as one that all images share. The result is a
// *failure.Error.
func BuildFailure(returnCode int, tail string, err error, baseImage string, ownStages []string) error {
	e := &failure.Error{Class: failure.ClassBuild, ReturnCode: returnCode, Tail: tail, Err: err}
	said := parseOutput(tail)
	e.Shared = sharedStage(said.vertex, ownStages)
	switch image := said.image(); {
	case connecting.MatchString(said.vertex):
		e.Class = failure.ClassEngine
	case stepFailed.MatchString(said.message):
		// Only what a machine's fault looks like in any program: a step's own "not found" or "403" may mean anything.
		if class := failure.Classify(said.step, failure.ClassBuild); class == failure.ClassDisk || class == failure.ClassNetwork {
			e.Class = class
		}
	default:
		e.Class = failure.Classify(said.message, failure.ClassBuild)
		e.RetryAfter = failure.RetryAfter(said.message)
		if image != "" && e.Class == failure.ClassBuild && strings.HasSuffix(said.message, ": not found") {
			e.Class = failure.ClassBaseMissing
		}
		if image != "" && normalizeRef(image) != normalizeRef(baseImage) {
			e.Shared = "image " + image
		}
	}
	if e.Shared != "" && (e.Class == failure.ClassBuild || e.Class == failure.ClassBaseMissing) {
		e.Class = failure.ClassShared
	}
	return e
}

// buildkitError is how the output of a docker build ends: "------", " > vertex:", the step's last lines, "------", an excerpt
// of the Dockerfile, and the message (BuildKit, util/progress/progressui, and buildx, util/progress).
type buildkitError struct {
	vertex  string // "[builder 2/7] RUN make"
	step    string // the last lines that the step printed
	message string // "ERROR: failed to build: ..." and what follows it
}

var stepFailed = regexp.MustCompile(`process "[^\n]*" did not complete successfully`)

// connecting is buildx before it has reached a BuildKit. What it then says of it can be as little as "context deadline
// exceeded".
var connecting = regexp.MustCompile(`^\[internal\] (waiting for connection|booting buildkit)`)

const rule = "------"

func parseOutput(tail string) (e buildkitError) {
	lines := strings.Split(strings.TrimSpace(tail), "\n")
	e.message = lines[len(lines)-1]
	for i, line := range lines {
		if strings.HasPrefix(line, "ERROR: ") {
			e.message = strings.Join(lines[i:], "\n")
		}
		vertex, begins := strings.CutPrefix(line, " > ")
		if !begins || i == 0 || lines[i-1] != rule {
			continue
		}
		e.vertex, e.step = strings.TrimSuffix(vertex, ":"), ""
		for _, said := range lines[i+1:] {
			if said == rule {
				break
			}
			e.step += said + "\n"
		}
	}
	return e
}

// inStage is a vertex of a named stage: "[builder 2/7] RUN make" or, with a platform, "[linux/amd64 builder 2/7] RUN".
// A stage without a name is "stage-1"; only a Dockerfile of one stage has vertices without one.
var inStage = regexp.MustCompile(`^\[(?:\S+ )?(\S+) +\d+/\d+\] `)

// sharedStage names the stage of a vertex when it is none of those that are built from the base image: what all images
// need then failed, and not this one. That is told from the Dockerfile at hand, not from the names that SDKs have given
// their stages so far.
func sharedStage(vertex string, own []string) string {
	found := inStage.FindStringSubmatch(vertex)
	if found == nil || len(own) == 0 {
		return ""
	}
	for _, stage := range own {
		if strings.EqualFold(stage, found[1]) {
			return ""
		}
	}
	return "stage " + found[1]
}

// asking is the vertex of an image that BuildKit asks a registry about: a stage's, or the Dockerfile front end.
var asking = regexp.MustCompile(`^(?:\[internal\] load metadata for|resolve image config for docker-image://|resolve image config for) *(\S+)$`)

// unresolved is such an image in the message: with the words that say so, or, from some front ends, without them.
var unresolved = []*regexp.Regexp{
	regexp.MustCompile(`failed to resolve source metadata for (\S+):(?: |$)`),
	regexp.MustCompile(`failed to solve: (\S+[/:]\S+): `),
}

// image names the image that could not be had: the target's base, one of a stage that all images share, or the front end.
func (e buildkitError) image() string {
	if found := asking.FindStringSubmatch(e.vertex); found != nil {
		return found[1]
	}
	for _, named := range unresolved {
		if found := named.FindStringSubmatch(e.message); found != nil {
			return found[1]
		}
	}
	return ""
}

// normalizeRef is an image's name without what may be left out.
func normalizeRef(image string) string {
	image = strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/")
	if !strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":") && !strings.Contains(image, "@") {
		image += ":latest"
	}
	return image
}
