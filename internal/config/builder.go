package config

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// OpenHands/benchmarks' own figures (BUILD_BATCH_SIZE, BUILDKIT_PRUNE_KEEP_GB and BUILDKIT_PRUNE_THRESHOLD_PCT).
const (
	defaultBatchSize      = 15
	defaultKeepStorageGB  = 60
	defaultPruneThreshold = 60
)

// builderName is what buildx takes for a name; it cannot be mistaken for an option.
var builderName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (p *parser) builder() string {
	const input = "builder"
	const fix = "pass the name output of docker/setup-buildx-action, or unix:///... or tcp://... of a buildkitd, or leave it empty"
	v := p.given(input)
	if v == "" {
		return v
	}
	if !strings.Contains(v, "://") {
		if !builderName.MatchString(v) {
			p.wrong(input, fix, "%s cannot be a builder's name", Quote(v))
		}
		return v
	}
	u, err := url.Parse(v)
	unix := err == nil && u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1
	tcp := err == nil && u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "" && strings.Trim(u.Path, "/") == ""
	if !unix && !tcp || u.User != nil {
		p.wrong(input, "write unix:///run/buildkit/buildkitd.sock or tcp://host:1234", "%s is not the address of a buildkitd", Quote(redacted(v)))
	}
	return v
}

// buildkitdConfig is refused where no builder is made of it: it would change nothing, and a registry that is reached
// another way than the user wrote shows only as a failed push.
func (p *parser) buildkitdConfig() string {
	const input = "buildkitd-config-inline"
	v := p.given(input)
	if builder := strings.TrimSpace(p.get("builder")); v != "" && builder != "" && !p.unusable["builder"] {
		p.wrong(input, "leave builder empty, or configure that builder where it is made (docker/setup-buildx-action "+
			"has an input of the same name)", "is for a builder of this run's own, and builder %s is used as it is", Quote(redacted(builder)))
	}
	return v
}

// whole reads a whole number between two limits.
func (p *parser) whole(input string, otherwise, least, most int) int {
	v := p.given(input)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		p.wrong(input, "write a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most)+", or leave it empty for "+
			strconv.Itoa(otherwise), "%s is not such a number", Quote(v))
		return otherwise
	}
	return n
}

// idleDiskInputs names the inputs that differ from their defaults and have no effect on a buildkitd at an address.
func (c Config) idleDiskInputs() []string {
	if !strings.Contains(c.Builder, "://") {
		return nil
	}
	var given []string
	if c.KeepStorageGB != defaultKeepStorageGB {
		given = append(given, "keep-storage-gb")
	}
	if c.PruneThreshold != defaultPruneThreshold {
		given = append(given, "prune-threshold-percent")
	}
	return given
}
