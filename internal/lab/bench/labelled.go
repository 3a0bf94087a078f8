package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/lab/bases"
)

// evalBaseRepository is the repository of the eval-bases of images in the repository rebase: the default.
const evalBaseRepository = "rebase-base"

// labelEvalBases gives all other instances an eval-base with a configuration of its own, by changing a label. A dry run
// asks the registry for the missing eval-bases, so the access log has their tags. Any layers will do, because nothing
// reads them.
func (b *bench) labelEvalBases(ctx context.Context, commit string) error {
	since := time.Now()
	if _, err := b.plan(ctx, b.rebaseStep(commit, nil, b.image("rebase"), "plan").Inputs); err != nil {
		return err
	}
	asked, err := b.requestsTo(ctx, since, evalBaseRepository)
	if err != nil {
		return err
	}
	repository, err := name.NewRepository(b.Values["LAB_REGISTRY"] + "/" + b.path(evalBaseRepository))
	if err != nil {
		return fmt.Errorf("naming the repository of the eval-bases: %w", err)
	}
	there, missing := evalBases(asked)
	const want = wholeBenchmark + references - rebased // a plan is for the whole dataset
	if len(there) != rebased || len(missing) != want {
		return fmt.Errorf("a dry run found %d eval-bases and missed %d, want %d and %d", len(there), len(missing), rebased, want)
	}
	tags := func(names []string) (tags []name.Tag) {
		for _, n := range names {
			tags = append(tags, repository.Tag(n))
		}
		return tags
	}
	return bases.PushLabelled(ctx, tags(there), tags(missing))
}

// evalBases returns the tags of eval-bases in the requests, each once.
func evalBases(asked []request) (there, missing []string) {
	seen := map[string]bool{}
	for _, r := range asked {
		tag, ok := strings.CutPrefix(r.path, "manifests/")
		if !ok || !strings.HasPrefix(tag, "eval-base-") || seen[tag] {
			continue
		}
		switch seen[tag] = true; r.status {
		case "200":
			there = append(there, tag)
		case "404":
			missing = append(missing, tag)
		}
	}
	return there, missing
}
