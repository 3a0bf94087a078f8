package plan

import (
	"cmp"
	"strings"
)

// evaluationStage is the only one that evaluations ask for (DEFAULT_BUILD_TARGET in OpenHands/benchmarks).
const evaluationStage = "source-minimal"

// ImageTagPrefix is the prefix with which an evaluation finds every target: it asks for
// <prefix>-<instance tag>-source-minimal, and reads the prefix from the benchmark's PrefixVariable. It is read off the SDK's own tags, as some options change these, and is the
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
