package config

import (
	"slices"
	"testing"
)

func TestSDKSource(t *testing.T) {
	cases := []struct {
		config          Config
		repository, ref string
	}{
		{Config{SDKRepository: "https://h/r", SDKRef: "v1"}, "https://h/r", "v1"},
		{Config{SDKPath: "checkouts/sdk"}, "checkouts/sdk", "HEAD"},
	}
	for _, c := range cases {
		if repository, ref := c.config.SDKSource(); repository != c.repository || ref != c.ref {
			t.Errorf("SDKSource of %+v = %s, %s; want %s, %s", c.config, repository, ref, c.repository, c.ref)
		}
	}
}

func TestWrap(t *testing.T) {
	const sphinx = "docutils<0.21 roman"
	cases := map[string]string{
		"sphinx-doc__sphinx-10449":                            sphinx,
		"sphinx-doc__sphinx-8595":                             sphinx,
		"django__django-11333":                                "",
		"sphinx-docs__sphinx-1":                               "",
		"my-sphinx-doc__sphinx-1":                             "",
		"sphinx-doc_sphinx-1":                                 "",
		"sweb.eval.x86_64.sphinx-doc_1776_sphinx-10449":       "",
		"docker.io/swebench/sphinx-doc__sphinx-10449":         "",
		"scikit-learn__sphinx-doc__sphinx-1":                  "",
		"pydata__xarray-2905; requires sphinx-doc__sphinx-10": "",
	}
	wrapped := []string{"swebench", "swtbench", "swebench-multilingual"} // as in OpenHands/benchmarks
	for _, b := range presets {
		for id, want := range cases {
			if !slices.Contains(wrapped, b.Name) {
				want = ""
			}
			t.Run(b.Name+"/"+id, func(t *testing.T) {
				if got := b.PipRequirements(id); got != want {
					t.Errorf("wrapped with %q, want %q", got, want)
				}
			})
		}
	}
	if got := (Benchmark{}).PipRequirements("sphinx-doc__sphinx-10449"); got != "" {
		t.Errorf("a benchmark without wraps wraps with %q", got)
	}
}

func TestNearest(t *testing.T) {
	ids := []string{"astropy__astropy-12907", "django__django-11333", "django__django-11338", "sympy__sympy-23824"}
	cases := []struct{ word, want string }{
		{"django__django-11330", "django__django-11333"},
		{"Django__Django-11333", "django__django-11333"},
		{"django-11338", "django__django-11338"},
		{"sympy_sympy-23824", "sympy__sympy-23824"},
		{"", ""},
		{`{"instance_id": "django__django-11333", "repo": "django/django"}`, ""},
	}
	for _, tc := range cases {
		t.Run(tc.word, func(t *testing.T) {
			if got := Nearest(tc.word, ids); got != tc.want {
				t.Errorf("Nearest(%q) = %q, want %q", tc.word, got, tc.want)
			}
		})
	}
}
