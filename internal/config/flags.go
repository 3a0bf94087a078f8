package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// ParseArgs makes a Config of a command line that has the inputs' names as flags, and may begin with VerifyCommand;
// without arguments, of the inputs themselves. For --help it writes the table of inputs to help and returns flag.ErrHelp.
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
	return c, errors.Join(append(line.mistakes, err)...)
}

// commandLine collects flags, and what is wrong with them.
type commandLine struct {
	values   map[string]string
	mistakes []error
	// verify says that the line began with VerifyCommand; what is no flag is then one of images.
	verify bool
	images []string
}

func (l *commandLine) wrong(input, problem, fix string) {
	l.mistakes = append(l.mistakes, &Mistake{Input: input, Problem: problem, Fix: fix})
}

// read goes on after a mistake, to find them all. It stops where help is asked for.
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
			l.wrong("command line", Quote(rest[0])+" is not a flag", "every value follows its flag's name, as in "+
				"--sdk-ref v1.58.2; that of a switch follows an equals sign, as in --force-build=false")
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
			if twice && !in.lines {
				l.wrong(in.Name, "is given twice", "give it once")
			}
			if twice && in.lines {
				v = old + "\n" + v
			}
			l.values[in.Name] = v
			return nil
		}
		if in.boolean {
			flags.BoolFunc(in.Name, in.Text(), set)
		} else {
			flags.Func(in.Name, in.Text(), set)
		}
	}
	return flags
}

// refuse explains what package flag did not take and gives what is left to read. Only the flag's name is shown: its
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
	l.wrong("command line", "there is no flag "+Quote("--"+name), fix)
	// What follows an unknown flag is most likely its value, and not one more mistake.
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

func printHelp(w io.Writer) {
	fmt.Fprint(w, "eval-images makes sure that every evaluation image exists in a registry for one ref of the SDK.\n\n"+
		"Without arguments it is a GitHub action and reads its inputs from INPUT_ variables; else from these flags.\n"+
		"eval-images merge DIR... adds up what the shards of one run have left in folders.\n"+
		"eval-images verify IMAGE... builds the images named natively under other tags, with the flags that they were made\n"+
		"with, and compares.\n\n")
	for _, in := range allFlags() {
		value := " VALUE"
		if in.boolean {
			value = ""
		}
		fmt.Fprintf(w, "  --%s%s\n      %s\n", in.Name, value, in.Text())
	}
}
