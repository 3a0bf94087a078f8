package cmd

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
)

// commandLine is what the arguments of the program ask for.
type commandLine struct {
	process Process
	env     environment

	command string   // buildCommand and so on, or noCommand
	args    []string // of verify and merge
	flags   config.Flags
	// mistakes are those that can be told together with wrong values. unknown is an unknown command, which is told alone.
	mistakes      []error
	unknown       error
	quiet         bool
	verbose       bool
	passwordStdin bool
	pruneOptions  pruneOptions
	code          int // with noCommand
}

// The commands that Run knows. plan and verify are ways of build. noCommand is what cobra has done alone: help, version, completion.
const noCommand, buildCommand, doctorCommand = "", "build", "doctor"

// passwordFlag is a flag of the command line only: the arguments of a process are visible to other users.
const passwordFlag = "registry-password-stdin"

// readCommandLine reads the arguments. It prints what they ask for of the program itself, such as help.
func readCommandLine(p Process) *commandLine {
	if p.Stderr == nil {
		p.Stderr = p.Stdout
	}
	l := &commandLine{process: p, env: environment(p.Environ)}
	root := l.root()
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetArgs(l.mended(root, p.Args))
	if err := root.Execute(); err != nil { // all mistakes are in l.mistakes
		fmt.Fprintln(p.Stderr, "error:", err)
		l.code = ExitBadInput
	}
	if dirs := strings.Fields(l.env.get(mergeVariable)); len(dirs) > 0 && len(p.Args) == 0 {
		l.command, l.args = mergeCommand, dirs
	}
	return l
}

func (l *commandLine) root() *cobra.Command {
	root := l.newCommand("eval-images [build]", "", "", l.build)
	root.Long = "eval-images makes sure that every SWE-Bench or SWT-Bench evaluation image exists in a container registry for one ref " +
		"of the OpenHands software-agent-sdk. As a GitHub action it has no arguments: its inputs are INPUT_ variables."
	root.Example = buildExamples + "eval-images plan --sdk-ref v1.58.2\neval-images doctor --image registry.example/me/eval"
	root.Version = version()
	root.SetVersionTemplate("eval-images {{.Version}}\n")
	root.PersistentFlags().BoolVarP(&l.quiet, "quiet", "q", false, "Log warnings and errors only.")
	root.PersistentFlags().BoolVarP(&l.verbose, "verbose", "v", false, "Also log what git, uv and buildx print.")
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { fmt.Fprint(c.OutOrStdout(), helpOf(c)) })
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "Describe a command.", Args: cobra.ArbitraryArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Run: func(c *cobra.Command, args []string) {
			if about, _, err := root.Find(args); err == nil {
				c = about
			}
			fmt.Fprint(root.OutOrStdout(), helpOf(c))
		},
	})
	build := l.newCommand(buildCommand, "Make the images that are missing. This is the default.", buildExamples, l.build)
	planned := l.newCommand("plan", "Print what a run would do, and build nothing.",
		"eval-images plan --benchmark swtbench --n-limit 5\neval-images plan --sdk-ref v1.58.2 --format json", l.plan)
	verify := l.newCommand(config.VerifyCommand+" IMAGE...", "Build images natively under other tags, and compare.",
		"eval-images verify --sdk-ref v1.58.2 ghcr.io/me/eval:TAG", l.verify)
	verify.Long = "Build these images natively under other tags, and compare. Use the flags that the images were made with."
	merge := l.newCommand(mergeCommand+" DIR...", "Merge the records of one plan's shards.", "eval-images merge shard-1 shard-2", l.merge)
	merge.Long = mergeHelp
	merge.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	shown := l.newCommand("version", "Print the version.", "", func(*cobra.Command, []string) {
		fmt.Fprintln(root.OutOrStdout(), "eval-images", version())
	})
	for _, c := range []*cobra.Command{root, build} {
		l.inputs(c)
	}
	l.inputs(planned, slices.DeleteFunc(config.FlagNames(), func(name string) bool { return name == "dry-run" })...)
	l.inputs(verify)
	doctor := l.newCommand(doctorCommand, "Check what a run needs, and say what to do.", "eval-images doctor --image registry.example/me/eval", l.doctor)
	doctor.Long = "Check what a run with these flags needs: programs, engine, builder, dataset, the rights to push and to pull, and disks. It " +
		"prints a line for each, with what to do. The exit code is 3 if a check fails."
	l.inputs(doctor, doctorFlags...)
	prune := l.newCommand(pruneCommand, "List the eval-bases that no run has used lately; with --delete, delete them.",
		"eval-images prune-bases --image ghcr.io/me/eval --days 180", l.prune)
	prune.Long = pruneHelp
	l.inputs(prune, pruneFlags...)
	l.pruneOptions.Days = defaultDays
	prune.Flags().Var(&l.pruneOptions.Days, "days", "Keep what was used in the last N days. Default "+defaultDays+".")
	prune.Flags().BoolVar(&l.pruneOptions.Delete, "delete", false, "Delete what is listed.")
	for _, c := range []*cobra.Command{build, planned, verify, merge, doctor, prune, shown} {
		root.AddCommand(c)
	}
	for _, name := range config.FlagNames() { // verify refuses them with a hint
		if flag := verify.Flags().Lookup(name); !slices.Contains(config.VerifyFlags(), name) {
			flag.Hidden = true
		}
	}
	return root
}

const buildExamples = "eval-images --sdk-ref v1.58.2 --image ghcr.io/me/eval\n" +
	"eval-images --sdk-ref v1.58.2 --instance-ids django__django-11333,sympy__sympy-20590\n"

// newCommand returns a command whose arguments run checks.
func (l *commandLine) newCommand(use, short, examples string, run func(c *cobra.Command, args []string)) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: examples, Run: run, Args: cobra.ArbitraryArgs,
		SilenceErrors: true, SilenceUsage: true, ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.InitDefaultHelpFlag()
	c.Flags().Lookup("help").Usage = "Print this help."
	return c
}

// inputs adds flags for inputs to a command, all of them if none is named.
func (l *commandLine) inputs(c *cobra.Command, names ...string) {
	l.flags.AddTo(c.Flags(), names...)
	c.Flags().BoolVar(&l.passwordStdin, passwordFlag, false, "Read registry-password from standard input.")
	c.Flags().VisitAll(func(flag *pflag.Flag) {
		var complete cobra.CompletionFunc
		switch flag.Name {
		case "dataset", "instances-file", "previous-summary", "sdk-path", "build-dir": // files, as shells complete them
			return
		case "instance-ids":
			complete = l.completeIDs
		default:
			complete = cobra.NoFileCompletions
		}
		if slices.Contains(config.FlagNames(), flag.Name) {
			if words := config.Choices(flag.Name); words != nil {
				complete = cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
			}
		}
		_ = c.RegisterFlagCompletionFunc(flag.Name, complete) // fails for a flag that has one
	})
}

// completeIDs completes the last of some ids, from the lists in this program.
func (l *commandLine) completeIDs(_ *cobra.Command, _ []string, typed string) (ids []string, _ cobra.ShellCompDirective) {
	last := strings.LastIndexByte(typed, ',') + 1
	known, _ := dataset.Embedded(config.DatasetOf(l.flags.Get("benchmark"))) // not every benchmark has one
	for _, id := range known {
		if strings.HasPrefix(id, typed[last:]) {
			ids = append(ids, typed[:last]+id)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (l *commandLine) build(c *cobra.Command, args []string) {
	l.refuse(c, args)
	l.command = buildCommand
}

func (l *commandLine) plan(c *cobra.Command, args []string) {
	l.flags.Set("dry-run", "true")
	l.build(c, args)
}

func (l *commandLine) doctor(c *cobra.Command, args []string) {
	l.flags.Set("dry-run", "true") // sdk-ref is not needed
	l.flags.Only(doctorFlags...)
	l.refuse(c, args)
	l.command = doctorCommand
}

func (l *commandLine) prune(c *cobra.Command, args []string) {
	l.flags.Set("dry-run", "true") // sdk-ref is not needed
	l.flags.Only(pruneFlags...)
	l.refuse(c, args)
	l.command = pruneCommand
}

func (l *commandLine) verify(_ *cobra.Command, args []string) {
	l.wrong(l.flags.CheckVerify(args))
	l.command, l.args = buildCommand, args
}

func (l *commandLine) merge(_ *cobra.Command, args []string) { l.command, l.args = mergeCommand, args }

func (l *commandLine) wrong(err error) { l.mistakes = append(l.mistakes, split(err)...) }

func (l *commandLine) mistake(input, problem, fix string) {
	l.wrong(&config.InputError{Input: input, Problem: problem, Fix: fix})
}

// refuse records arguments that a command does not take. The first one may be meant as a command.
func (l *commandLine) refuse(c *cobra.Command, args []string) {
	for _, arg := range args {
		if !c.HasParent() && arg == l.process.Args[0] {
			fix := "the commands are " + strings.Join(commandNames(c), ", ") + "; without one, images are made"
			if near := config.Nearest(arg, commandNames(c)); near != "" {
				fix = "did you mean " + near + "? --help lists commands and flags"
			}
			l.unknown = &config.InputError{Input: commandLineName, Problem: config.Quote(arg) + " is not a command", Fix: fix}
			return
		}
		l.mistake(commandLineName, config.Quote(arg)+" is neither a command nor the value of a flag",
			"write values after the name of a flag, as in --sdk-ref v1.58.2")
	}
}

// commandLineName takes the place of an input's name in errors about the command line as a whole.
const commandLineName = "command line"

func commandNames(root *cobra.Command) (names []string) {
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// record returns the record of the command. Outside of a runner the log goes to stderr. In a runner it goes to stdout, where the
// runner looks for commands, unless stdout gets a JSON document.
func (l *commandLine) record() *record {
	p := l.process
	if l.env.get("GITHUB_ACTIONS") == "true" && l.flags.Get(config.FormatFlag) != "json" {
		p.Stderr = p.Stdout
	}
	rec := newRecord(p, l.env)
	if l.quiet {
		rec.actions.Quiet()
	}
	if rec.actions.InActions() {
		return rec
	}
	for _, warning := range config.UnknownVariables(l.process.Environ) {
		rec.actions.Warning("", warning)
	}
	return rec
}

// workspace returns the workspace of the command: in a runner the one of the job, elsewhere the working directory.
func (l *commandLine) workspace(rec *record) *workspace {
	w := &workspace{root: l.process.Dir, confined: rec.actions.InActions(), verbose: l.verbose}
	if given := l.env.get("GITHUB_WORKSPACE"); given != "" && w.confined {
		w.root = given
	}
	return w
}

// parse makes a Config of the command line, the action's inputs and the environment. The error joins an *config.InputError for each
// mistake.
func (l *commandLine) parse(rec *record) (config.Config, error) {
	if l.unknown != nil {
		return config.Config{}, l.unknown
	}
	l.readPassword()
	variable := l.env.get
	if rec.actions.InActions() {
		variable = nil
	}
	c, err := config.Parse(l.flags.Sources(rec.actions.Input, variable))
	c.VerifyImages = l.args
	if rec.actions.InActions() {
		err = errors.Join(err, c.Confine())
	}
	return c, errors.Join(append(append(l.mistakes, l.flags.Err()), err)...)
}

// longestPassword limits what is read from standard input, in bytes.
const longestPassword = 64 << 10

func (l *commandLine) readPassword() {
	const input = "registry-password"
	if !l.passwordStdin {
		return
	}
	if l.flags.Get(input) != "" {
		l.mistake(passwordFlag, "cannot be combined with --"+input, "give one of the two")
		return
	}
	var text []byte
	var err error
	if l.process.Stdin != nil {
		text, err = io.ReadAll(io.LimitReader(l.process.Stdin, longestPassword))
	}
	password := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		l.mistake(passwordFlag, "standard input cannot be read: "+err.Error(), "write the password to it, as in eval-images --"+passwordFlag+" <FILE")
	case password == "":
		l.mistake(passwordFlag, "standard input has no password", "write the password to it, as in eval-images --"+passwordFlag+" <FILE")
	default:
		l.flags.Set(input, password)
	}
}

// mended returns args as pflag takes them. pflag stops at its first mistake, and all have to be told together: so those of flags are
// recorded and left out. Long flags may begin with one dash, as in package flag.
func (l *commandLine) mended(root *cobra.Command, args []string) []string {
	mended := []string{} // not nil: cobra would take the arguments of the process
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return append(mended, args...)
	}
	root.InitDefaultVersionFlag()
	root.Flags().Lookup("version").Usage = "Print the version."
	root.InheritedFlags() // adds the persistent flags to root.Flags
	args = longDashes(args, root.Flags())
	command, _, err := root.Find(args)
	if err != nil {
		command = root
	}
	command.InheritedFlags()
	flags := command.Flags()
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, value, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		next, hasNext := "", i+1 < len(args)
		if hasNext {
			next = args[i+1]
		}
		flag := flags.Lookup(name)
		switch {
		case arg == "--":
			return append(mended, args[i:]...)
		case !strings.HasPrefix(arg, "-"), arg == "-", isShorthands(arg, flags):
			mended = append(mended, arg)
		case !strings.HasPrefix(arg, "--"), flag == nil:
			l.unknownFlag(arg, command, flags)
			// The argument after an unknown flag is most likely its value, and not another mistake.
			if hasNext && !given && !strings.HasPrefix(next, "-") && !isCommand(root, next) {
				i++
			}
		case given:
			mended = append(mended, "--"+name+"="+value)
		case flag.NoOptDefVal != "" && slices.Contains([]string{"true", "false"}, strings.ToLower(next)):
			l.mistake(name, config.Quote(next)+" after it is not read", "write --"+name+" or --"+name+"=false")
			i++
		case flag.NoOptDefVal != "":
			mended = append(mended, arg)
		case !hasNext, strings.HasPrefix(next, "--") && flags.Lookup(strings.TrimPrefix(next, "--")) != nil:
			l.mistake(name, "has no value", "write --"+name+" VALUE")
		default:
			mended = append(mended, "--"+name+"="+next)
			i++
		}
	}
	return mended
}

// unknownFlag records an unknown flag. It shows the name only: the value may be a secret.
func (l *commandLine) unknownFlag(arg string, command *cobra.Command, flags *pflag.FlagSet) {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	var known []string
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	fix := strings.TrimSpace(strings.TrimPrefix(command.CommandPath()+" --help lists the flags", "eval-images"))
	if near := config.Nearest(name, known); near != "" {
		fix = "did you mean --" + near + "? " + fix
	}
	l.mistake(commandLineName, "unknown flag "+config.Quote("--"+name), fix)
}

func isCommand(root *cobra.Command, word string) bool {
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
}

// isShorthands reports whether arg is one dash and the letters of flags without values: "-qv".
func isShorthands(arg string, flags *pflag.FlagSet) bool {
	letters, ok := strings.CutPrefix(arg, "-")
	if !ok || letters == "" || strings.HasPrefix(letters, "-") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(letters, ""), func(letter string) bool { return flags.ShorthandLookup(letter) == nil })
}

// longDashes gives each flag with one dash and a known long name a second dash.
func longDashes(args []string, known *pflag.FlagSet) []string {
	long := slices.Clone(args)
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, _, given := strings.Cut(strings.TrimPrefix(args[i], "-"), "=")
		flag := known.Lookup(name)
		if !strings.HasPrefix(args[i], "-") || len(name) < 2 || flag == nil {
			continue
		}
		long[i] = "-" + args[i]
		if !given && flag.NoOptDefVal == "" {
			i++ // its value
		}
	}
	return long
}

// version is the version of this program, as its module system knows it, and its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	text := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			text += " (commit " + setting.Value + ")"
		}
	}
	return text
}
