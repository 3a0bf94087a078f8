package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// ParseArgs makes a Config of a command line, whose flags are the inputs and which may begin with VerifyCommand. Without
// arguments it reads the inputs of the action. For --help it writes the list of flags and returns flag.ErrHelp.
func ParseArgs(args []string, input func(name string) string, help io.Writer) (Config, error) {
	if len(args) == 0 {
		return Parse(func(name string) string {
			if name == FormatFlag {
				return ""
			}
			return input(name)
		})
	}
	line := &commandLine{values: map[string]string{}, verify: args[0] == VerifyCommand}
	if line.verify {
		args = args[1:]
	}
	if line.read(args) {
		printHelp(help)
		return Config{}, flag.ErrHelp
	}
	line.checkImages()
	c, err := Parse(func(name string) string { return line.values[name] })
	c.VerifyImages = line.images
	return c, errors.Join(append(line.errors, err)...)
}

// PrintsJSON reports whether a command line asks for JSON. It does not check the command line.
func PrintsJSON(args []string) bool {
	for i, arg := range args {
		name, value, ok := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !ok && i+1 < len(args) {
			value = args[i+1]
		}
		if name == FormatFlag && strings.HasPrefix(arg, "-") && value == "json" {
			return true
		}
	}
	return false
}

// commandLine has the flags of a command line, and its errors.
type commandLine struct {
	values map[string]string
	errors []error
	// verify reports that the command is VerifyCommand; its arguments that are no flags are images.
	verify bool
	images []string
}

func (l *commandLine) wrong(input, problem, fix string) {
	l.errors = append(l.errors, &InputError{Input: input, Problem: problem, Fix: fix})
}

// read reads all flags, even after an error. It stops at --help.
func (l *commandLine) read(args []string) (help bool) {
	flags := l.flags()
	for len(args) > 0 {
		err := flags.Parse(args)
		rest := flags.Args()
		switch {
		case errors.Is(err, flag.ErrHelp):
			return true
		case err != nil:
			rest = l.refuse(err, args[len(args)-len(rest)-1], rest)
		case len(rest) > 0 && l.verify:
			l.images, rest = append(l.images, rest[0]), rest[1:]
		case len(rest) > 0:
			l.wrong("command line", Quote(rest[0])+" is not a flag", "write values after the name of a flag, as in "+
				"--sdk-ref v1.58.2; write boolean values after an equals sign, as in --force-build=false")
			rest = rest[1:]
		}
		args = rest
	}
	return false
}

func (l *commandLine) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("eval-images", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, in := range allFlags() {
		set := func(v string) error {
			old, twice := l.values[in.Name]
			if twice && in.kind != lines {
				l.wrong(in.Name, "is set twice", "set it once")
			}
			if twice && in.kind == lines {
				v = old + "\n" + v
			}
			l.values[in.Name] = v
			return nil
		}
		if in.kind == boolean {
			flags.BoolFunc(in.Name, "", set)
		} else {
			flags.Func(in.Name, "", set)
		}
	}
	return flags
}

// refuse records an error of package flag and returns the remaining arguments. It shows the name of the flag only: the
// value may be a secret.
func (l *commandLine) refuse(err error, arg string, rest []string) []string {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	if strings.HasPrefix(err.Error(), "flag needs an argument") {
		l.wrong(name, "has no value", "write --"+name+" VALUE")
		return rest
	}
	fix := "--help lists the flags"
	if near := Nearest(name, inputNames()); near != "" {
		fix = "did you mean --" + near + "? " + fix
	}
	l.wrong("command line", "unknown flag "+Quote("--"+name), fix)
	// The argument after an unknown flag is most likely its value, and not another error.
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && !strings.Contains(arg, "=") {
		return rest[1:]
	}
	return rest
}

func inputNames() []string {
	var names []string
	for _, in := range allFlags() {
		names = append(names, in.Name)
	}
	return names
}

const usage = `Usage:
  eval-images --sdk-ref REF [flags]       make sure that every evaluation image exists in a registry
  eval-images verify IMAGE... [flags]     build these images natively under other tags, and compare
  eval-images merge DIR...                merge the results of the shards of one run
  eval-images prune-bases [flags]         list the eval-bases that nothing uses any more, and delete them

Without arguments, eval-images is a GitHub action and reads its inputs from INPUT_ variables.
For verify, use the flags that the images were made with.
`

func printHelp(w io.Writer) {
	fmt.Fprint(w, usage)
	group := Group("")
	for _, in := range allFlags() {
		if in.Group != group {
			group = in.Group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		value := " VALUE"
		if in.kind == boolean {
			value = ""
		}
		fmt.Fprintf(w, "  --%s%s\n      %s\n", in.Name, value, in.Description())
	}
}
