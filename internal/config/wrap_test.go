package config

import (
	"slices"
	"testing"
)

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
	wrapping := []string{"swebench", "swtbench"} // as OpenHands/benchmarks does
	for _, b := range presets {
		for id, want := range cases {
			if !slices.Contains(wrapping, b.Name) {
				want = ""
			}
			t.Run(b.Name+"/"+id, func(t *testing.T) {
				if got := b.Wrap(id); got != want {
					t.Errorf("wrapped with %q, want %q", got, want)
				}
			})
		}
	}
}
