package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/config"
)

// parsed makes a configuration as a user's inputs would.
func parsed(t *testing.T, inputs ...string) config.Config {
	t.Helper()
	given := map[string]string{"sdk-ref": "v1.58.2", "builder": "b"}
	for _, in := range inputs {
		name, value, _ := strings.Cut(in, "=")
		given[name] = value
	}
	cfg, err := config.Parse(func(name string) string { return given[name] })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestNew(t *testing.T) {
	cases := map[string]struct {
		inputs []string
		ids    []string
		want   []Target
	}{
		"the official rule, lower-cased": {
			ids: []string{"Automattic__wp-calypso-1"},
			want: []Target{{
				InstanceID: "Automattic__wp-calypso-1",
				BaseImage:  "docker.io/swebench/sweb.eval.x86_64.automattic_1776_wp-calypso-1:latest",
			}},
		},
		"sorted by base image, not by id": {
			inputs: []string{"base-image-template=hub:5000/{name}/{repo}"},
			ids:    []string{"a__z-1", "z__a-1", "m__m-1"},
			want: []Target{
				{InstanceID: "z__a-1", BaseImage: "hub:5000/a-1/z"},
				{InstanceID: "m__m-1", BaseImage: "hub:5000/m-1/m"},
				{InstanceID: "a__z-1", BaseImage: "hub:5000/z-1/a"},
			},
		},
		"an id's upper case, where only the tag shows it": {
			inputs: []string{"base-image-template=ghcr.io/o/x:{arch}-{instance_id}", "custom-tag-template={instance_id}"},
			ids:    []string{"A__B-1"},
			want:   []Target{{InstanceID: "A__B-1", BaseImage: "ghcr.io/o/x:x86_64-A__B-1"}},
		},
		"an id of another shape, whole": {
			inputs: []string{"base-image-template=ghcr.io/o/{instance_id}:latest"},
			ids:    []string{"no-underscores"},
			want:   []Target{{InstanceID: "no-underscores", BaseImage: "ghcr.io/o/no-underscores:latest"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := New(parsed(t, tc.inputs...), tc.ids, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

// sayings gives each mistake with its hint.
func sayings(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var all []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var m *config.InputError
		if !errors.As(e, &m) {
			t.Fatalf("%T is not a mistake: %v", e, e)
		}
		all = append(all, m.Error()+"; "+m.Hint())
	}
	return all
}

func expect(t *testing.T, err error, want []string) {
	t.Helper()
	said := sayings(t, err)
	if len(said) != len(want) {
		t.Fatalf("got %d mistakes, want %d: %q", len(said), len(want), said)
	}
	for i := range want {
		if !strings.Contains(said[i], want[i]) {
			t.Errorf("mistake %d is %q, want %q in it", i, said[i], want[i])
		}
	}
}

func TestNewMistakes(t *testing.T) {
	long := strings.Repeat("n", 128)
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf("A__b-%d", i))
	}
	cases := map[string]struct {
		inputs []string
		ids    []string
		want   []string
	}{
		"no __": {ids: []string{"django-11333"}, want: []string{`base-image-template: "django-11333" has not exactly one __`}},
		"two __": {ids: []string{"a__b__c-1", "a__b-1"}, want: []string{
			`"a__b__c-1" has not exactly one __ between {repo} and {name}; use {instance_id} instead`,
		}},
		"a template is not lower-cased": {
			inputs: []string{"base-image-template=ghcr.io/o/{instance_id}:x"}, ids: []string{"A__b-1"},
			want: []string{`"ghcr.io/o/A__b-1:x", for "A__b-1", is not an image's name; repositories have lower-case letters only`},
		},
		"a digest": {ids: []string{"a__b@sha256:" + strings.Repeat("0", 64)}, want: []string{"is named by digest; name base images by tag"}},
		"one base image for two": {
			inputs: []string{"base-image-template=ghcr.io/o/{repo}:latest"}, ids: []string{"a__b-1", "a__b-2", "c__d-1"},
			want: []string{`"a__b-1" and "a__b-2" have the same base image "ghcr.io/o/a:latest"; include {instance_id}`},
		},
		"an id given twice": {ids: []string{"a__b-1", "a__b-1"}, want: []string{`"a__b-1" and "a__b-1" have the same base image`}},
		"one tag for two": {
			inputs: []string{"custom-tag-template=eval"}, ids: []string{"a__b-1", "c__d-1"},
			want: []string{`custom-tag-template: "a__b-1" and "c__d-1" get the same tag "eval"; include {instance_tag}`},
		},
		"one tag for two, as the tag of the base image is cut": {
			inputs: []string{"base-image-template=ghcr.io/o/x:{instance_id}", "custom-tag-template=t-{instance_tag}"},
			ids:    []string{"a__b-1", "c__d-1"}, want: []string{
				`custom-tag-template: "a__b-1" and "c__d-1" get the same tag "t-x"; include {instance_id}: the base images differ by their tags only, which {instance_tag} leaves out`,
			},
		},
		"one tag for two, as only a folder of the base image differs": {
			inputs: []string{"base-image-template=ghcr.io/{instance_id}/y:latest", "custom-tag-template=t-{instance_tag}"},
			ids:    []string{"a__b-1", "c__d-1"}, want: []string{
				`get the same tag "t-y"; include {instance_id}: the base images have the same last name`,
			},
		},
		"bases of one name, with the default for tags": {
			inputs: []string{"base-image-template=ghcr.io/{instance_id}/y:latest"},
			ids:    []string{"a__b-1", "c__d-1"}, want: []string{
				`base-image-template: the images of "a__b-1" and "c__d-1" would get the same tag: the default takes it from the last name of the base ` +
					`image, and both "ghcr.io/a__b-1/y:latest" and "ghcr.io/c__d-1/y:latest" have "y"; set custom-tag-template to one with {instance_id}`,
			},
		},
		"a tag that the SDK would cut": {
			inputs: []string{"custom-tag-template={instance_id},latest"}, ids: []string{"a__b-1"},
			want: []string{`"a__b-1,latest", for "a__b-1", cannot be a part of a tag; use letters`},
		},
		"a tag too long for every SDK": {ids: []string{"a__" + long}, want: []string{
			"makes a tag of at least 183 characters; registries take 128; shorten it by 55 characters",
		}},
		"without the stage's name": {
			inputs: []string{"target=binary", "custom-tag-template={instance_id}"},
			ids:    []string{"a__" + long[:118]}, want: []string{"of at least 129 characters"},
		},
		"the first ten of very many": {inputs: []string{"base-image-template=ghcr.io/o/{instance_id}"}, ids: many, want: []string{
			`"A__b-0"`, `"A__b-1"`, `"A__b-2"`, `"A__b-3"`, `"A__b-4"`, `"A__b-5"`, `"A__b-6"`, `"A__b-7"`, `"A__b-8"`, "490 more like these",
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := New(parsed(t, tc.inputs...), tc.ids, nil)
			if got != nil {
				t.Errorf("planned %d targets all the same", len(got))
			}
			expect(t, err, tc.want)
		})
	}
}

func TestLongestTagsThatFit(t *testing.T) {
	// 7 + 1 + n + 1 + len("source-minimal") = 128 with n = 105.
	cases := []struct {
		target string
		n      int
	}{{"source-minimal", 105}, {"binary", 120}}
	for _, tc := range cases {
		t.Run(tc.target, func(t *testing.T) {
			cfg := parsed(t, "target="+tc.target, "custom-tag-template={instance_id}")
			if _, err := New(cfg, []string{"a__" + strings.Repeat("b", tc.n-3)}, nil); err != nil {
				t.Error(err)
			}
			if _, err := New(cfg, []string{"a__" + strings.Repeat("b", tc.n-2)}, nil); err == nil {
				t.Errorf("a custom tag of %d characters was planned", tc.n+1)
			}
		})
	}
}

func TestCheckTags(t *testing.T) {
	target := func(id string, tags ...string) Target {
		return Target{InstanceID: id, BaseImage: "x/" + id, CustomTag: strings.Repeat("c", 73), Tags: tags}
	}
	cases := map[string]struct {
		targets []Target
		want    []string
	}{
		"good":             {[]Target{target("a", "r:5000/x:1"), target("b", "r:5000/x:2")}, nil},
		"128 characters":   {[]Target{target("a", "r:5000/x:"+strings.Repeat("t", 128))}, nil},
		"129 characters":   {[]Target{target("a", "r:5000/x:1", "r:5000/x:"+strings.Repeat("t", 129))}, []string{`for "a", makes a tag of 129 characters; registries take 128; shorten it by 1 character or more: this SDK leaves 72 for it`}},
		"a character":      {[]Target{target("a", "x/y:t+t")}, []string{`"x/y:t+t", for "a", is not a tag`}},
		"a leading dash":   {[]Target{target("a", "x/y:-t")}, []string{"is not a tag"}},
		"only a port":      {[]Target{target("a", "r:5000/x")}, []string{"is not a tag"}},
		"no tag":           {[]Target{target("a")}, []string{`the SDK names no tag for "a"; include {instance_tag}`}},
		"the same for two": {[]Target{target("a", "x/y:1"), target("b", "x/y:2", "x/y:1")}, []string{`"a" and "b" get the same tag "1"`}},
		"the same for two tags of one repository": {
			[]Target{{InstanceID: "a", BaseImage: "x/y:a", Tags: []string{"x/y:1"}}, {InstanceID: "b", BaseImage: "x/y:b", Tags: []string{"x/y:1"}}},
			[]string{`"a" and "b" get the same tag "1"; include {instance_id}: the base images differ by their tags only`},
		},
		"the same twice for one": {[]Target{target("a", "x/y:1", "x/y:1")}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { expect(t, CheckTags(tc.targets), tc.want) })
	}
}

func TestOptionsSHA256(t *testing.T) {
	a, b := config.Option{Name: "a", Value: "1"}, config.Option{Name: "b", Value: ""}
	if x, y := OptionsSHA256([]config.Option{a, b}), OptionsSHA256([]config.Option{b, a}); x != y {
		t.Errorf("the order of options matters: %s, %s", x, y)
	}
	seen := map[string]bool{}
	for _, options := range [][]config.Option{nil, {a}, {b}, {a, b}, {{Name: "a", Value: "1b="}}, {{Name: "a", Value: ""}}} {
		seen[OptionsSHA256(options)] = true
	}
	if len(seen) != 6 {
		t.Errorf("6 different sets of options have %d hashes", len(seen))
	}
	// Tags in registries depend on it: printf 'a=1\nb=\n' | sha256sum
	if got, want := OptionsSHA256([]config.Option{b, a})[:7], "0b963b8"; got != want {
		t.Errorf("a=1, b= has the hash %s, want %s", got, want)
	}
}

func TestWithTagsWantsAHash(t *testing.T) {
	for _, sum := range []string{"", "abc", strings.Repeat("x", 64)} {
		if _, err := WithTags([]Target{{}}, "{sdk_dockerfile_sha7}", Values{SDKDockerfileSHA256: sum}); err == nil {
			t.Errorf("%q passed for a sha256", sum)
		}
	}
}

func TestWithTagsLeavesTheTargetsGiven(t *testing.T) {
	given := []Target{{InstanceID: "a__b-1", BaseImage: "x/y:1"}}
	before := slices.Clone(given)
	got, err := WithTags(given, "{sdk_dockerfile_sha7}-{options_sha7}-{instance_tag}-{instance_id}", Values{SDKDockerfileSHA256: strings.Repeat("ab", 32)})
	if err != nil {
		t.Fatal(err)
	}
	if want := "abababa-e3b0c44-y-a__b-1"; got[0].CustomTag != want {
		t.Errorf("custom tag is %s, want %s", got[0].CustomTag, want)
	}
	if diff := cmp.Diff(before, given); diff != "" {
		t.Errorf("the targets given were changed:\n%s", diff)
	}
}
