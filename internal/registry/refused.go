package registry

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Refused is a registry's "no" that no image of the run will get past: wrong credentials, missing rights, no registry.
type Refused struct {
	// Doing is what was refused: "pushing to ghcr.io/openhands/eval-agent-server".
	Doing string
	// Input is the action's input that names the repository; empty is image.
	Input string
	Err   error
}

func (e *Refused) Error() string { return e.Doing + ": " + e.Err.Error() }

// Unwrap gives the registry's answer.
func (e *Refused) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Refused) Hint() string {
	input := cmp.Or(e.Input, "image")
	switch status(e.Err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "check registry-username and registry-password, and that they may push to the repository in " + input +
			" (ghcr.io: a token with write:packages, and the package must grant this repository the write role)"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "check " + input + ": there is no registry at that host, or it takes no pushes to that repository"
	default:
		return "check that " + input + " names a registry that this process reaches: from inside an action a service " +
			"container has its own name, and localhost is the action itself"
	}
}

// forbidden tells whether a registry refused something with 403, and for good.
func forbidden(err error) bool {
	refused, ok := errors.AsType[*Refused](err)
	return ok && status(refused) == http.StatusForbidden
}

// Answered tells whether a registry gave an answer at all, be it a refusal, rather than none.
func Answered(err error) bool { return status(err) != 0 }

// status is the HTTP status of a registry's refusal, or 0 where there was none.
func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// explain names the status of a HEAD's refusal: HEAD answers have no body, so the library has no more to say.
func explain(doing string, err error) error {
	switch code := status(err); code {
	case 0:
		return fmt.Errorf("%s: %w", doing, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &Refused{Doing: doing, Err: fmt.Errorf("%d, not allowed: %w", code, err)}
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: 429, too many requests: %w", doing, err)
	default:
		return fmt.Errorf("%s: %d %s: %w", doing, code, http.StatusText(code), err)
	}
}
