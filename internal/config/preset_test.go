package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each row is what OpenHands/benchmarks has for the benchmark: dataset, split and base image in its build_images.py, workers
// in its workflow. The tag is in prepare_workspace of its run_infer.py:
//
//   - swebench, swtbench, swebenchmultimodal and swebenchpro ask for <get_phased_image_tag_prefix()>-<custom tag>, and that function of
//     benchmarks/utils/version.py puts the hash of the SDK's Dockerfile between commit and custom tag;
//   - swebenchmultilingual asks for <IMAGE_TAG_PREFIX>-<custom tag>, swesmith for <SDK_SHORT_SHA>-<custom tag>: no hash;
//   - swegym has no run_infer.py; the tags of its images are those of build_image in benchmarks/utils/build_utils.py, without
//     the hash.
func TestPresets(t *testing.T) {
	const official = "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest"
	const hashed, plain = "{sdk_dockerfile_sha7}-{instance_tag}", "{instance_tag}"
	want := []Benchmark{
		{"swebench", "", "SWE-Bench image build", "princeton-nlp/SWE-bench_Verified", "test", official, hashed, "IMAGE_TAG_PREFIX", sphinxPackages, 8, "", ""},
		{"swtbench", "", "SWT-Bench image build", "eth-sri/SWT-bench_Verified_bm25_27k_zsp", "test", official, hashed, "IMAGE_TAG_PREFIX", sphinxPackages, 4, "", ""},
		{"swebench-multimodal", "swebenchmultimodal", "SWE-Bench Multimodal image build", "princeton-nlp/SWE-bench_Multimodal", "dev", official, hashed, "IMAGE_TAG_PREFIX", nil, 8, "swe-bench-multimodal-resolved", ""},
		{"swebench-multilingual", "swebenchmultilingual", "SWE-Bench Multilingual image build", "SWE-bench/SWE-bench_Multilingual", "test", official, plain, "IMAGE_TAG_PREFIX", sphinxPackages, 8, "", ""},
		{"swebench-pro", "swebenchpro", "SWE-Bench Pro image build", "ScaleAI/SWE-bench_Pro", "test", "docker.io/jefzda/sweap-images:{column:dockerhub_tag}", "{sdk_dockerfile_sha7}-{base_image_tag}", "IMAGE_TAG_PREFIX", nil, 8, "", ""},
		{"swegym", "", "SWE-Gym image build", "SWE-Gym/SWE-Gym", "train", "docker.io/xingyaoww/sweb.eval.{arch}.{repo}_s_{name}", plain, "", nil, 12, "", ""},
		{"swesmith", "", "SWE-smith image build", "SWE-bench/SWE-smith-py", "train", "{column:image_name}", plain, "SDK_SHORT_SHA", nil, 12, "", "problem_statement"},
	}
	if diff := cmp.Diff(want, presets); diff != "" {
		t.Errorf("presets (-want +got):\n%s", diff)
	}
}

// The folders of OpenHands/benchmarks, by which people know their benchmarks, name the same presets.
func TestOtherNamesOfPresets(t *testing.T) {
	cases := map[string]string{
		"swebenchmultimodal": "swebench-multimodal", "swebenchmultilingual": "swebench-multilingual", "swebenchpro": "swebench-pro",
		"swebench-pro": "swebench-pro", "": "swebench",
	}
	for given, want := range cases {
		c, err := Parse(inputsOf(map[string]string{"benchmark": given}))
		if err != nil || c.Benchmark.Name != want || c.Title != c.Benchmark.Title {
			t.Errorf("benchmark %q is read as %q, title %q, error %v; want %q", given, c.Benchmark.Name, c.Title, err, want)
		}
	}
}

// Every field of a preset gives way to the input of that name, whatever the benchmark.
func TestPresetsGiveWay(t *testing.T) {
	inputs := map[string]string{
		"dataset": "a/b", "split": "x", "base-image-template": "h/{instance_id}", "custom-tag-template": "t-{instance_tag}",
		"max-workers": "3", "title": "Mine",
	}
	for _, b := range presets {
		t.Run(b.Name, func(t *testing.T) {
			inputs["benchmark"] = b.Name
			c, err := Parse(inputsOf(inputs))
			if err != nil {
				t.Fatal(err)
			}
			got := []any{c.Dataset, c.Split, c.BaseImageTemplate, c.CustomTagTemplate, c.MaxWorkers, c.Title}
			if diff := cmp.Diff([]any{"a/b", "x", "h/{instance_id}", "t-{instance_tag}", 3, "Mine"}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// The selection is the preset's dataset's: in another one those ids may not exist.
			if c.Selection() != "" {
				t.Errorf("selects by %s in another dataset", c.Selection())
			}
		})
	}
}

func TestSelection(t *testing.T) {
	cases := map[string]struct {
		inputs map[string]string
		want   string
	}{
		"by default":         {nil, "swe-bench-multimodal-resolved"},
		"ids":                {map[string]string{"instance-ids": "a__a-1"}, ""},
		"a file":             {map[string]string{"instances-file": "f"}, ""},
		"another split":      {map[string]string{"split": "test"}, ""},
		"the very same ones": {map[string]string{"split": "dev", "dataset": "princeton-nlp/SWE-bench_Multimodal"}, "swe-bench-multimodal-resolved"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inputs := map[string]string{"benchmark": "swebench-multimodal"}
			for k, v := range tc.inputs {
				inputs[k] = v
			}
			c, err := Parse(inputsOf(inputs))
			if err != nil || c.Selection() != tc.want {
				t.Errorf("selects by %q, want %q; error %v", c.Selection(), tc.want, err)
			}
		})
	}
}

func TestColumns(t *testing.T) {
	cases := map[string]struct {
		inputs map[string]string
		want   []string
	}{
		"swebench":            {nil, nil},
		"swesmith":            {map[string]string{"benchmark": "swesmith"}, []string{"image_name", "problem_statement"}},
		"a template's own":    {map[string]string{"base-image-template": "x/{column:a}:{column:b}-{column:a}"}, []string{"a", "b"}},
		"swesmith, elsewhere": {map[string]string{"benchmark": "swesmith", "dataset": "a/b"}, []string{"image_name", "problem_statement"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(inputsOf(tc.inputs))
			if err != nil || !slices.Equal(c.Columns(), tc.want) {
				t.Errorf("reads %q, want %q; error %v", c.Columns(), tc.want, err)
			}
		})
	}
}
