package config

import "strings"

// Wrap is what an evaluation needs in the base images of one repository's instances, and what these lack.
type Wrap struct {
	// Repository is what the instances' ids have before "__": "sphinx-doc".
	Repository string
	// Requirements are pip's words, separated by blanks: "docutils<0.21 roman".
	Requirements string
}

// sphinxWrap is for Sphinx's LaTeX builder, which imports helpers for roman numerals: docutils has them before 0.21, and
// the package roman is them (OpenHands/benchmarks, swebench/constants.py WRAPPED_REPOS and Dockerfile.swebench-deps).
var sphinxWrap = []Wrap{{Repository: "sphinx-doc", Requirements: "docutils<0.21 roman"}}

// Wrap gives the requirements that the base image of an instance is wrapped with; most have none. The id decides, never
// the image's name, which a template of the user's own may choose freely.
func (b Benchmark) Wrap(instanceID string) string {
	repository, _, _ := strings.Cut(instanceID, "__")
	for _, w := range b.Wraps {
		if w.Repository == repository {
			return w.Requirements
		}
	}
	return ""
}
