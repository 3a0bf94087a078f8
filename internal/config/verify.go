package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// VerifyCommand is the subcommand that compares images.
const VerifyCommand = "verify"

// notForVerify are inputs that VerifyCommand does not take: they select images, or how to make them.
var notForVerify = []string{
	"instance-ids", "instances-file", "n-limit", "shard", "strategy", "verify", "force-build", "dry-run", "fail-on",
	"eval-base-max-age", "build-eval-env", loadFlag,
}

// VerifyFlags names the inputs that VerifyCommand takes.
func VerifyFlags() (names []string) {
	for _, name := range FlagNames() {
		if !slices.Contains(notForVerify, name) {
			names = append(names, name)
		}
	}
	return names
}

// CheckVerify checks the images of VerifyCommand, and refuses inputs that it does not take. The default of the input image is their
// repository.
func (f *Flags) CheckVerify(images []string) error {
	var wrong []error
	refuse := func(input, problem, fix string) {
		wrong = append(wrong, &InputError{Input: input, Problem: problem, Fix: fix})
	}
	f.Only(VerifyFlags()...)
	if len(images) == 0 {
		refuse(VerifyCommand, "no image is given", "write eval-images verify IMAGE..., such as "+defaultImage+":TAG")
	}
	for _, input := range notForVerify {
		if strings.TrimSpace(f.values[input]) != "" {
			refuse(input, "cannot be combined with the command "+VerifyCommand, "leave it out; "+VerifyCommand+" builds and compares the given images only")
			delete(f.values, input)
		}
	}
	seen := map[string]bool{}
	for _, image := range images {
		problem, fix := imageProblem(image)
		repository := repositoryOf(image)
		switch given := strings.TrimSpace(f.values["image"]); {
		case problem != "":
			refuse(VerifyCommand, Quote(image)+" "+problem, fix)
		case seen[image]:
			refuse(VerifyCommand, Quote(image)+" is given twice", "give each image once")
		case given == "":
			f.Set("image", repository)
		case given != repository: // native builds are pushed to the repository of the images
			refuse(VerifyCommand, Quote(image)+" is not in the repository "+given, "verify images of one repository at a time, which --image names")
		}
		seen[image] = true
	}
	return errors.Join(wrong...)
}

// imageProblem finds what is wrong with a full reference, which is not in the result.
func imageProblem(image string) (problem, fix string) {
	repository := repositoryOf(image)
	if problem, fix = repositoryProblem(repository); problem != "" {
		return problem, fix
	}
	if repository == image {
		return "has neither a tag nor a digest", "write a full reference, such as " + image + ":TAG; " +
			"manifest.jsonl and images.lock.json have those of a run"
	}
	if _, err := name.ParseReference(image, name.StrictValidation); err != nil {
		return "is not a valid image reference", "write host/repository:tag or host/repository@sha256:..."
	}
	return "", ""
}

// repositoryOf removes tag and digest from a reference. A colon before the last slash belongs to the port.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon]
	}
	return image
}
