package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// before runs the SDK's own command line once for each image, with or without an sdist that was made ahead.
func (b *bench) before(ctx context.Context, commit, repository string, sdistOnce bool) ([]phase, time.Duration, error) {
	env := map[string]string{"REF": commit, "SDIST": "each", "WORKERS": fmt.Sprint(workers), "IMAGE": b.image(repository)}
	if sdistOnce {
		env["SDIST"] = "once"
	}
	begin := time.Now()
	phases, err := b.script(ctx, "before.sh", b.list(), env, asFlags(b.Values["LAB_SDK_OPTIONS"])...)
	return phases, time.Since(begin), err
}

// list has a line for each image: base image and custom tag.
func (b *bench) list() string {
	var lines strings.Builder
	for _, id := range b.Instances {
		repo, name, _ := strings.Cut(id, "__")
		base := strings.NewReplacer("{repo}", repo, "{name}", name, "{instance_id}", id, "{arch}", "x86_64").
			Replace(b.Values["LAB_BASE_IMAGE_TEMPLATE"])
		fmt.Fprintf(&lines, "%s sweb.eval.x86_64.%s_1776_%s\n", base, repo, name)
	}
	return lines.String()
}

// asFlags turns name=value of a BuildOptions field into the flag that the SDK's command line has for it.
func asFlags(option string) []string {
	name, value, ok := strings.Cut(option, "=")
	if !ok {
		return nil
	}
	return []string{"--" + strings.ReplaceAll(name, "_", "-") + "=" + value}
}
