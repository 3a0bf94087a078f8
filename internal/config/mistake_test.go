package config

import "testing"

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
