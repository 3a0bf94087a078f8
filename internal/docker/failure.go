package docker

import (
	"regexp"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
)

// BuildFailure classifies a failed docker build by its error message. If a step failed, it uses the step's last output. It
// ignores other output, because successful builds print warnings too. tail holds the last lines of output, err is the error
// to report, and baseImage is the image that was built on. baseStages are the stages built from it. If there are none, no
// stage counts as shared by all images. The result is a *failure.Error.
func BuildFailure(returnCode int, tail string, err error, baseImage string, baseStages []string) error {
	e := &failure.Error{Class: failure.ClassBuild, ReturnCode: returnCode, Tail: tail, Err: err}
	output := parseOutput(tail)
	e.Shared = sharedStage(output.vertex, baseStages)
	switch image := output.image(); {
	case builderUnreachable.MatchString(output.vertex):
		e.Class = failure.ClassEngine
	case stepFailed.MatchString(output.message):
		// A step may print "not found" or "403" for any reason. Only these look the same in all programs.
		switch class := failure.Classify(output.step, failure.ClassBuild); class {
		case failure.ClassDisk, failure.ClassNetwork, failure.ClassPlatform:
			e.Class = class
		}
	default:
		e.Class = failure.Classify(output.message, failure.ClassBuild)
		e.RetryAfter = failure.RetryAfter(output.message)
		if image != "" && e.Class == failure.ClassBuild && strings.HasSuffix(output.message, ": not found") {
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

// buildkitError holds the end of a docker build's output: "------", " > vertex:", the step's last lines, "------", an excerpt
// of the Dockerfile, and the message (BuildKit, util/progress/progressui, and buildx, util/progress).
type buildkitError struct {
	vertex  string // "[builder 2/7] RUN make"
	step    string // the last lines that the step printed
	message string // "ERROR: failed to build: ..." and what follows it
}

var stepFailed = regexp.MustCompile(`process "[^\n]*" did not complete successfully`)

// builderUnreachable matches the vertices that fail when buildx cannot reach BuildKit. The message may be as short as
// "context deadline exceeded".
var builderUnreachable = regexp.MustCompile(`^\[internal\] (waiting for connection|booting buildkit)`)

const separator = "------"

func parseOutput(tail string) (e buildkitError) {
	lines := strings.Split(strings.TrimSpace(tail), "\n")
	e.message = lines[len(lines)-1]
	for i, line := range lines {
		if strings.HasPrefix(line, "ERROR: ") {
			e.message = strings.Join(lines[i:], "\n")
		}
		vertex, begins := strings.CutPrefix(line, " > ")
		if !begins || i == 0 || lines[i-1] != separator {
			continue
		}
		e.vertex, e.step = strings.TrimSuffix(vertex, ":"), ""
		for _, printed := range lines[i+1:] {
			if printed == separator {
				break
			}
			e.step += printed + "\n"
		}
	}
	return e
}

// stageVertex matches a vertex of a named stage: "[builder 2/7] RUN make" or, with a platform, "[linux/amd64 builder 2/7]
// RUN". BuildKit names unnamed stages "stage-1" and so on. Only in a Dockerfile with one stage do vertices lack a name.
var stageVertex = regexp.MustCompile(`^\[(?:\S+ )?(\S+) +\d+/\d+\] `)

// sharedStage returns the stage of a vertex if it is not built from the base image. Then the failure affects all images. It
// uses the stages of the current Dockerfile, because stage names differ between SDK releases.
func sharedStage(vertex string, baseStages []string) string {
	found := stageVertex.FindStringSubmatch(vertex)
	if found == nil || len(baseStages) == 0 {
		return ""
	}
	for _, stage := range baseStages {
		if strings.EqualFold(stage, found[1]) {
			return ""
		}
	}
	return "stage " + found[1]
}

// resolveVertex matches the vertex in which BuildKit resolves an image of a stage, or the Dockerfile frontend.
var resolveVertex = regexp.MustCompile(`^(?:\[internal\] load metadata for|resolve image config for docker-image://|resolve image config for) *(\S+)$`)

// unresolved matches the image in an error message. Some frontends omit the words "failed to resolve source metadata".
var unresolved = []*regexp.Regexp{
	regexp.MustCompile(`failed to resolve source metadata for (\S+):(?: |$)`),
	regexp.MustCompile(`failed to solve: (\S+[/:]\S+): `),
}

// image names the image that could not be resolved: the base image, an image that all Dockerfiles share, or the frontend.
func (e buildkitError) image() string {
	if found := resolveVertex.FindStringSubmatch(e.vertex); found != nil {
		return found[1]
	}
	for _, named := range unresolved {
		if found := named.FindStringSubmatch(e.message); found != nil {
			return found[1]
		}
	}
	return ""
}

// normalizeRef returns a canonical short form of an image's name.
func normalizeRef(image string) string {
	image = strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/")
	if !strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":") && !strings.Contains(image, "@") {
		image += ":latest"
	}
	return image
}

// from matches a FROM instruction, which starts a stage.
var from = regexp.MustCompile(`(?im)^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(\S+)(?:[ \t]+AS[ \t]+(\S+))?`)

// BaseStages names the stages of the SDK's Dockerfile that are built from its argument BASE_IMAGE, directly or through other
// stages. A failure in one of them affects one image. A failure in another stage affects all images. The SDK's build module
// relies on the argument's name, so it is stable. Stage names are not.
func BaseStages(dockerfile string) []string {
	var stages []string
	onBase := map[string]bool{"${base_image}": true, "$base_image": true}
	for _, stage := range from.FindAllStringSubmatch(dockerfile, -1) {
		if base, name := strings.ToLower(stage[1]), strings.ToLower(stage[2]); onBase[base] && name != "" {
			stages, onBase[name] = append(stages, name), true
		}
	}
	return stages
}
