package plan

import "github.com/OpenHands/eval-images/internal/config"

// Shard is one run's part of a plan: of the sorted targets every Count-th, from the Index-th on. So each target is in one
// part, no part has two more than another, and each has its share of every repository, which are neighbours in the list:
// some repositories' images take far longer than others'.
func Shard(targets []Target, s config.Shard) []Target {
	if s.Count <= 1 {
		return targets
	}
	var part []Target
	for i := s.Index - 1; i < len(targets); i += s.Count {
		part = append(part, targets[i])
	}
	return part
}
