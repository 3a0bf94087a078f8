package config

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// VerifyCommand is the subcommand that compares images.
const VerifyCommand = "verify"

// notForVerify are inputs that VerifyCommand does not take: they select images, or how to make them.
var notForVerify = []string{
	"instance-ids", "instances-file", "n-limit", "shard", "strategy", "verify", "force-build", "dry-run", "fail-on",
	"eval-base-max-age", "build-eval-env",
}

// checkImages checks the images of VerifyCommand. The default of the input image is their repository.
func (l *commandLine) checkImages() {
	if !l.verify {
		return
	}
	if len(l.images) == 0 {
		l.wrong(VerifyCommand, "no image is given", "write eval-images verify IMAGE..., such as "+defaultImage+":TAG")
	}
	for _, input := range notForVerify {
		if strings.TrimSpace(l.values[input]) != "" {
			l.wrong(input, "cannot be combined with the command "+VerifyCommand, "leave it out; "+VerifyCommand+" builds and compares the given images only")
			delete(l.values, input)
		}
	}
	seen := map[string]bool{}
	for _, image := range l.images {
		switch problem, fix := imageProblem(image); {
		case problem != "":
			l.wrong(VerifyCommand, Quote(image)+" "+problem, fix)
		case seen[image]:
			l.wrong(VerifyCommand, Quote(image)+" is given twice", "give each image once")
		default:
			l.inImage(image)
		}
		seen[image] = true
	}
}

// inImage refuses an image outside of the repository to which the run pushes its native builds.
func (l *commandLine) inImage(image string) {
	repository := repositoryOf(image)
	switch given := strings.TrimSpace(l.values["image"]); given {
	case "":
		l.values["image"] = repository
	case repository:
	default:
		l.wrong(VerifyCommand, Quote(image)+" is not in the repository "+given, "verify images of one repository at a time, which --image names")
	}
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
