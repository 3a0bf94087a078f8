package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/OpenHands/eval-images/internal/config"
)

// The columns of the help: its width, and where the descriptions of flags begin.
const helpWidth, helpIndent = 100, 34

const precedence = "A flag wins over the INPUT_ variable that a runner sets for an input of the action. Outside of a runner the " +
	"variable EVAL_IMAGES_NAME comes next, such as EVAL_IMAGES_SDK_REF or EVAL_IMAGES_REGISTRY_PASSWORD. The default is last."

// helpOf returns the help of a command: usage, commands, examples, and flags by group.
func helpOf(c *cobra.Command) string {
	var out strings.Builder
	fmt.Fprintln(&out, wrapped(cmp.Or(c.Long, c.Short), 0))
	title := func(text string) { fmt.Fprintf(&out, "\n%s:\n", text) }
	title("Usage")
	usage := c.UseLine()
	if !strings.Contains(usage, "[flags]") {
		usage += " [flags]"
	}
	fmt.Fprintln(&out, "  "+usage)
	if commands := slices.DeleteFunc(slices.Clone(c.Commands()), func(c *cobra.Command) bool { return c.Hidden }); len(commands) > 0 {
		title("Commands")
		for _, sub := range commands {
			fmt.Fprintf(&out, "  %-14s%s\n", sub.Name(), sub.Short)
		}
		fmt.Fprintf(&out, "\n%s COMMAND --help describes a command and its flags.\n", c.CommandPath())
	}
	if c.Example != "" {
		title("Examples")
		for line := range strings.Lines(strings.TrimSpace(c.Example)) {
			fmt.Fprintln(&out, "  "+strings.TrimSpace(line))
		}
	}
	groups, names := config.FlagGroups()
	c.InheritedFlags() // adds the persistent flags to c.Flags
	inputs := 0
	for _, group := range groups {
		var flags []*pflag.Flag
		for _, name := range names[group] {
			flags = append(flags, c.Flags().Lookup(name))
			if name == "registry-password" {
				flags = append(flags, c.Flags().Lookup(passwordFlag))
			}
		}
		flags = slices.DeleteFunc(flags, func(f *pflag.Flag) bool { return f == nil || f.Hidden })
		if inputs += len(flags); len(flags) > 0 {
			title(string(group))
			writeFlags(&out, flags)
		}
	}
	var others []*pflag.Flag
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(config.FlagNames(), f.Name) && f.Name != passwordFlag && !f.Hidden {
			others = append(others, f)
		}
	})
	title("Other flags")
	writeFlags(&out, others)
	if inputs > 0 {
		fmt.Fprintln(&out, "\n"+wrapped(precedence, 0))
	}
	return out.String()
}

func writeFlags(out *strings.Builder, flags []*pflag.Flag) {
	for _, f := range flags {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.NoOptDefVal == "" {
			name += " " + f.Value.Type()
		}
		description := wrapped(f.Usage, helpIndent)
		if len(name) > helpIndent-4 {
			fmt.Fprintf(out, "  %s\n%s%s\n", name, strings.Repeat(" ", helpIndent), description)
			continue
		}
		fmt.Fprintf(out, "  %-*s%s\n", helpIndent-2, name, description)
	}
}

// wrapped breaks a text into lines that fit into the help. All but the first begin with indent blanks.
func wrapped(text string, indent int) string {
	var paragraphs []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var lines []string
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && indent+len(line)+1+len(word) > helpWidth {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		paragraphs = append(paragraphs, strings.Join(append(lines, line), "\n"+strings.Repeat(" ", indent)))
	}
	return strings.Join(paragraphs, "\n\n")
}
