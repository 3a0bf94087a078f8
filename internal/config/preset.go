package config

// The rules that both benchmarks share. An evaluation builds the same names by itself, in OpenHands/benchmarks:
// get_official_docker_image gives the base image, get_phased_image_tag_prefix the part of the tag before {instance_tag}.
const (
	sweBenchBaseImage = "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest"
	phasedTag         = "{sdk_dockerfile_sha7}-{instance_tag}"
)

// presets are the benchmarks that can be built, the first one being the default. Workers are those of the
// OpenHands/benchmarks workflows.
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
}

func presetNames() []string {
	names := make([]string, len(presets))
	for i, b := range presets {
		names[i] = b.Name
	}
	return names
}
