package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

const (
	defaultSDKRepository = "https://github.com/OpenHands/software-agent-sdk.git"
	defaultImage         = "ghcr.io/openhands/eval-agent-server"
	defaultTarget        = "source-minimal"
	defaultStrategy      = StrategyAuto
	defaultCacheMode     = "off"
	defaultBuildDir      = "builds"
)

// Parse makes a Config of the inputs: get gives an input's value by its name, "" meaning that it was not given (an empty
// string that a workflow writes out cannot be told from that). The error joins every *Mistake there is; the Config that
// comes with it has zero values where the mistakes are, so that a caller can look for more of them in the rest.
func Parse(get func(name string) string) (Config, error) {
	p := &parser{get: get, unusable: map[string]bool{}}
	benchmark, dryRun := p.benchmark(), p.boolean("dry-run")
	c := Config{
		Benchmark:         benchmark,
		Dataset:           p.dataset(benchmark),
		Split:             p.split(benchmark),
		SDKRef:            p.unlessPath("sdk-ref", func() string { return p.ref(dryRun) }),
		SDKRepository:     p.unlessPath("sdk-repository", p.repository),
		SDKPath:           p.given("sdk-path"),
		SDKOptions:        p.options(),
		InstanceIDs:       p.instanceIDs(),
		InstancesFile:     p.given("instances-file"),
		Limit:             p.limit(),
		Shard:             p.shard(),
		Image:             p.image(),
		BaseImageTemplate: p.baseImageTemplate(benchmark),
		CustomTagTemplate: p.template("custom-tag-template", TagPlaceholders),
		Target:            p.target(),
		Strategy:          p.choice("strategy", defaultStrategy, StrategyAuto, StrategyNative, StrategyRebase),
		Verify:            p.whole("verify", defaultVerify, 0, mostVerified),
		VerifyGiven:       p.given("verify") != "",
		VerifyTree:        p.boolean("verify-tree"),
		EvalBaseMaxAge:    p.evalBaseMaxAge(),
		ForceBuild:        p.boolean("force-build"),
		DryRun:            dryRun,
		Format:            p.format(dryRun),
		MaxWorkers:        p.maxWorkers(benchmark),
		MaxRetries:        p.maxRetries(),
		BatchSize:         p.whole("batch-size", defaultBatchSize, 1, 10_000),
		CacheMode:         p.choice("cache-mode", defaultCacheMode, "off", "min", "max"),
		ImageTimeout:      p.imageTimeout(),
		Builder:           p.builder(),
		BuildkitdConfig:   p.buildkitdConfig(),
		KeepStorageGB:     p.whole("keep-storage-gb", defaultKeepStorageGB, 0, 100_000),
		PruneThreshold:    p.whole("prune-threshold-percent", defaultPruneThreshold, 1, 100),
		Registry:          p.credentials("registry"),
		BaseRegistry:      p.credentials("base-registry"),
		HFToken:           p.given("hf-token"),
		BuildDir:          p.buildDir(),
		Title:             p.or("title", benchmark.Title),
	}
	if len(c.InstanceIDs) > 0 && c.Limit > 0 {
		c.Limit, c.limitUnused = 0, true
	}
	c.EvalBaseImage = p.evalBaseImage(c.Image)
	c.TagTemplateGiven = c.CustomTagTemplate != ""
	if !c.TagTemplateGiven {
		c.CustomTagTemplate = defaultTagTemplate(benchmark, c.SDKOptions)
	}
	return c, errors.Join(p.mistakes...)
}

// defaultTagTemplate adds the options to the preset's tag when there are any: they change an image's content, and the
// SDK's own tags do not show it.
func defaultTagTemplate(b Benchmark, options []Option) string {
	if len(options) == 0 {
		return b.CustomTagTemplate
	}
	const instance = "{instance_tag}"
	return strings.Replace(b.CustomTagTemplate, instance, OptionsPlaceholder+"-"+instance, 1)
}

// Warnings says what is allowed but probably not meant.
func (c Config) Warnings() []string {
	var warnings []string
	if c.TagTemplateGiven && len(c.SDKOptions) > 0 && !strings.Contains(c.CustomTagTemplate, OptionsPlaceholder) {
		warnings = append(warnings, fmt.Sprintf("custom-tag-template %s has no %s: images with other sdk-options get "+
			"the same tags, and are then skipped as present", Quote(c.CustomTagTemplate), OptionsPlaceholder))
	}
	if given := c.idleDiskInputs(); len(given) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s changes nothing with the builder %s: the disk of a buildkitd at an "+
			"address cannot be seen, and its cache is never pruned", strings.Join(given, ", "), c.Builder))
	}
	warnings = append(warnings, c.idleRebaseInputs()...)
	if len(c.InstanceIDs) > 0 && c.InstancesFile != "" {
		warnings = append(warnings, fmt.Sprintf("instances-file %s is not read, because instance-ids is given", Quote(c.InstancesFile)))
	}
	if c.limitUnused {
		warnings = append(warnings, "n-limit is not used, because instance-ids is given")
	}
	return warnings
}

// parser reads inputs and collects what is wrong with them.
type parser struct {
	get      func(string) string
	mistakes []error
	// unusable are inputs that were given and refused, so that they are not also called missing.
	unusable map[string]bool
}

func (p *parser) wrong(input, fix, problem string, args ...any) {
	p.unusable[input] = true
	p.mistakes = append(p.mistakes, &Mistake{Input: input, Problem: fmt.Sprintf(problem, args...), Fix: fix})
}

// given reads one input without the blanks around it. A line break or another control character within has no use in
// any input of one line, and could forge lines in logs and files.
func (p *parser) given(input string) string {
	v := strings.TrimSpace(p.get(input))
	known := inputNamed(input)
	allowed := ""
	if known.lines {
		allowed = "\n\r\t"
	}
	strange := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) }
	if !strings.ContainsFunc(v, strange) {
		return v
	}
	shown := Quote(v)
	if known.secret {
		shown = "the value"
	}
	p.wrong(input, "write it on one line, without tabs or control characters", "%s holds a line break or control character", shown)
	return ""
}

func (p *parser) or(input, otherwise string) string {
	if v := p.given(input); v != "" {
		return v
	}
	return otherwise
}

func (p *parser) requiredUnless(exempt bool, input, fix string) string {
	if exempt {
		return p.given(input)
	}
	return p.required(input, fix)
}

func (p *parser) required(input, fix string) string {
	v := p.given(input)
	if v == "" && !p.unusable[input] {
		p.wrong(input, fix, "is required")
	}
	return v
}

func (p *parser) choice(input, otherwise string, known ...string) string {
	v := p.or(input, otherwise)
	if !slices.Contains(known, v) {
		p.wrong(input, "write "+listed(known), "%s is unknown", Quote(v))
	}
	return v
}

func (p *parser) boolean(input string) bool {
	// The words of YAML's core schema, which is also what the Actions toolkit's getBooleanInput takes.
	switch v := p.given(input); v {
	case "true", "True", "TRUE":
		return true
	case "", "false", "False", "FALSE":
		return false
	default:
		p.wrong(input, "write true or false", "%s is not a boolean", Quote(v))
		return false
	}
}
