package sdk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/logfile"
)

// Request asks for the tags, the build or the capture of one image.
type Request struct {
	// BaseImage, CustomTag, Image and Target are the fields base_image, custom_tags, image and target of the SDK's
	// BuildOptions.
	BaseImage, CustomTag, Image, Target string
	// GitSHA is the SHA in tags and image; empty means the checkout's. The SDK's "unknown" makes both independent of the
	// commit.
	GitSHA string
	// Options are other fields of BuildOptions by name. pydantic converts the strings.
	Options map[string]string

	// Load loads the image into the engine of the docker command, instead of pushing it.
	Load bool

	// Sdist is the path of the prebuilt source distribution; if it is empty, the SDK makes one. Names ignores it.
	Sdist string
	// LogPath is the file that the build appends its output to. Names ignores it.
	LogPath string
	// Timeout limits the build, counted from the moment a worker gets it; 0 means no limit.
	Timeout time.Duration
	// StallTimeout limits the time in which the build prints nothing, counted from BuildKit's first line; 0 means no limit.
	StallTimeout time.Duration
}

// image is a Request as the worker expects it.
type image struct {
	BaseImage  string            `json:"base_image"`
	CustomTags string            `json:"custom_tags"`
	Image      string            `json:"image"`
	Target     string            `json:"target"`
	GitSHA     string            `json:"git_sha,omitempty"`
	Options    map[string]string `json:"options"`
	Load       bool              `json:"load,omitempty"`
}

func (r Request) image() image {
	return image{r.BaseImage, r.CustomTag, r.Image, r.Target, r.GitSHA, r.Options, r.Load}
}

type namesRequest struct {
	Op     string  `json:"op"`
	Images []image `json:"images"`
}

type buildRequest struct {
	Op     string `json:"op"` // "build" or "capture"
	Image  image  `json:"image"`
	Sdist  string `json:"sdist"`
	Log    string `json:"log"`
	Folder string `json:"folder,omitempty"` // where "capture" copies the context to
}

// Response is the result of a build.
type Response struct {
	// Tags are the full references that the SDK has pushed or loaded.
	Tags []string
	// Telemetry is the SDK's own, by the SDK's names. Empty before 1.14.0.
	Telemetry map[string]float64
	// SdistBuilds counts the runs of `uv build --sdist` in this build: 0 if it used the prebuilt sdist.
	SdistBuilds int
	// SdistLost reports that the file Request.Sdist was missing, so that the SDK made its own.
	SdistLost bool
}

// Description is what this SDK is and supports.
type Description struct {
	// SDKVersion is the SDK's own version, "1.58.2".
	SDKVersion string `json:"sdk_version"`
	// Seam is how the SDK gets the prebuilt sdist: SeamNativeField, SeamIntercept or SeamNone.
	Seam string `json:"seam"`
	// OptionNames are the fields of BuildOptions that Request.Options may set, sorted.
	OptionNames []string `json:"option_names"`
	// ImportSeconds is how long the first worker took to import the build module.
	ImportSeconds float64 `json:"import_seconds"`
}

// The ways in which the SDK gets the prebuilt sdist.
const (
	SeamNativeField = "native-field" // by BuildOptions.prebuilt_sdist
	SeamIntercept   = "intercept"    // in place of its own sdist build: we replace the module's _run
	SeamNone        = "none"         // not at all: each build makes an sdist
)

// ErrTimeout is the error of a build that exceeded Request.Timeout.
var ErrTimeout = errors.New("the build took longer than image-timeout allows")

// BuildFailure is a failed docker command: the SDK's BuildCommandError.
type BuildFailure struct {
	ReturnCode int
	// Command is the failed command line.
	Command []string
	// Tail is the last lines of its output.
	Tail string
	// Telemetry and SdistBuilds are those of Response.
	Telemetry   map[string]float64
	SdistBuilds int
}

func (e *BuildFailure) Error() string {
	return fmt.Sprintf("%s ended with %d: %s", commandName(e.Command), e.ReturnCode, logfile.LastLine(e.Tail))
}

// commandName returns a command line up to its first flag: "docker buildx build".
func commandName(command []string) string {
	for i, word := range command {
		if strings.HasPrefix(word, "-") {
			command = command[:i]
			break
		}
	}
	if len(command) == 0 {
		return "the build"
	}
	return strings.Join(command, " ")
}

// SDKError is an exception of the SDK's Python code.
type SDKError struct {
	// Type is the exception's class, "FileNotFoundError"; Message is its text.
	Type, Message string
	// Traceback is the last lines of its traceback.
	Traceback   string
	SdistBuilds int
}

func (e *SDKError) Error() string { return "the SDK raised " + e.Type + ": " + e.Message }

// WorkerDied reports a worker process that ended before it answered.
type WorkerDied struct {
	// How is how it ended, "signal: killed" or "exit status 1", or why we ended it.
	How string
	// Tail is the last lines of its output.
	Tail string
}

func (e *WorkerDied) Error() string {
	if last := logfile.LastLine(e.Tail); last != "" {
		return "the worker process died (" + e.How + ") after saying: " + last
	}
	return "the worker process died (" + e.How + ")"
}

// OptionError reports options, or other fields of a Request, that this SDK rejects.
type OptionError struct {
	// Problems has one line for each wrong field.
	Problems []string
	// Valid are the options that Request.Options may set.
	Valid []string
}

func (e *OptionError) Error() string { return strings.Join(e.Problems, "; ") }

// Hint lists the valid options.
func (e *OptionError) Hint() string {
	if len(e.Valid) == 0 {
		return "this SDK has no options to set: leave sdk-options empty"
	}
	return "the options that sdk-options can set for this SDK are " + strings.Join(e.Valid, ", ")
}
