package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPathWithARepositoryIsToldAtOnce(t *testing.T) {
	_, err := Parse(inputsOf(map[string]string{
		"sdk-path": "sdk", "sdk-ref": "-x", "sdk-repository": "https://ghp_s3cret@github.com/o/r", "max-workers": "0",
	}))
	var got []string
	for _, m := range each(t, err) {
		got = append(got, m.Error())
	}
	want := []string{
		`sdk-ref: "-x" is given beside sdk-path`, `sdk-repository: "***@github.com/o/r" is given beside sdk-path`,
		`max-workers: "0" is not a whole number of at least 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

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
