package config

// evalBaseImageOf returns the repository of the eval-base images where none is given. It is not that of the images: clean-up jobs
// delete old versions there, and a run without its eval-bases takes hours.
func evalBaseImageOf(image string) string {
	if image == defaultImage {
		return defaultEvalBaseImage
	}
	return image + "-base"
}
