package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// verifyLine parses the arguments of the command verify.
func verifyLine(t *testing.T, args string) (c Config, images []string, err error) {
	t.Helper()
	var flags Flags
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddTo(set)
	if err := set.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	wrong := flags.CheckVerify(set.Args())
	c, err = Parse(flags.Sources(inputsOf(map[string]string{"n-limit": "x"}), nil))
	return c, set.Args(), errors.Join(wrong, err)
}

func TestVerifyCommand(t *testing.T) {
	const digest = "@sha256:0123456789012345678901234567890123456789012345678901234567890123"
	cases := []struct {
		args, image string
		want        []string
	}{
		{"--sdk-ref v1 ghcr.io/o/x:a", "ghcr.io/o/x", []string{"ghcr.io/o/x:a"}},
		{"r:5000/xy:a --sdk-ref v1 r:5000/xy" + digest + " --verify-tree", "r:5000/xy", []string{"r:5000/xy:a", "r:5000/xy" + digest}},
		{"--sdk-ref v1 --image r:5000/xy r:5000/xy:a", "r:5000/xy", []string{"r:5000/xy:a"}},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			c, images, err := verifyLine(t, tc.args)
			if err != nil || !slices.Equal(images, tc.want) || c.Image != tc.image {
				t.Errorf("verifies %q of %s, error %v; want %q of %s", images, c.Image, err, tc.want, tc.image)
			}
		})
	}
}

func TestVerifyCommandErrors(t *testing.T) {
	const needed = "--sdk-ref v1 "
	cases := []struct {
		args string
		want []string
	}{
		{needed, []string{"verify: no image is given; write eval-images verify IMAGE..."}},
		{needed + "ghcr.io/o/x", []string{`verify: "ghcr.io/o/x" has neither a tag nor a digest; write a full reference, such as ghcr.io/o/x:TAG`}},
		{needed + "r:5000/xy", []string{`verify: "r:5000/xy" has neither a tag nor a digest`}},
		{needed + "x:latest", []string{`verify: "x:latest" does not name a registry; add the host of the registry`}},
		{needed + "django__django-11333", []string{`does not name a registry`}},
		{needed + "https://ghcr.io/o/x:a", []string{`is a URL, not a repository`}},
		{needed + "ghcr.io/O/x:a", []string{`upper-case`}},
		{needed + "ghcr.io/o/x:a:b", []string{`verify: "ghcr.io/o/x:a:b" is not a valid repository name`}},
		{needed + "ghcr.io/o/x:a/b", []string{`verify: "ghcr.io/o/x:a/b" is not a valid repository name`}},
		{needed + "ghcr.io/o/x@sha256:12", []string{`is not a valid image reference; write host/repository:tag`}},
		{needed + "ghcr.io/o/x: ghcr.io/o/x@", []string{`"ghcr.io/o/x:" is not a valid image reference`, `"ghcr.io/o/x@" is not a valid image reference`}},
		{needed + "ghcr.io/o/x:a ghcr.io/o/x:a", []string{`verify: "ghcr.io/o/x:a" is given twice`}},
		{needed + "ghcr.io/o/x:a ghcr.io/o/y:a", []string{`verify: "ghcr.io/o/y:a" is not in the repository ghcr.io/o/x; `}},
		{needed + "--image ghcr.io/o/z ghcr.io/o/x:a", []string{`verify: "ghcr.io/o/x:a" is not in the repository ghcr.io/o/z; `}},
		{needed + "ghcr.io/o/x:a --verify 2 --n-limit 3 --dry-run", []string{
			"n-limit: cannot be combined with the command verify; leave it out", "verify: cannot be combined with the command verify", "dry-run: cannot be combined",
		}},
		{needed + "ghcr.io/o/x:a --fail-on never", []string{"fail-on: cannot be combined with the command verify"}},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			_, _, err := verifyLine(t, tc.args)
			errs := each(t, err)
			if len(errs) != len(tc.want) {
				t.Fatalf("got %d errors, want %d: %v", len(errs), len(tc.want), err)
			}
			for i, m := range errs {
				if got := m.Error() + "; " + m.Hint(); !strings.Contains(got, tc.want[i]) {
					t.Errorf("error %d is %q, want %q in it", i, got, tc.want[i])
				}
			}
		})
	}
}

// A name that is not an input would never be refused.
func TestNotForVerifyAreInputs(t *testing.T) {
	for _, input := range notForVerify {
		inputNamed(input)
	}
}
