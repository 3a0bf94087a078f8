package plan

import (
	"slices"
	"strings"
	"testing"
)

const (
	sdkSHA        = "611629e69d2c0d9d2a4b8f3d1f0e9c8b7a6f5e4d"
	dockerfileSHA = "245a2380c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c"
)

// fakeSDK names tags as the SDK's BuildOptions.all_tags does from 1.22.0 on, with include_base_tag off and no ref.
func fakeSDK(image, stage string, targets []Target) []Target {
	for i, t := range targets {
		suffix := "-" + stage
		if stage == "binary" {
			suffix = ""
		}
		targets[i].Tags = []string{image + ":" + sdkSHA[:7] + "-" + t.CustomTag + suffix, image + ":" + sdkSHA + "-" + t.CustomTag + suffix}
	}
	return targets
}

// Each image is the one that an evaluation of OpenHands/benchmarks asks for with its defaults, by prepare_workspace in the
// benchmark's run_infer.py: EVAL_AGENT_SERVER_IMAGE:<prefix>-<custom tag>-<DEFAULT_BUILD_TARGET>. The custom tag is
// extract_custom_tag of its build_images.py, the prefix one of benchmarks/utils/version.py:
//
//   - swebench, swtbench, swebenchmultimodal, swebenchpro: get_phased_image_tag_prefix(), <7 digits of the SDK's SHA>-<7 of its
//     Dockerfile's hash>;
//   - swebenchmultilingual: IMAGE_TAG_PREFIX, <7 digits of the SDK's SHA>;
//   - swesmith: SDK_SHORT_SHA, the same;
//   - swegym has no evaluation there. The tag is what build_image in benchmarks/utils/build_utils.py has the SDK make of its
//     custom tag: the same.
func TestTagsAreWhatTheEvaluationAsksFor(t *testing.T) {
	const image = "ghcr.io/openhands/eval-agent-server:"
	const hashed, plain = "611629e-245a238", "611629e"
	cases := []struct{ benchmark, id, prefix, custom string }{
		{"swebench", "django__django-11333", hashed, "sweb.eval.x86_64.django_1776_django-11333"},
		{"swebench", "scikit-learn__scikit-learn-13439", hashed, "sweb.eval.x86_64.scikit-learn_1776_scikit-learn-13439"},
		{"swebench", "pytest-dev__pytest-plugin_x.y-5262", hashed, "sweb.eval.x86_64.pytest-dev_1776_pytest-plugin_x.y-5262"},
		{"swebench", "matplotlib__matplotlib-0_1776_25311", hashed, "sweb.eval.x86_64.matplotlib_1776_matplotlib-0_1776_25311"},
		{"swtbench", "sphinx-doc__sphinx-10323", hashed, "sweb.eval.x86_64.sphinx-doc_1776_sphinx-10323"},
		{"swebench-multimodal", "Automattic__wp-calypso-23915", hashed, "sweb.eval.x86_64.automattic_1776_wp-calypso-23915"},
		{"swebench-multilingual", "apache__druid-13704", plain, "sweb.eval.x86_64.apache_1776_druid-13704"},
		{"swebench-pro", "instance_NodeBB__NodeBB-0499", hashed, "nodebb.nodebb-nodebb__nodebb-0499"},
		{"swegym", "Project-MONAI__MONAI-1121", plain, "sweb.eval.x86_64.project-monai_s_monai-1121"},
		{"swesmith", "oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc", plain, "swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536"},
	}
	for _, tc := range cases {
		t.Run(tc.benchmark+"/"+tc.id, func(t *testing.T) {
			targets := named(t, []string{tc.id}, "benchmark="+tc.benchmark)
			if want := image + tc.prefix + "-" + tc.custom + "-source-minimal"; !slices.Contains(targets[0].Tags, want) {
				t.Errorf("the evaluation asks for %s, tags are %s", want, targets[0].Tags)
			}
			if prefix, ok := ImageTagPrefix(targets); !ok || prefix != tc.prefix {
				t.Errorf("the prefix is %q, %v; the evaluation's own is %q", prefix, ok, tc.prefix)
			}
		})
	}
}

// named goes the whole way from inputs to the SDK's tags.
func named(t *testing.T, ids []string, inputs ...string) []Target {
	t.Helper()
	cfg := parsed(t, inputs...)
	columns := map[string]map[string]string{}
	for _, id := range ids { // the one column that a preset names a base image by
		columns[id] = map[string]string{"image_name": "jyangballin/swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536", "dockerhub_tag": "nodebb.nodebb-NodeBB__NodeBB-0499"}
	}
	targets, err := New(cfg, ids, columns)
	if err != nil {
		t.Fatal(err)
	}
	targets, err = WithTags(targets, cfg.CustomTagTemplate, Values{SDKDockerfileSHA256: dockerfileSHA, Options: cfg.SDKOptions})
	if err != nil {
		t.Fatal(err)
	}
	targets = fakeSDK(cfg.Image, cfg.Target, targets)
	if err := CheckTags(targets); err != nil {
		t.Fatal(err)
	}
	return targets
}

// With IMAGE_TAG_PREFIX set to what the summary names, the evaluation finds images that have other tags.
func TestImageTagPrefix(t *testing.T) {
	ids := []string{"django__django-11333", "sympy__sympy-23824"}
	providers := OptionsSHA256(parsed(t, "sdk-options=install_acp_providers=").SDKOptions)[:7]
	cases := map[string]struct {
		inputs []string
		want   string
		absent bool
	}{
		"the default":      {want: "611629e-245a238"},
		"without the hash": {inputs: []string{"benchmark=swebench-multilingual"}, want: "611629e"},
		"options without the hash": {
			inputs: []string{"benchmark=swebench-multilingual", "sdk-options=install_acp_providers="},
			want:   "611629e-" + providers,
		},
		"options":                      {inputs: []string{"sdk-options=install_acp_providers="}, want: "611629e-245a238-" + providers},
		"a template before the tag":    {inputs: []string{"custom-tag-template=mine-{instance_tag}"}, want: "611629e-mine"},
		"only the instance's tag":      {inputs: []string{"custom-tag-template={instance_tag}"}, want: "611629e"},
		"other base images":            {inputs: []string{"base-image-template=hub:5000/x/{instance_id}:1"}, want: "611629e-245a238"},
		"a template after the tag":     {inputs: []string{"custom-tag-template={instance_tag}-mine"}, absent: true},
		"a template by the id":         {inputs: []string{"custom-tag-template={instance_id}"}, absent: true},
		"a prefix of each one's own":   {inputs: []string{"custom-tag-template={instance_id}-{instance_tag}"}, absent: true},
		"a stage that nobody asks for": {inputs: []string{"target=binary"}, absent: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			targets := named(t, ids, tc.inputs...)
			prefix, ok := ImageTagPrefix(targets)
			if ok == tc.absent || prefix != tc.want {
				t.Fatalf("ImageTagPrefix = %q, %v, want %q", prefix, ok, tc.want)
			}
			for _, target := range targets {
				want := "ghcr.io/openhands/eval-agent-server:" + prefix + "-" + InstanceTag(target.BaseImage) + "-source-minimal"
				if ok && !slices.Contains(target.Tags, want) {
					t.Errorf("the evaluation asks for %s, tags are %s", want, target.Tags)
				}
			}
		})
	}
}

func TestImageTagPrefixOfNothing(t *testing.T) {
	if prefix, ok := ImageTagPrefix(nil); ok {
		t.Errorf("no target has the prefix %q", prefix)
	}
}

// The rule is extract_custom_tag in OpenHands/benchmarks, benchmarks/swebenchpro/build_images.py; the values come from running
// it.
func TestBaseImageTag(t *testing.T) {
	const qute = "qutebrowser.qutebrowser-qutebrowser__qutebrowser-5fdc83e5da6222fe61163395baaad7ae57fa2cb4-v363c8a7e5ccdf6968fc7ab84a2053ac780366"
	cases := []struct{ tag, want string }{
		{"nodebb.nodebb-NodeBB__NodeBB-0499", "nodebb.nodebb-nodebb__nodebb-0499"},
		{"A+b  c", "a-b-c"},
		{".-x-.", "x"},
		{"--..", "afbf49f1f520"},
		{strings.Repeat("a", 96), strings.Repeat("a", 96)},
		{strings.Repeat("a", 97), strings.Repeat("a", 83) + "-7d236487f7c5"},
		{strings.Repeat("a", 80) + "...b" + strings.Repeat("c", 20), strings.Repeat("a", 80) + "-fae817370a86"},
		{qute, "qutebrowser.qutebrowser-qutebrowser__qutebrowser-5fdc83e5da6222fe61163395baaad7ae57-03572c6c2652"},
	}
	for _, c := range cases {
		if got := BaseImageTag("docker.io/jefzda/sweap-images:" + c.tag); got != c.want {
			t.Errorf("%s becomes %s (%d characters), want %s", c.tag, got, len(got), c.want)
		}
	}
}

// From 1.22.0 on the SDK also pushes a tag with the commit's 40 digits. Where that is too long, the image gets the other one.
func TestDropLongTags(t *testing.T) {
	long, longer := strings.Repeat("x", 80), strings.Repeat("y", 120)
	targets := fakeSDK("ghcr.io/a/b", "source-minimal", []Target{{InstanceID: "a", CustomTag: "a"}, {InstanceID: "b", CustomTag: long}, {InstanceID: "c", CustomTag: longer}})
	DropLongTags(targets)
	want := [][]string{targets[0].Tags, {"ghcr.io/a/b:" + sdkSHA[:7] + "-" + long + "-source-minimal"}, targets[2].Tags}
	for i, target := range targets {
		if !slices.Equal(target.Tags, want[i]) || len(want[0]) != 2 || len(want[2]) != 2 {
			t.Errorf("%s has the tags %s, want %s", target.InstanceID, target.Tags, want[i])
		}
	}
	if targets[0].NotNative != "" || !strings.Contains(targets[1].NotNative, "a tag of 136 characters, and registries take 128") || targets[2].NotNative != "" {
		t.Errorf("not native: %q, %q, %q", targets[0].NotNative, targets[1].NotNative, targets[2].NotNative)
	}
	err := CheckTags(targets)
	if err == nil || !strings.Contains(err.Error(), `for "c", makes a tag`) || strings.Contains(err.Error(), `for "b"`) {
		t.Errorf("error = %v, want one of c, which has no tag that fits", err)
	}
}

func TestInstanceTag(t *testing.T) {
	cases := map[string]string{
		"docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest": "sweb.eval.x86_64.django_1776_django-11333",
		"registry:5000/hub/swebench/x:1":                                      "x",
		"registry:5000/x":                                                     "x",
		"x":                                                                   "x",
		"a/b:c:d":                                                             "b",
	}
	for image, want := range cases {
		if got := InstanceTag(image); got != want {
			t.Errorf("InstanceTag(%s) = %s, want %s", image, got, want)
		}
		if strings.ContainsAny(InstanceTag(image), ":/") {
			t.Errorf("InstanceTag(%s) is no part of a tag", image)
		}
	}
}
