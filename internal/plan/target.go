package plan

// Target is one image to make: an instance's base image with the SDK's agent server on top.
type Target struct {
	// InstanceID is the benchmark's id of the task, for example "django__django-11333".
	InstanceID string
	// BaseImage is the image that the SDK builds on, with registry host and tag.
	BaseImage string
	// PipRequirements are the pip requirements to install in BaseImage before the SDK builds on it. Most targets have none. No
	// tag depends on it.
	PipRequirements string
	// CustomTag is the value for the SDK's custom_tags. The final tag adds SHA and stage to it.
	CustomTag string
	// TagColumns are the values of the dataset's columns that custom-tag-template uses, by column.
	TagColumns map[string]string
	// NotNative is why the SDK's own build cannot make the image, so that it can only be rebased. It is mostly empty.
	NotNative string
	// Tags are the full references (repository:tag) under which the SDK pushes the image. The SDK names them, so they are empty
	// until it was asked.
	Tags []string
}

// How is the way to make an image.
type How string

// The ways to make an image.
const (
	Rebase    How = "rebase"
	Native    How = "native"
	Reference How = "reference" // built natively, and the pattern for rebasing the others
	None      How = "none"      // cannot be rebased, and strategy is rebase
	Unknown   How = "unknown"   // a registry did not answer
)

// Decision says how a missing image will be made.
type Decision struct {
	How How
	// Reason says why the image is not rebased, or why How is unknown. Otherwise it is empty.
	Reason string
	// EvalBase is the tag of the eval-base to rebase on. While the digest of the base image is unknown, it is the name of a
	// base image that has to be made first. Targets that share an eval-base have the same value.
	EvalBase string
	// Missing reports that the eval-base does not exist yet.
	Missing bool
	// Base is BasePresent or BaseMissing, or empty when that is not known.
	Base string
	// Class is the class of the failure in Reason when How is unknown, and BaseProblem the answer of a registry that did not say
	// whether it has the base image.
	Class, BaseProblem string
}

// Values of Decision.Base.
const (
	BasePresent = "present"
	BaseMissing = "missing"
)

// Decisions say how a run will make the missing images.
type Decisions struct {
	// Images maps an instance to the Decision for its missing image.
	Images map[string]Decision
	// Verify is how many images the run compares with a native build.
	Verify int
}
