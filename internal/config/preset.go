package config

// sweBenchBaseImage is get_official_docker_image of OpenHands/benchmarks.
const sweBenchBaseImage = "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest"

// The two rules of OpenHands/benchmarks for the tag of an image. Where the evaluation (prepare_workspace in the benchmark's
// run_infer.py) calls get_phased_image_tag_prefix, the hash of the SDK's Dockerfile is in the tag: phasedTag. Where it uses
// IMAGE_TAG_PREFIX or SDK_SHORT_SHA of benchmarks/utils/version.py, it is not: plainTag.
const (
	phasedTag = "{sdk_dockerfile_sha7}-{instance_tag}"
	plainTag  = "{instance_tag}"
	// proTag is phasedTag for base images that differ by tag only.
	proTag = "{sdk_dockerfile_sha7}-{base_image_tag}"
)

// The environment variables that an evaluation reads the beginning of the tag from (benchmarks/utils/version.py, and
// prepare_workspace in benchmarks/swesmith/run_infer.py).
const (
	imageTagPrefix = "IMAGE_TAG_PREFIX"
	sdkShortSHA    = "SDK_SHORT_SHA"
)

// presets are the benchmarks that can be built, the first one being the default. Dataset, split and base image are those
// of the benchmark's build_images.py in OpenHands/benchmarks, workers those of its workflow there. Every field can be
// overridden by an input.
var presets = []Benchmark{
	{
		Name: "swebench", Title: "SWE-Bench image build",
		Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag, PrefixVariable: imageTagPrefix,
		PipPackages: sphinxPackages,
		MaxWorkers:  8,
	},
	{
		Name: "swtbench", Title: "SWT-Bench image build",
		Dataset: "eth-sri/SWT-bench_Verified_bm25_27k_zsp", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag, PrefixVariable: imageTagPrefix,
		PipPackages: sphinxPackages,
		MaxWorkers:  4,
	},
	{
		Name: "swebench-multimodal", OtherName: "swebenchmultimodal", Title: "SWE-Bench Multimodal image build",
		Dataset: "princeton-nlp/SWE-bench_Multimodal", Split: "dev",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: phasedTag, PrefixVariable: imageTagPrefix,
		MaxWorkers: 8,
		// 68 of 102: building all and evaluating these, or the reverse, fails every evaluation of the others.
		Selection: "swe-bench-multimodal-resolved",
	},
	{
		Name: "swebench-multilingual", OtherName: "swebenchmultilingual", Title: "SWE-Bench Multilingual image build",
		Dataset: "SWE-bench/SWE-bench_Multilingual", Split: "test",
		BaseImageTemplate: sweBenchBaseImage, CustomTagTemplate: plainTag, PrefixVariable: imageTagPrefix,
		PipPackages: sphinxPackages,
		MaxWorkers:  8, // it has no workflow there; as swebench
	},
	{
		Name: "swebench-pro", OtherName: "swebenchpro", Title: "SWE-Bench Pro image build",
		Dataset: "ScaleAI/SWE-bench_Pro", Split: "test",
		BaseImageTemplate: "docker.io/jefzda/sweap-images:{column:dockerhub_tag}", CustomTagTemplate: proTag, PrefixVariable: imageTagPrefix,
		MaxWorkers: 8,
	},
	{
		Name: "swegym", Title: "SWE-Gym image build",
		Dataset: "SWE-Gym/SWE-Gym", Split: "train",
		BaseImageTemplate: "docker.io/xingyaoww/sweb.eval.{arch}.{repo}_s_{name}", CustomTagTemplate: plainTag,
		MaxWorkers: 12,
	},
	{
		Name: "swesmith", Title: "SWE-smith image build",
		Dataset: "SWE-bench/SWE-smith-py", Split: "train",
		BaseImageTemplate: "{column:image_name}", CustomTagTemplate: plainTag, PrefixVariable: sdkShortSHA,
		MaxWorkers:     12,
		RequiredColumn: "problem_statement",
	},
}

// PrefixVariable names the environment variable from which the evaluation of a benchmark reads the beginning of the tag. It
// is empty where OpenHands/benchmarks has no evaluation.
func PrefixVariable(benchmark string) string { return presetNamed(benchmark).PrefixVariable }

func presetNames() []string {
	names := make([]string, len(presets))
	for i, b := range presets {
		names[i] = b.Name
	}
	return names
}
