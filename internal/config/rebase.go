package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The strategies. With StrategyAuto an image that cannot be rebased is built natively; with StrategyRebase it fails.
const (
	StrategyAuto   = "auto"
	StrategyNative = "native"
	StrategyRebase = "rebase"
)

const (
	defaultVerify = 1
	// mostVerified keeps a slip from becoming a run that builds everything twice.
	mostVerified = 1000
)

func (p *parser) evalBaseImage(image string) string {
	const input = "eval-base-image"
	v := p.given(input)
	if v == "" {
		return image
	}
	p.checkRepository(input, v, "the tags of eval-base images are keys")
	return v
}

// days is a number of days, a unit that time.ParseDuration does not have because days are not all equally long.
var days = regexp.MustCompile(`^([0-9]{1,5})d$`)

func (p *parser) evalBaseMaxAge() time.Duration {
	const input, fix = "eval-base-max-age", "write a number of days or hours, such as 30d or 168h, or 0 for any age"
	v := p.given(input)
	if v == "" {
		return 0
	}
	if found := days.FindStringSubmatch(v); found != nil {
		n, _ := strconv.Atoi(found[1]) // five digits always fit
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(v)
	if _, bare := strconv.ParseFloat(v, 64); err != nil && bare == nil {
		p.wrong(input, fix, "%s has no unit", Quote(v))
	} else if err != nil || d < 0 {
		p.wrong(input, fix, "%s is not a duration", Quote(v))
	}
	return d
}

// idleRebaseInputs warns of inputs that were given and change nothing.
func (c Config) idleRebaseInputs() []string {
	var idle []string
	for _, in := range []struct {
		name  string
		given bool
	}{
		{"verify", c.VerifyGiven && c.Verify > 0},
		{"verify-tree", c.VerifyTree},
		{"eval-base-image", c.EvalBaseImage != c.Image},
		{"eval-base-max-age", c.EvalBaseMaxAge > 0},
	} {
		if in.given {
			idle = append(idle, in.name)
		}
	}
	switch {
	case c.Strategy == StrategyNative && len(idle) > 0:
		return []string{fmt.Sprintf("%s changes nothing with strategy native: no image is rebased", strings.Join(idle, ", "))}
	case c.VerifyTree && c.Verify == 0:
		return []string{"verify-tree changes nothing with verify 0: no image is compared"}
	}
	return nil
}
