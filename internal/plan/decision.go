package plan

// How is the way in which an image is made.
type How string

// The ways in which an image is made.
const (
	ByRebase    How = "rebase"
	Natively    How = "native"
	AsReference How = "reference" // natively, and the others are rebased by what it shows
	NotAtAll    How = "none"      // strategy rebase, and the image cannot be rebased
	Unknown     How = "unknown"   // a registry did not answer
)

// Decision is how a missing image will be made.
type Decision struct {
	How How
	// Reason says why the image is not rebased, or why it is not known; else empty.
	Reason string
	// EvalBase is the tag of the eval-base that the image is rebased on, or the name of the base image that has to be made
	// first, as long as nobody knows its digest. Targets that share an eval-base have the same.
	EvalBase string
	// Missing says that the eval-base has to be made.
	Missing bool
}

// Decisions are what a run would do with the images that are missing.
type Decisions struct {
	// Images has a Decision for each missing image, by instance.
	Images map[string]Decision
	// ReferencesFound are the references of earlier runs. ReferencesMissing are made anew.
	ReferencesFound, ReferencesMissing int
	// Verify is how many images are compared with a native build.
	Verify int
}
