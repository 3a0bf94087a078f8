package pipeline

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// cloneSDK makes a checkout of our own of what sdk-path, or sdk-repository and sdk-ref, name. What the user can correct
// there is a refusal.
func (r *run) cloneSDK(ctx context.Context) (sdk.Checkout, error) {
	dir := filepath.Join(r.temporary, "sdk")
	var checkout sdk.Checkout
	var err error
	if r.config.SDKPath != "" {
		checkout, err = sdk.CloneWorkTree(ctx, r.workTree(r.config), dir, r.commands)
	} else {
		source := sdk.Source{Repository: r.config.SDKRepository, Ref: r.config.SDKRef}
		checkout, err = sdk.Clone(ctx, source, dir, r.commands)
	}
	var badRef *sdk.RefError
	var badPath *sdk.PathError
	if errors.As(err, &badRef) || errors.As(err, &badPath) {
		err = refusal{err}
	}
	return checkout, err
}

func (r *run) workTree(c config.Config) sdk.WorkTree {
	return sdk.WorkTree{Base: r.workspace, Path: c.SDKPath, Record: c.BuildDir}
}

// checkPath looks at sdk-path as far as that goes without git, to tell what is wrong there with the other mistakes.
func (r *run) checkPath(c config.Config) error {
	if c.SDKPath == "" {
		return nil
	}
	return r.workTree(c).Check()
}
