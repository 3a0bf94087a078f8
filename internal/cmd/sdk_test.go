package cmd

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/sdk"
)

// The log and the report say what this SDK lacks, also where it changes only how long the run takes.
func TestOldSDKsAreWarnedOf(t *testing.T) {
	const ignores = "This SDK ignores cache-mode "
	cases := []struct {
		name        string
		description sdk.Description
		cacheMode   string
		want        []string
	}{
		{"all there", sdk.Description{Seam: sdk.SeamNativeField, CacheModes: true}, "off", nil},
		{"intercepted", sdk.Description{Seam: sdk.SeamIntercept, CacheModes: true}, "min", nil},
		{
			"no seam",
			sdk.Description{Seam: sdk.SeamNone, CacheModes: true},
			"off",
			[]string{"This SDK takes no prebuilt sdist; each image builds its own."},
		},
		{
			"off is ignored",
			sdk.Description{Seam: sdk.SeamIntercept},
			"off",
			[]string{ignores + "off (it came with 1.15.0): every push exports its cache in mode max."},
		},
		{
			"min is ignored",
			sdk.Description{Seam: sdk.SeamIntercept},
			"min",
			[]string{ignores + "min (it came with 1.15.0): every push exports its cache in mode max."},
		},
		{"max is what it does anyway", sdk.Description{Seam: sdk.SeamIntercept}, "max", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			rec := newRecord(Process{Stdout: &out}, nil)
			warnOfOldSDK(c.description, c.cacheMode, rec)
			if diff := cmp.Diff(c.want, rec.facts.Warnings); diff != "" {
				t.Errorf("warnings in the report (-want +got):\n%s", diff)
			}
			for _, warning := range c.want {
				if !bytes.Contains(out.Bytes(), []byte(warning)) {
					t.Errorf("the log lacks %q:\n%s", warning, &out)
				}
			}
		})
	}
}
