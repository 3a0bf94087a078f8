package registry

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cases := map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"0.5":                           500 * time.Millisecond,
		"352.829µs":                     352829 * time.Nanosecond, // ghcr.io
		"300ms":                         300 * time.Millisecond,
		"Mon, 23 Nov 2026 12:02:00 GMT": 2 * time.Minute,
		"Mon, 23 Nov 2026 11:00:00 GMT": 0,
		"-3":                            0,
		"1e300":                         24 * time.Hour,
		"999999h":                       24 * time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT": 24 * time.Hour,
		"soon":                          0,
	}
	for header, want := range cases {
		if got := parseRetryAfter(header, now); got != want {
			t.Errorf("parseRetryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

// The wait that a registry asks for reaches the caller, and a 403 that asks to wait is not a *Denied.
func TestRateLimited(t *testing.T) {
	cases := []struct {
		name, header    string
		body            string
		status          int
		after           time.Duration
		limited, denied bool
	}{
		{"too many requests", "7", "", http.StatusTooManyRequests, 7 * time.Second, true, false},
		{"a secondary rate limit", "60", "", http.StatusForbidden, time.Minute, true, false},
		{"a secondary rate limit, in words", "", "You have exceeded a secondary rate limit.", http.StatusForbidden, time.Minute, true, false},
		{"a secondary rate limit, in JSON", "", `{"errors":[{"code":"DENIED","message":"secondary rate limit"}]}`, http.StatusForbidden, time.Minute, true, false},
		{"denied", "", "denied", http.StatusForbidden, 0, false, true},
		{"too many requests without a time", "", "", http.StatusTooManyRequests, 0, false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := New(authn.DefaultKeychain, registrytest.Hosts{"r.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/v2/" {
						return
					}
					if c.header != "" {
						w.Header().Set("Retry-After", c.header)
					}
					w.WriteHeader(c.status)
					if r.Method != http.MethodHead {
						_, _ = w.Write([]byte(c.body))
					}
				})}, nil)
				_, err := client.Digest(t.Context(), "r.example/a/b:c")
				var limited *RateLimited
				var denied *Denied
				if isLimited := errors.As(err, &limited); isLimited != c.limited || isLimited && limited.RetryAfter() != c.after {
					t.Errorf("%v, limited: %v; want %v after %v", err, isLimited, c.limited, c.after)
				}
				if got := errors.As(err, &denied); got != c.denied {
					t.Errorf("%v, denied: %v; want %v", err, got, c.denied)
				}
			})
		})
	}
}
