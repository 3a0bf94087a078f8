package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWrapIsDecidedByID has base images that do not name the repository as the official ones do.
func TestPackagesAreDecidedByID(t *testing.T) {
	ids := []string{"sphinx-doc__sphinx-10449", "django__django-11333"}
	cases := map[string]string{
		"official": "",
		"Epoch's":  "base-image-template=ghcr.io/epoch-research/swe-bench.eval.{arch}.{instance_id}:latest",
		"others":   "base-image-template=registry.local:5000/sphinx-doc_1776_x/{name}",
	}
	for name, input := range cases {
		t.Run(name, func(t *testing.T) {
			targets := named(t, ids, input)
			got := map[string]string{}
			for _, target := range targets {
				got[target.InstanceID] = target.PipRequirements
			}
			if diff := cmp.Diff(map[string]string{ids[0]: "docutils<0.21 roman", ids[1]: ""}, got); diff != "" {
				t.Errorf("wraps (-want +got):\n%s", diff)
			}
		})
	}
}
