package config

// DefaultImage is the default of the input image.
const DefaultImage = defaultImage

// EvalBaseImageOf returns the repository of the eval-base images where none is given. It is not that of the images: clean-up jobs
// delete old versions there, and a run without its eval-bases takes hours.
func EvalBaseImageOf(image string) string {
	if image == defaultImage {
		return defaultEvalBaseImage
	}
	return image + "-base"
}

// CheckRepository returns an *InputError if the value of an input is not the name of a repository without a tag.
func CheckRepository(input, repository string) error {
	if problem, fix := checkEvalBaseImage(repository); problem != "" {
		return &InputError{Input: input, Problem: problem, Fix: fix}
	}
	return nil
}
