package config

// The rules that the SWE-bench benchmarks share. An evaluation builds the same names by itself, in OpenHands/benchmarks:
// get_official_docker_image gives the base image, get_phased_image_tag_prefix the part of the tag before {instance_tag}.
const (
	sweBenchBaseImage = "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest"
	phasedTag         = "{sdk_dockerfile_sha7}-{instance_tag}"
)

// presets are the benchmarks that can be built, the first one being the default. Dataset, split and base image are those
// of the benchmark's build_images.py in OpenHands/benchmarks, workers those of its workflow there. Every field can be
// overridden by an input.
var presets = []Benchmark{
	{
		Name: "swebench", Title: "SWE-Bench image build",
		Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag,
		Wraps:      sphinxWrap,
		MaxWorkers: 8,
	},
	{
		Name: "swtbench", Title: "SWT-Bench image build",
		Dataset: "eth-sri/SWT-bench_Verified_bm25_27k_zsp", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag,
		Wraps:      sphinxWrap,
		MaxWorkers: 4,
	},
	{
		Name: "swebench-multimodal", Title: "SWE-Bench Multimodal image build",
		Dataset: "princeton-nlp/SWE-bench_Multimodal", Split: "dev",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag,
		MaxWorkers: 8,
		// 68 of 102: building all and evaluating these, or the reverse, fails every evaluation of the others.
		Selection: "swe-bench-multimodal-resolved",
	},
	{
		Name: "swebench-multilingual", Title: "SWE-Bench Multilingual image build",
		Dataset: "SWE-bench/SWE-bench_Multilingual", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag,
		Wraps:      sphinxWrap,
		MaxWorkers: 8, // it has no workflow there; as swebench
	},
	{
		Name: "swegym", Title: "SWE-Gym image build",
		Dataset: "SWE-Gym/SWE-Gym", Split: "train",
		BaseImageTemplate: "docker.io/xingyaoww/sweb.eval.{arch}.{repo}_s_{name}", CustomTagTemplate: phasedTag,
		MaxWorkers: 12,
	},
	{
		Name: "swesmith", Title: "SWE-smith image build",
		Dataset: "SWE-bench/SWE-smith-py", Split: "train",
		BaseImageTemplate: "{column:image_name}", CustomTagTemplate: phasedTag,
		MaxWorkers: 12,
		Filled:     "problem_statement",
	},
}

func presetNames() []string {
	names := make([]string, len(presets))
	for i, b := range presets {
		names[i] = b.Name
	}
	return names
}
