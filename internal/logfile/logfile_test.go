package logfile

import "testing"

func TestNameIsSafeForShellsArchivesAndUploads(t *testing.T) {
	cases := map[string]string{
		"django__django-1":     "django__django-1.log",
		"chartjs__Chart.js-10": "chartjs__Chart.js-10.log",
		"../../etc/passwd":     "etc-passwd.log",
		"a b:c":                "a-b-c.log",
	}
	for instance, want := range cases {
		if got := Name(instance); got != want {
			t.Errorf("Name(%q) = %q, want %q", instance, got, want)
		}
	}
}
