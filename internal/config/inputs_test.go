package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
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

func TestFlagsAreInputs(t *testing.T) {
	var flags Flags
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddTo(set)
	if err := set.Parse(strings.Fields("--sdk-ref v1.58.2 --builder=builder-1 --force-build --max-workers 2 " +
		"--sdk-options a=1 --sdk-options b= --instance-ids a__a-1 --instance-ids b__b-2")); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(flags.Sources(func(string) string { return "" }, nil))
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

func TestAFlagWinsOverAnInputAndThatOverAVariable(t *testing.T) {
	cases := map[string]struct {
		flag, input, variable string
		want                  string
	}{
		"flag":           {"f", "i", "v", "f"},
		"input":          {"", "i", "v", "i"},
		"variable":       {"", " ", "v", "v"},
		"none":           {"", "", "", ""},
		"no variables":   {"", "", "-", ""},
		"another's only": {"", "i", "?", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var flags Flags
			if tc.flag != "" {
				flags.Set("sdk-ref", tc.flag)
			}
			variable := func(name string) string { return map[string]string{"EVAL_IMAGES_SDK_REF": tc.variable}[name] }
			switch tc.variable {
			case "-":
				variable = nil
			case "?":
				flags.Only("image")
			}
			if got := flags.Sources(inputsOf(map[string]string{"sdk-ref": tc.input}), variable)("sdk-ref"); got != tc.want {
				t.Errorf("sdk-ref is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAVariableOfNoFlagIsTold(t *testing.T) {
	got := UnknownVariables([]string{"EVAL_IMAGES_SDKREF=v1", "EVAL_IMAGES_IMAGE=x", "EVAL_IMAGES=x", "OTHER=y", "EVAL_IMAGES_FORMAT=json"})
	want := []string{"the variable EVAL_IMAGES_SDKREF belongs to no flag, and is not read; did you mean EVAL_IMAGES_SDK_REF?"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// The action has no such input: INPUT_FORMAT would be an environment variable of somebody else.
func TestFormatIsAFlagOnly(t *testing.T) {
	var flags Flags
	inputs := inputsOf(map[string]string{FormatFlag: "yaml"})
	if c, err := Parse(flags.Sources(inputs, nil)); err != nil || c.Format != "text" {
		t.Errorf("as an action the format is %q, error %v", c.Format, err)
	}
	for _, in := range Inputs() {
		if in.Name == FormatFlag {
			t.Error("the action declares it")
		}
	}
}
