package logfile

import (
	"strings"
	"testing"
)

func TestNameIsSafeForShellsArchivesAndUploads(t *testing.T) {
	cases := map[string]string{
		"django__django-1":       "django__django-1.log",
		"chartjs__Chart.js-10":   "chartjs__Chart.js-10.log",
		"../../etc/passwd":       "etc-passwd-3754d6cb.log",
		"a b:c":                  "a-b-c-7bede3ae.log",
		"a-b:c":                  "a-b-c-ddbfc9b0.log",
		"..":                     "5ec1f7e7.log",
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "-0d4e2ca9.log",
	}
	for instance, want := range cases {
		if got := Name(instance); got != want {
			t.Errorf("Name(%q) = %q, want %q", instance, got, want)
		}
	}
}

// A name leads to no other folder, whatever the instance is called.
func FuzzName(f *testing.F) {
	for _, id := range []string{"a__b-1", "../x", "-rf", "a\x00b", "\u202egnp", ".", "%2e%2e/"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, instance string) {
		name := Name(instance)
		if len(name) > 255 || !strings.HasSuffix(name, ".log") || len(name) == len(".log") || strings.Trim(name,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
			t.Errorf("the log of %q would be %q", instance, name)
		}
	})
}
