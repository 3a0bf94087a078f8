package pipeline

import (
	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/wrap"
)

// wrapping has base images wrapped, where the plan says so, before next builds upon them.
func (r *run) wrapping(next build.Builder) build.Builder { return r.wrapper(next) }

func (r *run) wrapper(next build.Builder) *wrap.Builder {
	return &wrap.Builder{
		Next: next, Registry: r.registry, Image: r.config.Image, Buildx: native.Buildx{Environ: r.buildEnviron(), Ready: r.needBuilder},
		Timeout: r.config.ImageTimeout, Force: r.config.ForceBuild,
		LogPath:  r.logOfInstance,
		Relative: r.relative,
	}
}
