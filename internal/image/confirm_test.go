package image

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/OpenHands/eval-images/internal/failure"
)

// A cancel that comes while the push is confirmed is no failure of the registry, whatever the request ends with.
func TestCancelWhilePushIsConfirmed(t *testing.T) {
	cases := map[string]func(*http.Request) (*http.Response, error){
		"the request is cut off":   func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() },
		"the connection is broken": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") },
		"the registry ends, too": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			h := native(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				h.between = func(next http.RoundTripper) http.RoundTripper {
					return roundTrip(func(r *http.Request) (*http.Response, error) {
						if r.Method == http.MethodHead && len(h.did("image")) > 0 {
							cancel()
							return answer(r)
						}
						return next.RoundTrip(r)
					})
				}
				targets, r := h.numbered(t, 1), h.newRun(t, true)
				_ = r.maker.All(ctx, targets)
				differ(t, "classes", map[failure.Class]int{failure.ClassCancelled: 1}, classes(r.outcomes))
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
