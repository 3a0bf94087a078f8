package config

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// VerifyCommand is a word that a command line may begin with in place of a flag; images follow it.
const VerifyCommand = "verify"

// notForVerify are inputs that choose images or say how they are made, which VerifyCommand leaves no choice of.
var notForVerify = []string{
	"instance-ids", "instances-file", "n-limit", "shard", "strategy", "verify", "force-build", "dry-run",
	"eval-base-image", "eval-base-max-age",
}

// checkImages refuses what VerifyCommand cannot compare. It fills in image where it is not given: the images' own.
func (l *commandLine) checkImages() {
	if !l.verify {
		return
	}
	if len(l.images) == 0 {
		l.wrong(VerifyCommand, "no image is named", "write eval-images verify IMAGE..., such as "+defaultImage+":TAG")
	}
	for _, input := range notForVerify {
		if strings.TrimSpace(l.values[input]) != "" {
			l.wrong(input, "is given beside the command "+VerifyCommand, "leave it out: the images named are built natively and compared, no others")
			delete(l.values, input)
		}
	}
	seen := map[string]bool{}
	for _, image := range l.images {
		switch problem, fix := imageProblem(image); {
		case problem != "":
			l.wrong(VerifyCommand, Quote(image)+" "+problem, fix)
		case seen[image]:
			l.wrong(VerifyCommand, Quote(image)+" is named twice", "name each image once")
		default:
			l.inImage(image)
		}
		seen[image] = true
	}
}

// inImage refuses an image outside of the repository that the run has credentials for, and pushes its native builds to.
func (l *commandLine) inImage(image string) {
	repository := repositoryOf(image)
	switch given := strings.TrimSpace(l.values["image"]); given {
	case "":
		l.values["image"] = repository
	case repository:
	default:
		l.wrong(VerifyCommand, Quote(image)+" is not in the repository "+given, "verify the images of one repository at a time; --image names it")
	}
}

// imageProblem says what keeps a word from being a full reference, and what to do about it; both are empty for a good one.
func imageProblem(image string) (problem, fix string) {
	repository := repositoryOf(image)
	if problem, fix = repositoryProblem(repository); problem != "" {
		return problem, fix
	}
	if repository == image {
		return "has neither a tag nor a digest", "write the whole reference, such as " + image + ":TAG; " +
			"manifest.jsonl and images.lock.json have those of a run"
	}
	if _, err := name.ParseReference(image, name.StrictValidation); err != nil {
		return "is not an image's reference", "write host/repository:tag or host/repository@sha256:..."
	}
	return "", ""
}

// repositoryOf is a reference without its tag and digest. A colon before the last slash is the host's port.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon]
	}
	return image
}
