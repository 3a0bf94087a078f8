package plan

import (
	"cmp"
	"strings"
)

// evaluationStage is the only one that the evaluations of both benchmarks ask for.
const evaluationStage = "source-minimal"

// PhasedTagPrefix is the IMAGE_TAG_PREFIX that an evaluation uses when none is set: OpenHands/benchmarks'
// get_phased_image_tag_prefix, since its #602.
func PhasedTagPrefix(sdkSHA, sdkDockerfileSHA256 string) string {
	return sdkSHA[:shortHash] + "-" + sdkDockerfileSHA256[:shortHash]
}

// ImageTagPrefix is the IMAGE_TAG_PREFIX with which an evaluation finds every target: it asks for
// <prefix>-<instance tag>-source-minimal. It is read off the SDK's own tags, as some options change these, and is the
// shortest one that all targets have. Where tags are such that no prefix leads to all of them, ok is false.
func ImageTagPrefix(targets []Target) (prefix string, ok bool) {
	common := map[string]int{}
	for _, t := range targets {
		for p := range prefixes(t) {
			common[p]++
		}
	}
	for p, n := range common {
		if n == len(targets) && (!ok || cmp.Or(cmp.Compare(len(p), len(prefix)), cmp.Compare(p, prefix)) < 0) {
			prefix, ok = p, true
		}
	}
	return prefix, ok
}

func prefixes(t Target) map[string]bool {
	found := map[string]bool{}
	for _, reference := range t.Tags {
		if p, ends := strings.CutSuffix(tagOf(reference), "-"+InstanceTag(t.BaseImage)+"-"+evaluationStage); ends {
			found[p] = true
		}
	}
	return found
}
