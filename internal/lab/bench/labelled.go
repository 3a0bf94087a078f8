package bench

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/lab/bases"
)

// evalBaseRepository is the repository of the eval-bases of images in the repository rebase: the default.
const evalBaseRepository = "rebase-base"

// labelEvalBases gives all other instances an eval-base with a configuration of its own, by changing a label. A dry run names the
// missing ones. Any layers will do, because nothing reads them.
func (b *bench) labelEvalBases(ctx context.Context, commit string) error {
	images, err := b.plan(ctx, b.rebaseStep(commit, nil, b.image("rebase"), "plan").Inputs)
	if err != nil {
		return err
	}
	repository, err := name.NewRepository(b.Values["LAB_REGISTRY"] + "/" + b.path(evalBaseRepository))
	if err != nil {
		return fmt.Errorf("naming the repository of the eval-bases: %w", err)
	}
	var there, missing []name.Tag
	var missingBases []string
	for _, image := range images {
		switch tag := repository.Tag(image.EvalBaseTag); image.EvalBase {
		case "present":
			there = append(there, tag)
		case "missing":
			missing, missingBases = append(missing, tag), append(missingBases, image.BaseImage)
		}
	}
	const want = wholeBenchmark + references - rebased // a plan is for the whole dataset
	if len(there) != rebased || len(missing) != want {
		return fmt.Errorf("a dry run found %d eval-bases and missed %d, want %d and %d", len(there), len(missing), rebased, want)
	}
	return bases.PushLabelled(ctx, there, missing, missingBases)
}
