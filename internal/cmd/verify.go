package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// verifyImages is the command verify. It builds the given images natively and compares them.
func verifyImages(ctx context.Context, c config.Config, p prepared, client *registry.Client, b *builder, work *workspace, rec *record) error {
	chosen, err := targetsOf(ctx, c.VerifyImages, p.targets, client)
	if err != nil {
		return badInput{err}
	}
	if err := b.Reach(ctx); err != nil {
		return err
	}
	settings := imageSettings(ctx, c, p.setUp, p.targets, false, b.environ, work, rec)
	amongImages(ctx, c, client).set(&settings) // what verify pushes is compared and deleted
	maker := image.New(settings, client, p.pool, b, reporter{rec, b})
	return rec.timed(ledger.VerifyPhase, func() error {
		var all sync.WaitGroup
		for i, t := range chosen {
			all.Go(func() { maker.VerifyImage(ctx, t, i+1, c.VerifyImages[i]) })
		}
		all.Wait()
		return nil
	})
}

// targetsOf finds the target of each image, by its tag or by the digest that its tags point to.
func targetsOf(ctx context.Context, images []string, targets []plan.Target, client *registry.Client) ([]plan.Target, error) {
	chosen := make([]plan.Target, len(images))
	var unknown []error
	for i, given := range images {
		found := slices.IndexFunc(targets, func(t plan.Target) bool { return slices.Contains(t.Tags, given) })
		if _, digest, byDigest := strings.Cut(given, "@"); byDigest {
			outcomes, _ := image.Present(ctx, client, targets)
			for at, out := range outcomes {
				if out.Digest == digest {
					found = at
				}
			}
		}
		if found < 0 {
			fix := "give the sdk-ref, benchmark and sdk-options that it was made with"
			if near := config.Nearest(given, allTags(targets)); near != "" {
				fix = "did you mean " + near + "? Otherwise " + fix
			}
			unknown = append(unknown, &config.InputError{
				Input: config.VerifyCommand, Problem: config.Quote(given) + " is none of the images that these inputs make", Fix: fix,
			})
			continue
		}
		chosen[i] = targets[found]
	}
	return chosen, errors.Join(unknown...)
}

// allTags lists the tags of all targets.
func allTags(targets []plan.Target) (all []string) {
	for _, t := range targets {
		all = append(all, t.Tags...)
	}
	return all
}
