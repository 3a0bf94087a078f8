package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is in an input: it is used, or each mistake is one short line with a hint.
func FuzzInputs(f *testing.F) {
	for _, in := range Inputs() {
		f.Add(in.Name, in.Default)
	}
	for _, v := range []string{
		"../x", "/etc/passwd", "a::b", "::error::x", "\x1b[2J", "a\nb", "{x}{y}", "{column:a}/{instance_id", "https://u:p@h/x?y#z", "--upload-pack=x", "1e9", "99999999999999999999",
		"x.csv", "x.jsonl.gz", "../x.parquet", "é", "\u202e", "\xff", "=\n=", "1/0", "9999999d", strings.Repeat("{x}", 2000), strings.Repeat("a=1\n", 2000),
	} {
		for _, name := range []string{"dataset", "instances-file", "build-dir", "base-image-template", "sdk-options", "sdk-ref", "sdk-repository", "image", "registry-password"} {
			f.Add(name, v)
		}
	}
	f.Fuzz(func(t *testing.T, name, v string) {
		c, err := Parse(func(input string) string {
			switch input {
			case name:
				return v
			case "sdk-ref":
				return "main"
			}
			return ""
		})
		confined := errors.Join(err, c.Confine()) == nil
		if confined && (!filepath.IsLocal(c.BuildDir) || c.InstancesFile != "" && !filepath.IsLocal(c.InstancesFile) ||
			c.PreviousSummary != "" && !filepath.IsLocal(c.PreviousSummary) || LocalDataset(c.Dataset) && !filepath.IsLocal(c.Dataset)) {
			t.Errorf("a path leads out of the workspace: %q, %q, %q, %q", c.BuildDir, c.InstancesFile, c.PreviousSummary, c.Dataset)
		}
		mistakes := 0
		for _, one := range all(err) {
			mistakes++
			var mistake *InputError
			if !errors.As(one, &mistake) || mistake.Fix == "" || mistake.Input == "" {
				t.Fatalf("the error is %v", one)
			}
			if len(mistake.Error()) > 1500 || strings.ContainsAny(mistake.Error()+mistake.Fix, "\n\r\x1b\x00") {
				t.Errorf("the mistake is %q, the hint %q", mistake.Problem, mistake.Fix)
			}
			if strings.HasSuffix(name, "password") && len(v) > 12 && strings.Contains(mistake.Error(), v) {
				t.Errorf("it shows a secret: %q", mistake.Error())
			}
		}
		if mistakes > 20 {
			t.Errorf("%d mistakes are told", mistakes)
		}
		for _, warning := range c.Warnings() {
			if len(warning) > 1500 || strings.ContainsAny(warning, "\n\r\x1b") {
				t.Errorf("the warning is %q", warning)
			}
		}
	})
}

// all returns the single errors of joined errors.
func all(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
