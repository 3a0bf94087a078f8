package registry

import (
	"context"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// ProbePush starts an upload to the repository and gives it up again, so that a registry that refuses pushes is found
// before the first build and not after it. The error is a *Refused.
func (c *Client) ProbePush(ctx context.Context, repository string) error {
	ref, err := parse(repository)
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	// The library's probe takes no context: let a cancelled run go on without its answer.
	go func() { answer <- remote.CheckPushPermission(ref, c.keychain, c.transport) }()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return &Refused{Doing: "pushing to " + repository, Err: err}
	}
	return nil
}
