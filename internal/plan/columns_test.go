package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The rules of the presets, each on one id: OpenHands/benchmarks' get_official_docker_image of that benchmark.
func TestPresetBaseImages(t *testing.T) {
	cases := []struct {
		benchmark, id string
		columns       map[string]string
		want          string
	}{
		{"swebench", "django__django-11333", nil, "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest"},
		{"swtbench", "sympy__sympy-23824", nil, "docker.io/swebench/sweb.eval.x86_64.sympy_1776_sympy-23824:latest"},
		{"swebench-multimodal", "Automattic__wp-calypso-23915", nil, "docker.io/swebench/sweb.eval.x86_64.automattic_1776_wp-calypso-23915:latest"},
		{"swebench-multilingual", "apache__druid-13704", nil, "docker.io/swebench/sweb.eval.x86_64.apache_1776_druid-13704:latest"},
		{
			"swebench-pro", "instance_NodeBB__NodeBB-0499",
			map[string]string{"dockerhub_tag": " nodebb.nodebb-NodeBB__NodeBB-0499 "},
			"docker.io/jefzda/sweap-images:nodebb.nodebb-NodeBB__NodeBB-0499",
		},
		{"swegym", "Project-MONAI__MONAI-1121", nil, "docker.io/xingyaoww/sweb.eval.x86_64.project-monai_s_monai-1121"},
		{
			"swesmith", "oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc",
			map[string]string{"image_name": " jyangballin/swesmith.x86_64.oauthlib_1776_oauthlib.1FD52536\n"},
			"docker.io/jyangballin/swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536",
		},
		{"swesmith", "a__b.1.x__2", map[string]string{"image_name": "docker.io/o/n:t"}, "docker.io/o/n:t"},
	}
	for _, tc := range cases {
		t.Run(tc.benchmark+" "+tc.id, func(t *testing.T) {
			got, err := New(parsed(t, "benchmark="+tc.benchmark), []string{tc.id}, map[string]map[string]string{tc.id: tc.columns})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Target{{InstanceID: tc.id, BaseImage: tc.want}}, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestColumnsOfAUsersTemplate(t *testing.T) {
	columns := map[string]map[string]string{
		"b__b-1": {"tag": "two"}, "a__a-1": {"tag": "one"}, "c__c-1": {"tag": "one"}, "d__d-1": {},
	}
	template := "base-image-template=ghcr.io/o/n.{column:tag}:x"
	got, err := New(parsed(t, template), []string{"c__c-1", "b__b-1", "a__a-1"}, columns)
	if err != nil {
		t.Fatal(err)
	}
	want := []Target{{InstanceID: "a__a-1", BaseImage: "ghcr.io/o/n.one:x"}, {InstanceID: "b__b-1", BaseImage: "ghcr.io/o/n.two:x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("one image is made once (-want +got):\n%s", diff)
	}
	_, err = New(parsed(t, template), []string{"d__d-1"}, columns)
	expect(t, err, []string{`base-image-template: column tag of "d__d-1" is empty; use a column that every instance has`})
}

func TestColumnsInTags(t *testing.T) {
	columns := map[string]map[string]string{"a__a-1": {"version": " 4.2 "}, "b__b-1": {"version": "x/y"}, "c__c-1": {}}
	inputs := []string{"custom-tag-template={column:version}-{instance_tag}"}
	got, err := New(parsed(t, inputs...), []string{"a__a-1"}, columns)
	if err != nil {
		t.Fatal(err)
	}
	got, err = WithTags(got, "{column:version}-{instance_tag}", placeholderValues(nil))
	if want := "4.2-sweb.eval.x86_64.a_1776_a-1"; err == nil && got[0].CustomTag != want {
		t.Errorf("the custom tag is %s, want %s", got[0].CustomTag, want)
	}
	_, err = New(parsed(t, inputs...), []string{"b__b-1", "c__c-1"}, columns)
	expect(t, err, []string{
		`custom-tag-template: column version of "c__c-1" is empty; use a column that every instance has`,
		`custom-tag-template: "x/y-sweb.eval.x86_64.b_1776_b-1", for "b__b-1", cannot be a part of a tag; use letters, digits and _ . - only`,
	})
}
