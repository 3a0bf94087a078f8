package report

import "github.com/OpenHands/eval-images/internal/ledger"

// Foreseen is how a run would make its missing images. Without it, the SDK builds each of them.
type Foreseen struct {
	// Images are the missing ones, by instance.
	Images map[string]Making
	// Verify is how many images are built to be compared.
	Verify int
}

// How an image is made.
type How string

// An image is made in one of these ways, by the words of a plan in JSON.
const (
	HowNative    How = "native"
	HowReference How = "reference" // natively, with its base stage, to be learned from
	HowRebase    How = "rebase"
	HowNone      How = "none" // it cannot be rebased, and nothing else is allowed
	HowUnknown   How = "unknown"
)

// Making is how one image would be made.
type Making struct {
	How How
	// Reason is why it is not rebased, or why that is not known.
	Reason string
	// EvalBase names its eval-base, where that was looked for; images that share one have the same name. Unmade says that it
	// would have to be made first.
	EvalBase string
	Unmade   bool
}

// Whether an image's eval-base is there, by the words of a plan in JSON.
const (
	evalBaseMissing ledger.Text = "missing"
	evalBasePresent ledger.Text = "present"
)

// evalBase is empty where that was not looked for, or no answer came.
func (m Making) evalBase() ledger.Text {
	switch {
	case m.EvalBase == "":
		return ""
	case m.Unmade:
		return evalBaseMissing
	default:
		return evalBasePresent
	}
}

// making says in words how an image would be made.
func (i PlannedImage) making() string {
	said := map[How]string{
		HowNative: "to be built natively", HowReference: "a reference, built natively", HowRebase: "to be rebased",
		HowNone: "would fail", HowUnknown: "unknown how it would be made",
	}[How(i.How)]
	if How(i.How) == HowRebase && i.EvalBase == evalBaseMissing {
		said += ", on an eval-base to be made"
	}
	if i.Reason != "" {
		said += ": " + string(i.Reason)
	}
	return said
}
