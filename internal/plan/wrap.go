package plan

import "github.com/OpenHands/eval-images/internal/config"

// wrap says of each target what its base image is wrapped with before the SDK builds upon it.
func wrap(targets []Target, b config.Benchmark) {
	for i := range targets {
		targets[i].PipRequirements = b.Wrap(targets[i].InstanceID)
	}
}
