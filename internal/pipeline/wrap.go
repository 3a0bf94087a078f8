package pipeline

import (
	"path/filepath"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/wrap"
)

// wrapping has base images wrapped, where the plan says so, before next builds upon them.
func (r *run) wrapping(next build.Builder) build.Builder {
	return &wrap.Builder{
		Next: next, Registry: r.registry, Image: r.config.Image, Buildx: native.Buildx{Environ: r.buildEnviron()},
		Timeout: r.config.ImageTimeout, Force: r.config.ForceBuild,
		LogPath:  func(instance string) string { return filepath.Join(r.logs, native.LogName(instance)) },
		Relative: r.relative,
	}
}
