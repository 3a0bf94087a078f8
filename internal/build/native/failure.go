package native

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// classified turns a worker's failure into the words of the build package. baseImage is the target's, and own are the
// stages that are built from it.
func classified(err error, baseImage string, own []string) error {
	var failed *sdk.BuildFailure
	var raised *sdk.SDKError
	var refused *sdk.OptionError
	var died *sdk.WorkerDied
	var notStarted *sdk.SetupError
	wrapped := fmt.Errorf("building with the SDK: %w", err)
	switch {
	case errors.As(err, &failed):
		return CommandFailed(failed, wrapped, baseImage, own)
	case errors.As(err, &raised):
		// The SDK unpacks and copies by itself: a full disk is the one fault of the machine that shows as an exception.
		return &build.Error{Class: diskOr(build.ClassSDK, raised.Message), Tail: raised.Traceback, Err: wrapped}
	case errors.As(err, &refused):
		return &build.Error{Class: build.ClassSDK, Err: wrapped}
	case errors.As(err, &died):
		return &build.Error{Class: build.ClassWorkerDied, Tail: died.Tail, Err: wrapped}
	case errors.As(err, &notStarted):
		// The first worker's import worked, or there would be no build: a later one lacks memory or disk.
		return &build.Error{Class: diskOr(build.ClassWorkerDied, notStarted.Error()), Err: wrapped}
	case errors.Is(err, sdk.ErrTimeout):
		return &build.Error{Class: build.ClassTimeout, Err: wrapped}
	case errors.Is(err, context.Canceled):
		return &build.Error{Class: build.ClassCancelled, Err: wrapped}
	default:
		return &build.Error{Class: diskOr(build.ClassUnknown, err.Error()), Err: wrapped}
	}
}

func diskOr(otherwise build.Class, message string) build.Class {
	if build.Classify(message, otherwise) == build.ClassDisk {
		return build.ClassDisk
	}
	return otherwise
}

// CommandFailed classifies a docker build by how it ended: its error message and, where that is a step's failure, by
// what the step said. The rest of the output does not count, whatever it says: a build that works warns, too. wrapped is
// the error to tell, baseImage the one that was built upon, and own are the stages that are built from it; where none is
// given, no stage is taken for one that all images share.
func CommandFailed(failed *sdk.BuildFailure, wrapped error, baseImage string, own []string) error {
	e := &build.Error{Class: build.ClassBuild, ReturnCode: failed.ReturnCode, Tail: failed.Tail, Err: wrapped}
	said := read(failed.Tail)
	e.Shared = sharedStage(said.vertex, own)
	switch image := said.image(); {
	case connecting.MatchString(said.vertex):
		e.Class = build.ClassEngine
	case stepFailed.MatchString(said.message):
		// Only what a machine's fault looks like in any program: a step's own "not found" or "403" may mean anything.
		if class := build.Classify(said.step, build.ClassBuild); class == build.ClassDisk || class == build.ClassNetwork {
			e.Class = class
		}
	default:
		e.Class = build.Classify(said.message, build.ClassBuild)
		e.RetryAfter = build.RetryAfter(said.message)
		if image != "" && e.Class == build.ClassBuild && strings.HasSuffix(said.message, ": not found") {
			e.Class = build.ClassBaseMissing
		}
		if image != "" && familiar(image) != familiar(baseImage) {
			e.Shared = "image " + image
		}
	}
	if e.Shared != "" && (e.Class == build.ClassBuild || e.Class == build.ClassBaseMissing) {
		e.Class = build.ClassShared
	}
	return e
}

// ending is how the output of a docker build ends: "------", " > vertex:", the step's last lines, "------", an excerpt
// of the Dockerfile, and the message (BuildKit, util/progress/progressui, and buildx, util/progress).
type ending struct {
	vertex  string // "[builder 2/7] RUN make"
	step    string // the last lines that the step printed
	message string // "ERROR: failed to build: ..." and what follows it
}

var stepFailed = regexp.MustCompile(`process "[^\n]*" did not complete successfully`)

// connecting is buildx before it has reached a BuildKit. What it then says of it can be as little as "context deadline
// exceeded".
var connecting = regexp.MustCompile(`^\[internal\] (waiting for connection|booting buildkit)`)

const rule = "------"

func read(tail string) (e ending) {
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
func (e ending) image() string {
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

// familiar is an image's name without what may be left out.
func familiar(image string) string {
	image = strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/")
	if !strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":") && !strings.Contains(image, "@") {
		image += ":latest"
	}
	return image
}
