package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWarnings(t *testing.T) {
	cases := map[string]struct {
		inputs map[string]string
		want   []string
	}{
		"none": {nil, nil},
		"a template without the options": {
			map[string]string{"sdk-options": "a=1", "custom-tag-template": "{instance_tag}"},
			[]string{"custom-tag-template"},
		},
		"a template with the options":   {map[string]string{"sdk-options": "a=1", "custom-tag-template": "{options_sha7}-{instance_tag}"}, nil},
		"a template and no options":     {map[string]string{"custom-tag-template": "{instance_tag}"}, nil},
		"options with the default tags": {map[string]string{"sdk-options": "a=1"}, nil},
		"pruning where none can be": {
			map[string]string{"builder": "tcp://h:1", "keep-storage-gb": "9", "prune-threshold-percent": "9"},
			[]string{"keep-storage-gb,"},
		},
		"an address": {map[string]string{"builder": "tcp://h:1"}, nil},
		"verifying what is native": {
			map[string]string{"strategy": "native", "verify": "1", "verify-tree": "true", "eval-base-max-age": "1d"},
			[]string{"verify,"},
		},
		"no verify, and native":       {map[string]string{"strategy": "native", "verify": "0"}, nil},
		"where packages are added":    {map[string]string{"strategy": "native", "eval-base-image": "r:5000/xy"}, nil},
		"the trees of none":           {map[string]string{"verify": "0", "verify-tree": "true"}, []string{"verify-tree"}},
		"rebase with all of its kind": {map[string]string{"strategy": "rebase", "verify": "1", "verify-tree": "true", "eval-base-max-age": "1d"}, nil},
		"environments where nobody looks": {
			map[string]string{"benchmark": "swtbench", "build-eval-env": "true", "eval-image-prefix": "r:5000/xy"}, []string{"eval-image-prefix"},
		},
		"environments": {map[string]string{"benchmark": "swtbench", "build-eval-env": "true"}, nil},
		"environments for OpenHands, images elsewhere": {
			map[string]string{"benchmark": "swtbench", "build-eval-env": "true", "image": "r:5000/xy"}, []string{"eval-image-prefix"},
		},
		"ids and a file":  {map[string]string{"instance-ids": "a__a-1", "instances-file": "f"}, []string{"instances-file"}},
		"ids and a limit": {map[string]string{"instance-ids": "a__a-1", "n-limit": "5"}, []string{"n-limit"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(inputsOf(tc.inputs))
			if err != nil {
				t.Fatal(err)
			}
			var about []string
			for _, w := range c.Warnings() {
				about = append(about, strings.Fields(w)[0])
			}
			if diff := cmp.Diff(tc.want, about); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}
