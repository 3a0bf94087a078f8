package config

import (
	"fmt"
	"strings"
)

// manyWorkers are more than any machine of the SDK's maintainers builds at once.
const manyWorkers = 64

// Warnings lists inputs that are valid but probably not meant.
func (c Config) Warnings() []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if c.TagTemplateGiven && len(c.SDKOptions) > 0 && !strings.Contains(c.CustomTagTemplate, OptionsPlaceholder) {
		warn("custom-tag-template %s has no %s: images with other sdk-options get the same tags and are skipped as present",
			Quote(c.CustomTagTemplate), OptionsPlaceholder)
	}
	if unused := c.unusedDiskInputs(); len(unused) > 0 {
		warn("%s changes nothing with the builder %s: the cache of a remote buildkitd is never pruned",
			strings.Join(unused, ", "), c.Builder)
	}
	switch unused := c.rebaseInputs(); {
	case c.Strategy == StrategyNative && len(unused) > 0:
		warn("%s changes nothing with strategy native: no image is rebased", strings.Join(unused, ", "))
	case c.VerifyTree && c.Verify == 0:
		warn("verify-tree changes nothing with verify 0: no image is compared")
	}
	switch {
	case c.EvalEnv == nil:
	case c.EvalEnv.Prefix == defaultEvalImagePrefix && c.Image != defaultImage:
		warn("eval-image-prefix %s is OpenHands' default, and image is not: a login for image can probably not push environments there",
			Quote(c.EvalEnv.Prefix))
	case c.EvalEnv.Prefix != defaultEvalImagePrefix:
		warn("eval-image-prefix %s is not where SWT-Bench's evaluation pulls from: it asks for %s only", Quote(c.EvalEnv.Prefix), defaultEvalImagePrefix)
	}
	if c.MaxWorkers > manyWorkers {
		warn("max-workers %d builds as many images at once: each takes memory, disk and a part of the registry's limits; the benchmark's own is %d",
			c.MaxWorkers, c.Benchmark.MaxWorkers)
	}
	if len(c.InstanceIDs) > 0 && c.InstancesFile != "" {
		warn("instances-file %s is ignored, because instance-ids is given", Quote(c.InstancesFile))
	}
	if c.limitUnused {
		warn("n-limit is ignored, because instance-ids is given")
	}
	return warnings
}

// unusedDiskInputs names the inputs that have another value than the default, and no effect on a remote buildkitd.
func (c Config) unusedDiskInputs() []string {
	if !strings.Contains(c.Builder, "://") {
		return nil
	}
	return set(map[string]bool{
		"keep-storage-gb":         c.KeepStorageGB != defaultKeepStorageGB,
		"prune-threshold-percent": c.PruneThreshold != defaultPruneThreshold,
	})
}

// rebaseInputs names the inputs that are given and have an effect on rebased images only.
func (c Config) rebaseInputs() []string {
	return set(map[string]bool{
		"verify":            c.VerifyGiven && c.Verify > 0,
		"verify-tree":       c.VerifyTree,
		"eval-base-max-age": c.EvalBaseMaxAge > 0,
	})
}

// set lists the inputs that are true, in the order of the documentation.
func set(given map[string]bool) []string {
	var names []string
	for _, in := range inputs {
		if given[in.Name] {
			names = append(names, in.Name)
		}
	}
	return names
}
