package config

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultsAreThoseOfTheTable(t *testing.T) {
	for _, in := range allFlags() {
		if in.Default == "" {
			continue
		}
		t.Run(in.Name, func(t *testing.T) {
			want := least()
			want.VerifyGiven = in.Name == "verify"
			got, err := Parse(inputsOf(map[string]string{in.Name: in.Default}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, unexported); diff != "" {
				t.Errorf("with the default given (-default +given):\n%s", diff)
			}
		})
	}
}

func TestEveryInputIsRead(t *testing.T) {
	asked := map[string]bool{}
	Parse(func(name string) string { asked[name] = true; return "" })
	for _, in := range allFlags() {
		if !asked[in.Name] {
			t.Errorf("%s is in the table but Parse never reads it", in.Name)
		}
	}
}

func TestParseArgs(t *testing.T) {
	got, err := ParseArgs(strings.Fields("--sdk-ref v1.58.2 --builder=builder-1 --force-build --max-workers 2 "+
		"--sdk-options a=1 --sdk-options b= --instance-ids a__a-1 --instance-ids b__b-2"), inputsOf(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := least()
	want.ForceBuild, want.MaxWorkers = true, 2
	want.SDKOptions = []Option{{"a", "1"}, {"b", ""}}
	want.InstanceIDs = []string{"a__a-1", "b__b-2"}
	want.CustomTagTemplate = "{sdk_dockerfile_sha7}-{options_sha7}-{instance_tag}"
	if diff := cmp.Diff(want, got, unexported); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestParseArgsWithoutArgumentsReadsInputs(t *testing.T) {
	got, err := ParseArgs(nil, inputsOf(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(least(), got, unexported); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestParseArgsIgnoresInputsWhenThereAreArguments(t *testing.T) {
	_, err := ParseArgs([]string{"--builder", "b"}, inputsOf(nil), nil)
	if m := each(t, err); len(m) != 1 || m[0].Input != "sdk-ref" {
		t.Errorf("got %v, want that sdk-ref is required", err)
	}
}

func TestCommandLineErrors(t *testing.T) {
	const needed = "--sdk-ref v1 --builder b "
	cases := []struct {
		args string
		want []string
	}{
		{needed + "--sdk-reff v2", []string{`command line: unknown flag "--sdk-reff"; did you mean --sdk-ref? --help lists the flags`}},
		{needed + "--registry-pasword=s3cret", []string{`command line: unknown flag "--registry-pasword"; did you mean --registry-password? --help lists the flags`}},
		{needed + "--registry-pasword s3cret", []string{`command line: unknown flag "--registry-pasword"; did you mean --registry-password? --help lists the flags`}},
		{needed + "--unlike-anything-known", []string{`command line: unknown flag "--unlike-anything-known"; --help lists the flags`}},
		{needed + "--force-build false", []string{`command line: "false" is not a flag; write values after`}},
		{needed + "--force-build=maybe", []string{`force-build: "maybe" is not a boolean; write true or false`}},
		{needed + "--image ghcr.io/o/x --image ghcr.io/o/y", []string{`image: is set twice; set it once`}},
		{needed + "--registry-password", []string{`registry-password: has no value; write --registry-password VALUE`}},
		{needed + "-- --x y", []string{`"--x" is not a flag`, `"y" is not a flag`}},
		{"build --max-workers 0 --nope --sdk-ref v1", []string{
			`command line: "build" is not a flag`, `command line: unknown flag "--nope"`, `max-workers: "0"`,
		}},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			_, err := ParseArgs(strings.Fields(tc.args), inputsOf(nil), nil)
			var got []string
			for _, m := range each(t, err) {
				got = append(got, m.Error()+"; "+m.Hint())
			}
			if len(got) != len(tc.want) {
				t.Fatalf("got %d errors, want %d: %q", len(got), len(tc.want), got)
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("error %d is %q, want %q in it", i, got[i], want)
				}
			}
			if strings.Contains(strings.Join(got, ""), "s3cret") {
				t.Errorf("shows a secret: %q", got)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "-h", "--sdk-reff x --help"} {
		var out bytes.Buffer
		_, err := ParseArgs(strings.Fields(args), inputsOf(nil), &out)
		if !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: error is %v, want flag.ErrHelp", args, err)
		}
		for _, in := range allFlags() {
			if !strings.Contains(out.String(), "--"+in.Name) || !strings.Contains(out.String(), in.Description()) {
				t.Errorf("%s: help lacks %s", args, in.Name)
			}
		}
	}
}

// The action has no such input: INPUT_FORMAT would be an environment variable of somebody else.
func TestFormatIsAFlagOnly(t *testing.T) {
	inputs := inputsOf(map[string]string{FormatFlag: "yaml"})
	if c, err := ParseArgs(nil, inputs, nil); err != nil || c.Format != "text" {
		t.Errorf("as an action the format is %q, error %v", c.Format, err)
	}
	for _, in := range Inputs() {
		if in.Name == FormatFlag {
			t.Error("the action declares it")
		}
	}
}

func TestPrintsJSON(t *testing.T) {
	cases := map[string]bool{
		"--dry-run --format json": true, "--format=json": true, "-format=json": true, "-format json": true,
		"--format text": false, "--format": false, "": false, "--title format json": false, "--formatx=json": false,
	}
	for args, want := range cases {
		if got := PrintsJSON(strings.Fields(args)); got != want {
			t.Errorf("PrintsJSON(%q) = %v", args, got)
		}
	}
}
