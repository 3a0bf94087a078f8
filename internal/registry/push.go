package registry

import (
	"context"
	"errors"
	"net/http"
)

// ProbePush starts an upload to the repository and gives it up again, so that a registry that refuses pushes is found
// before the first build and not after it. The error is a *Refused where it is about the repository's name, the credentials
// or the way to the registry, and not about the registry's state.
func (c *Client) ProbePush(ctx context.Context, repository string) error {
	ref, err := parse(repository)
	if err != nil {
		return err
	}
	u := upload{repository: ref.Context(), doing: "pushing to " + repository}
	begun, err := c.ask(ctx, question{
		doing: u.doing, method: http.MethodPost, repository: u.repository, scopes: pushing(u.repository),
		url: at(u.repository, "blobs/uploads/"), want: []int{http.StatusAccepted},
	})
	if err != nil {
		return noPush(ctx, u.doing, err)
	}
	if u.location, err = location(begun); err == nil {
		c.giveUp(ctx, u)
	}
	return nil
}

// noPush says what it means that an upload could not be begun.
func noPush(ctx context.Context, doing string, err error) error {
	if _, busy := errors.AsType[*Busy](err); busy || ctx.Err() != nil {
		return err
	}
	switch status(err) {
	case 0, http.StatusNotFound, http.StatusMethodNotAllowed:
		return &Refused{Doing: doing, Err: errors.Unwrap(err)}
	}
	return err
}
