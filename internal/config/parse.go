package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// evalEnvBenchmark is the benchmark whose evaluation has images of its own.
const evalEnvBenchmark = "swtbench"

// The strategies. If an image cannot be rebased, StrategyAuto builds it natively and StrategyRebase fails it.
const (
	StrategyAuto   = "auto"
	StrategyNative = "native"
	StrategyRebase = "rebase"
)

// Parse makes a Config of the inputs. get returns the value of an input by name, or "" if it is not given: GitHub does not
// tell an empty value from none. The error joins an *InputError for each invalid input. The Config is complete even then, so
// that a caller can look for more errors, but the fields of the invalid inputs mean nothing.
func Parse(get func(name string) string) (Config, error) {
	p := &parser{get: get, refused: map[string]bool{}, mistakes: map[string]int{}}
	benchmark, dryRun := p.benchmark(), p.boolean("dry-run")
	c := Config{
		Benchmark:         benchmark,
		Dataset:           p.textOr("dataset", benchmark.Dataset),
		Split:             p.textOr("split", benchmark.Split),
		SDKRef:            p.requiredUnlessSDKPath("sdk-ref", dryRun),
		SDKRepository:     p.requiredUnlessSDKPath("sdk-repository", true),
		SDKPath:           p.text("sdk-path"),
		SDKOptions:        p.options(),
		InstanceIDs:       p.instanceIDs(),
		InstancesFile:     p.text("instances-file"),
		Limit:             p.integer("n-limit"),
		Shard:             p.shard(),
		Image:             p.text("image"),
		BaseImageTemplate: p.baseImageTemplate(benchmark),
		CustomTagTemplate: p.template("custom-tag-template", TagPlaceholders, columnPlaceholder),
		Target:            p.text("target"),
		Strategy:          p.choice("strategy"),
		Verify:            p.integer("verify"),
		VerifyGiven:       p.given("verify") != "",
		VerifyTree:        p.boolean("verify-tree"),
		EvalBaseMaxAge:    p.duration("eval-base-max-age"),
		Load:              p.boolean(loadFlag),
		ForceBuild:        p.boolean("force-build"),
		DryRun:            dryRun,
		Format:            p.choice(FormatFlag),
		MaxWorkers:        p.integerOr("max-workers", benchmark.MaxWorkers),
		MaxRetries:        p.integer("max-retries"),
		Deadline:          p.duration("deadline"),
		DeadlineOpen:      p.given("deadline") == "",
		MissingAllowed:    p.missingAllowed(),
		BatchSize:         p.integer("batch-size"),
		CacheMode:         p.choice("cache-mode"),
		ImageTimeout:      p.duration("image-timeout"),
		StallTimeout:      p.duration("stall-timeout"),
		Builder:           p.text("builder"),
		BuildkitdConfig:   p.text("buildkitd-config-inline"),
		KeepStorageGB:     p.integer("keep-storage-gb"),
		PruneThreshold:    p.integer("prune-threshold-percent"),
		Registry:          p.credentials("registry"),
		BaseRegistry:      p.credentials("base-registry"),
		HFToken:           p.text("hf-token"),
		BuildDir:          filepath.Clean(p.text("build-dir")),
		Title:             p.textOr("title", benchmark.Title),
		Artifact:          p.text("artifact"),
		PreviousSummary:   p.text(PreviousSummaryInput),
	}
	c.EvalBaseGiven = p.given("eval-base-image") != ""
	c.EvalBaseImage = p.textOr("eval-base-image", evalBaseImageOf(c.Image))
	if LocalDataset(c.Dataset) {
		c.Dataset = filepath.Clean(c.Dataset)
	}
	if len(c.InstanceIDs) > 0 && c.Limit > 0 {
		c.Limit, c.limitUnused = 0, true
	}
	c.EvalEnv = p.evalEnv(benchmark)
	c.TagTemplateGiven = c.CustomTagTemplate != ""
	if !c.TagTemplateGiven {
		c.CustomTagTemplate = defaultTagTemplate(benchmark, c.SDKOptions)
	}
	if c.Load {
		p.checkLoad(&c)
	}
	if c.Format == "json" && !c.DryRun {
		p.wrong(FormatFlag, "add --dry-run; a run writes build-summary.json", `"json" needs a dry run`)
	}
	// The configuration of a builder that exists cannot be changed. A registry that is reached in another way than the user
	// configured shows only as a failed push.
	if c.BuildkitdConfig != "" && c.Builder != "" && !p.refused["builder"] {
		p.wrong("buildkitd-config-inline", "leave builder empty, or configure the builder where it is created "+
			"(docker/setup-buildx-action has an input of the same name)",
			"cannot configure the existing builder %s", Quote(redacted(c.Builder)))
	}
	return c, errors.Join(p.errors...)
}

// evalBaseImageOf returns the repository of the eval-base images where none is given. It is not that of the images: clean-up jobs
// delete old versions there, and a run without its eval-bases takes hours.
func evalBaseImageOf(image string) string {
	if image == defaultImage {
		return defaultEvalBaseImage
	}
	return image + "-base"
}

// checkLoad refuses what cannot be combined with load. One image is built at a time, by the SDK.
func (p *parser) checkLoad(c *Config) {
	const without = "leave out one of the two"
	if c.Strategy == StrategyRebase {
		p.wrong(loadFlag, without, "cannot be combined with strategy rebase: images are rebased in a registry")
	}
	if c.EvalEnv != nil {
		p.wrong(loadFlag, without, "cannot be combined with build-eval-env: environment images are pushed to a registry")
	}
	if c.VerifyGiven && c.Verify > 0 {
		p.wrong(loadFlag, without, "cannot be combined with verify: nothing is rebased")
	}
	c.Strategy, c.MaxWorkers, c.Verify = StrategyNative, 1, 0
}

// evalEnv reads the inputs of environment images. It returns nil where the run does not make them.
func (p *parser) evalEnv(b Benchmark) *EvalEnv {
	e := EvalEnv{
		Prefix: p.text("eval-image-prefix"), BatchSize: p.integer("eval-env-build-batch-size"),
		Repository: p.text("swt-bench-repository"), Ref: p.text("swt-bench-ref"),
	}
	if !p.boolean("build-eval-env") {
		return nil
	}
	if b.Name != evalEnvBenchmark && !p.refused["benchmark"] {
		p.wrong("build-eval-env", "leave it out, or set benchmark: "+evalEnvBenchmark, "only %s has environment images", evalEnvBenchmark)
	}
	return &e
}

// defaultTagTemplate adds the SDK options to the benchmark's template: they change the content of an image, and the SDK's
// own tags do not show it.
func defaultTagTemplate(b Benchmark, options []Option) string {
	if len(options) == 0 {
		return b.CustomTagTemplate
	}
	last := strings.LastIndexByte(b.CustomTagTemplate, '{') // the instance's own part
	return b.CustomTagTemplate[:last] + OptionsPlaceholder + "-" + b.CustomTagTemplate[last:]
}

// benchmark returns the preset that was chosen, or an empty one.
func (p *parser) benchmark() Benchmark {
	given := p.given("benchmark")
	for _, b := range presets {
		if given == b.Name || given != "" && given == b.OtherName {
			return b
		}
	}
	return presetNamed(p.choice("benchmark"))
}

// presetNamed returns the preset of that name, or an empty one.
func presetNamed(name string) Benchmark {
	for _, b := range presets {
		if b.Name == name {
			return b
		}
	}
	return Benchmark{}
}

// parser reads inputs and collects what is wrong with them.
type parser struct {
	get    func(string) string
	errors []error
	// refused are the inputs with an error, so that they are not called missing as well. mistakes counts the errors of each.
	refused  map[string]bool
	mistakes map[string]int
}

// maxMistakes is how many errors are told of one input. A file in the place of a list has one on each line.
const maxMistakes = 10

func (p *parser) wrong(input, fix, problem string, args ...any) {
	p.refused[input] = true
	if p.mistakes[input]++; p.mistakes[input] > maxMistakes {
		return
	}
	p.errors = append(p.errors, &InputError{Input: input, Problem: fmt.Sprintf(problem, args...), Fix: fix})
}

// given returns the value of an input, without spaces around it, or "". Control characters are refused: no input needs them,
// and a line break could forge lines in logs and files.
func (p *parser) given(input string) string {
	v := strings.TrimSpace(p.get(input))
	in := inputNamed(input)
	allowed := ""
	if in.kind == lines || in.kind == secretLines {
		allowed = "\n\r\t"
	}
	control := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) }
	if !strings.ContainsFunc(v, control) {
		return v
	}
	shown := Quote(v)
	if in.kind == secret || in.kind == secretLines {
		shown = "the value"
	}
	if !p.refused[input] {
		p.wrong(input, "write it on one line, without tabs and control characters", "%s contains a line break or control character", shown)
	}
	return ""
}

// text reads an input, or its default.
func (p *parser) text(input string) string { return p.textOr(input, inputNamed(input).Default) }

func (p *parser) textOr(input, otherwise string) string {
	v, check := p.given(input), inputNamed(input).check
	if v == "" {
		return otherwise
	}
	if check != nil {
		if problem, fix := check(v); problem != "" {
			p.wrong(input, fix, "%s", problem)
		}
	}
	return v
}

func (p *parser) integer(input string) int {
	otherwise, _ := strconv.Atoi(inputNamed(input).Default) // a test parses every default
	return p.integerOr(input, otherwise)
}

func (p *parser) integerOr(input string, otherwise int) int {
	in, v := inputNamed(input), p.given(input)
	if v == "" {
		return otherwise
	}
	n, ok := intInRange(v, in.least, in.most)
	if !ok {
		number := fmt.Sprintf("a whole number from %d to %d", in.least, in.most)
		if in.most == math.MaxInt {
			number = fmt.Sprintf("a whole number of at least %d", in.least)
		}
		fix := fmt.Sprintf("write %s, or leave it empty for %d", number, otherwise)
		if bare := numberWithUnit.FindStringSubmatch(v); bare != nil {
			fix = "write the number alone, " + bare[1] + ": " + number
		}
		p.wrong(input, fix, "%s is not %s", Quote(v), number)
		return otherwise
	}
	return n
}

// numberWithUnit matches a number with a unit after it, which no number takes: "60GB".
var numberWithUnit = regexp.MustCompile(`^([0-9]+) ?[A-Za-z%]+$`)

// intInRange parses a whole number between two limits.
func intInRange(v string, least, most int) (n int, ok bool) {
	n, err := strconv.Atoi(v)
	return n, err == nil && least <= n && n <= most
}

func (p *parser) choice(input string) string {
	in := inputNamed(input)
	v := p.textOr(input, in.Default)
	if !slices.Contains(in.choices, v) {
		fix := "write " + listed(in.choices)
		if near := Nearest(v, in.choices); near != "" {
			fix = "did you mean " + near + "? The choices are " + listed(in.choices)
		}
		p.wrong(input, fix, "%s is unknown", Quote(v))
	}
	return v
}

// boolean takes the words of the core schema of YAML 1.2, as getBooleanInput of the Actions toolkit does.
func (p *parser) boolean(input string) bool {
	switch v := p.given(input); v {
	case "true", "True", "TRUE":
		return true
	case "", "false", "False", "FALSE":
	default:
		p.wrong(input, "write true or false", "%s is not a boolean", Quote(v))
	}
	return false
}

func (p *parser) duration(input string) time.Duration {
	in, v := inputNamed(input), p.text(input)
	if v == "" { // it has no default
		return 0
	}
	d, err := parseDuration(v)
	_, notNumber := strconv.ParseFloat(v, 64)
	const fix = "write a duration such as 90s, 30m, 12h or 30d"
	switch {
	case err != nil && notNumber == nil:
		p.wrong(input, fix, "%s has no unit", Quote(v))
	case err != nil:
		p.wrong(input, fix, "%s is not a duration", Quote(v))
	case d < time.Duration(in.least):
		p.wrong(input, fix, "%s is too short", Quote(v))
	}
	return d
}

// missingAllowed reads fail-on as the percentage of the images that may be missing.
func (p *parser) missingAllowed() int {
	const input = "fail-on"
	const fix = "write any, never, or a percentage of the images such as 5%"
	v := p.text(input)
	number, percentage := strings.CutSuffix(v, "%")
	percent, ok := intInRange(strings.TrimSpace(number), 0, 100)
	switch near := Nearest(v, []string{failOnAny, failOnNever}); {
	case v == failOnAny:
		return 0
	case v == failOnNever:
		return 100
	case percentage && ok:
		return percent
	case percentage:
		p.wrong(input, fix, "%s is not a whole percentage from 0%% to 100%%", Quote(v))
	case ok:
		p.wrong(input, fix, "%s has no percent sign", Quote(v))
	case near != "":
		p.wrong(input, "did you mean "+near+"? "+fix, "%s is unknown", Quote(v))
	default:
		p.wrong(input, fix, "%s is unknown", Quote(v))
	}
	return 0
}

var days = regexp.MustCompile(`^([0-9]{1,5})d$`)

// parseDuration also knows days, which time.ParseDuration does not.
func parseDuration(v string) (time.Duration, error) {
	if number := days.FindStringSubmatch(v); number != nil {
		n, err := strconv.Atoi(number[1])
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(v)
}

// requiredUnlessSDKPath reads sdk-ref or sdk-repository. With sdk-path both have to be empty: the SDK is the HEAD of that
// checkout.
func (p *parser) requiredUnlessSDKPath(input string, optional bool) string {
	if strings.TrimSpace(p.get("sdk-path")) != "" {
		if v := p.given(input); v != "" {
			p.wrong(input, "leave out "+input+" to use the HEAD of sdk-path, or leave out sdk-path",
				"%s cannot be combined with sdk-path", Quote(redacted(v)))
		}
		return ""
	}
	v := p.text(input)
	if v == "" && !optional && !p.refused[input] {
		p.wrong(input, "write "+refExample+"; or set sdk-path", "is required")
	}
	return v
}

func (p *parser) options() []Option {
	const input = "sdk-options"
	var options []Option
	for line := range strings.FieldsFuncSeq(p.given(input), func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		field, value, ok := strings.Cut(line, "=")
		o := Option{Name: strings.TrimSpace(field), Value: strings.TrimSpace(value)}
		switch {
		case !ok || !pythonName.MatchString(o.Name):
			p.wrong(input, "write one name=value per line", "%s is not name=value", Quote(line))
		case slices.ContainsFunc(options, func(other Option) bool { return other.Name == o.Name }):
			p.wrong(input, "set each option once", "%s is set twice", Quote(o.Name))
		default:
			options = append(options, o)
		}
	}
	return options
}

func (p *parser) instanceIDs() []string {
	const input = "instance-ids"
	const fix = "leave it empty to build the whole benchmark, or write ids such as django__django-11333"
	v := p.given(input)
	if v == "" {
		return nil
	}
	var list []string
	if strings.HasPrefix(v, "[") && json.Unmarshal([]byte(v), &list) == nil {
		if len(list) == 0 {
			p.wrong(input, fix, "%s is an empty list", Quote(v))
			return nil
		}
		p.wrong(input, "write the ids alone, without brackets and quotes: "+strings.Join(list[:min(3, len(list))], ","), "%s is a list in JSON", Quote(v))
		return nil
	}
	ids := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(ids) == 0 {
		p.wrong(input, fix, "%s contains no instance id", Quote(v))
	}
	return ids
}

var shardForm = regexp.MustCompile(`^([0-9]{1,6})/([0-9]{1,6})$`)

func (p *parser) shard() Shard {
	const input = "shard"
	v := p.given(input)
	if v == "" {
		return Shard{}
	}
	if parts := shardForm.FindStringSubmatch(v); parts != nil {
		count, ok := intInRange(parts[2], 1, mostShards)
		if index, inside := intInRange(parts[1], 1, count); ok && inside {
			return Shard{Index: index, Count: count}
		}
	}
	p.wrong(input, "write INDEX/COUNT, such as 2/4 for the second of four parts", "%s is none of 1/n to n/n, with n from 1 to %d", Quote(v), mostShards)
	return Shard{}
}

func (p *parser) baseImageTemplate(b Benchmark) string {
	const input = "base-image-template"
	v := p.template(input, BasePlaceholders, columnPlaceholder)
	if v == "" {
		return b.BaseImageTemplate
	}
	if !p.refused[input] {
		if problem, fix := checkBaseImage(v); problem != "" {
			p.wrong(input, fix, "%s", problem)
		}
	}
	return v
}

// credentials reads a user name and a password. Its errors never quote a value, not even the user name: at some registries
// it is part of the secret.
func (p *parser) credentials(which string) Credentials {
	user, password := which+"-username", which+"-password"
	c := Credentials{Username: p.given(user), Password: p.given(password)}
	if p.refused[user] || p.refused[password] {
		return c
	}
	const fix = "set both or none; a secret that is not set arrives as an empty value"
	switch {
	case c.Username != "" && c.Password == "":
		p.wrong(password, fix, "is empty, but %s is set", user)
	case c.Username == "" && c.Password != "":
		p.wrong(user, fix, "is empty, but %s is set", password)
	}
	return c
}
