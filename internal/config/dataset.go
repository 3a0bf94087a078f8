package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Shard is part Index of Count, from 1. The zero value is no shard: all.
type Shard struct{ Index, Count int }

// String is the shard as it was typed, "2/4", and empty for all.
func (s Shard) String() string {
	if s.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// LocalDataset tells a file of the workspace from a dataset of the hub: by its name's end, as OpenHands/benchmarks does.
func LocalDataset(name string) bool {
	return strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".json")
}

// hubName is a dataset's on the hub: an owner and a name, or a name alone for the oldest ones.
var hubName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*/)?[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func (p *parser) dataset(b Benchmark) string {
	const input = "dataset"
	v := p.or(input, b.Dataset)
	switch {
	case v == "": // the benchmark is unknown, and has been told so
	case LocalDataset(v):
		if !filepath.IsLocal(v) {
			p.wrong(input, "write a path relative to the workspace, such as data/instances.jsonl", "%s is not inside the workspace", Quote(v))
			return v
		}
		return filepath.Clean(v)
	case !hubName.MatchString(v) || strings.Contains(v, ".."):
		p.wrong(input, "write the hub's name of a dataset, such as "+presets[0].Dataset+", or a .jsonl or .json file in the workspace",
			"%s is not a dataset's name", Quote(v))
	}
	return v
}

// splitName is what the hub allows. The slices of Python's datasets library, test[:10], are no names.
var splitName = regexp.MustCompile(`^\w+(\.\w+)*$`)

func (p *parser) split(b Benchmark) string {
	const input = "split"
	v := p.or(input, b.Split)
	if v != "" && !splitName.MatchString(v) {
		fix := "write a split such as " + presets[0].Split
		if strings.Contains(v, "[") {
			fix += "; n-limit takes a part of it"
		}
		p.wrong(input, fix, "%s is not a split's name", Quote(v))
	}
	return v
}

func (p *parser) limit() int {
	const input = "n-limit"
	v := p.given(input)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		p.wrong(input, "write how many instances to take, or 0 for all", "%s is not a whole number", Quote(v))
		return 0
	}
	return n
}

// maxShards keeps a slip of the pen from making a plan of thousands of empty runs.
const maxShards = 1000

var shardForm = regexp.MustCompile(`^([0-9]{1,6})/([0-9]{1,6})$`)

func (p *parser) shard() Shard {
	const input, fix = "shard", "write which part of how many, counted from 1, such as 2/4"
	v := p.given(input)
	if v == "" {
		return Shard{}
	}
	parts := shardForm.FindStringSubmatch(v)
	if parts == nil {
		p.wrong(input, fix, "%s is not a part of a whole", Quote(v))
		return Shard{}
	}
	s := Shard{}
	s.Index, _ = strconv.Atoi(parts[1]) // six digits always fit
	s.Count, _ = strconv.Atoi(parts[2])
	if s.Count < 1 || s.Count > maxShards || s.Index < 1 || s.Index > s.Count {
		p.wrong(input, fix, "%s is none of 1/n to n/n, with n from 1 to %d", Quote(v), maxShards)
		return Shard{}
	}
	return s
}

// FormatFlag is a flag of the command line alone: a workflow reads a dry run's outputs and summary.
const FormatFlag = "format"

// PrintsJSON tells a command line that asks for JSON before anything of it is checked.
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

func (p *parser) format(dryRun bool) string {
	v := p.choice(FormatFlag, "text", "text", "json")
	if v == "json" && !dryRun {
		p.wrong(FormatFlag, "add --dry-run: only a plan is printed as JSON; a run leaves build-summary.json", `"json" needs a dry run`)
	}
	return v
}

// Selection names the preset's own list of instances, where it counts: for its own dataset and split, when the user has
// chosen no instances.
func (c Config) Selection() string {
	b := c.Benchmark
	if len(c.InstanceIDs) > 0 || c.InstancesFile != "" || c.Dataset != b.Dataset || c.Split != b.Split {
		return ""
	}
	return b.Selection
}

// Columns names the dataset's columns that a run needs beside the instance's id.
func (c Config) Columns() []string {
	columns := Columns(c.BaseImageTemplate)
	if filled := c.Benchmark.Filled; filled != "" && !slices.Contains(columns, filled) {
		columns = append(columns, filled)
	}
	return columns
}

// Datasets names the presets' datasets.
func Datasets() []string {
	var names []string
	for _, b := range presets {
		names = append(names, b.Dataset)
	}
	return names
}
