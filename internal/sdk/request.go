package sdk

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Request is one image to name or to build.
type Request struct {
	// BaseImage, CustomTag, Image and Target are the SDK's BuildOptions of those names.
	BaseImage, CustomTag, Image, Target string
	// GitSHA takes the place of the checkout's SHA in tags and image: "unknown", in the SDK's own word, where these shall
	// not change with the commit. Empty is the checkout's.
	GitSHA string
	// Options are further fields of BuildOptions by name; values are strings, which pydantic converts.
	Options map[string]string

	// Sdist is the path of the prebuilt source distribution; empty lets the SDK make its own. Not for names.
	Sdist string
	// LogPath is the file that the build's output is appended to. Not for names.
	LogPath string
	// Timeout bounds the build from the moment a worker takes it up; 0 is no bound.
	Timeout time.Duration
}

// image is a Request in the worker's words.
type image struct {
	BaseImage  string            `json:"base_image"`
	CustomTags string            `json:"custom_tags"`
	Image      string            `json:"image"`
	Target     string            `json:"target"`
	GitSHA     string            `json:"git_sha,omitempty"`
	Options    map[string]string `json:"options"`
}

func (r Request) image() image {
	return image{r.BaseImage, r.CustomTag, r.Image, r.Target, r.GitSHA, r.Options}
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
	Folder string `json:"folder,omitempty"` // of "capture": where the context is copied to
}

// Response is what a build left.
type Response struct {
	// Tags are the full references that the SDK pushed.
	Tags []string
	// Telemetry holds the SDK's own figures by its own names; empty where the SDK has none (before 1.14.0).
	Telemetry map[string]float64
	// SdistBuilds counts the `uv build --sdist` runs of this build: 0 when the prebuilt one was used.
	SdistBuilds int
	// SdistLost says that Request.Sdist was not there any more, so that the SDK had to make its own.
	SdistLost bool
}

// Description is what the SDK at hand is and can.
type Description struct {
	// SDKVersion is the SDK's own version, "1.58.2".
	SDKVersion string `json:"sdk_version"`
	// Seam is how a prebuilt sdist reaches the build: SeamNativeField, SeamIntercept or SeamNone.
	Seam string `json:"seam"`
	// CacheModes says whether this SDK honours OPENHANDS_BUILDKIT_CACHE_MODE (1.15.0 and later do).
	CacheModes bool `json:"cache_modes"`
	// OptionNames are the BuildOptions fields that Request.Options may hold, sorted.
	OptionNames []string `json:"option_names"`
	// ImportSeconds is how long the import of the build module took in the worker that was asked.
	ImportSeconds float64 `json:"import_seconds"`
}

// The ways in which a prebuilt sdist reaches the SDK's build.
const (
	SeamNativeField = "native-field" // BuildOptions has prebuilt_sdist
	SeamIntercept   = "intercept"    // it has not, but the module's _run can be answered
	SeamNone        = "none"         // neither: each image makes its own
)

// ErrTimeout is a build that took longer than its Request allows.
var ErrTimeout = errors.New("the build took longer than image-timeout allows")

// BuildFailure is a docker build that ended badly, as the SDK's BuildCommandError tells it.
type BuildFailure struct {
	ReturnCode int
	// Command is the failed command line.
	Command []string
	// Tail holds the last lines of its output.
	Tail string
	// Telemetry and SdistBuilds are as in Response.
	Telemetry   map[string]float64
	SdistBuilds int
}

func (e *BuildFailure) Error() string {
	return fmt.Sprintf("%s ended with %d: %s", commandName(e.Command), e.ReturnCode, lastLine(e.Tail))
}

// commandName is the part of a command line that says what it does: its words up to the first flag.
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
	// Type and Message are the exception's: "FileNotFoundError".
	Type, Message string
	// Traceback holds its last lines.
	Traceback   string
	SdistBuilds int
}

func (e *SDKError) Error() string { return "the SDK raised " + e.Type + ": " + e.Message }

// WorkerDied is a worker process that ended before it answered.
type WorkerDied struct {
	// How is how it ended: "signal: killed", "exit status 1", or why it had to be ended.
	How string
	// Tail holds the last lines of output that it left.
	Tail string
}

func (e *WorkerDied) Error() string {
	if last := lastLine(e.Tail); last != "" {
		return "the worker process died (" + e.How + ") after saying: " + last
	}
	return "the worker process died (" + e.How + ")"
}

// OptionError is an SDK option, or another field of a Request, that this SDK does not take.
type OptionError struct {
	// Problems say what is wrong, one line for each field.
	Problems []string
	// Valid are the names that Request.Options may hold.
	Valid []string
}

func (e *OptionError) Error() string { return strings.Join(e.Problems, "; ") }

// Hint names the valid options.
func (e *OptionError) Hint() string {
	if len(e.Valid) == 0 {
		return "this SDK has no options to set: leave sdk-options empty"
	}
	return "the options that sdk-options can set for this SDK are " + strings.Join(e.Valid, ", ")
}

// lastLine is the last line of s that is not blank.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
