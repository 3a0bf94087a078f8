package dataset

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// A host that cannot be reached is not waited for: without a network a run goes on in seconds.
func TestRetryDelay(t *testing.T) {
	dial := func(op string, err error) error {
		return transient{error: fmt.Errorf("asking: %w", &net.OpError{Op: op, Net: "tcp", Err: err})}
	}
	cases := map[string]struct {
		err     error
		attempt int
		pause   time.Duration
		again   bool
	}{
		"refused":             {dial("dial", errors.New("connection refused")), 0, dialRetryDelay, true},
		"refused again":       {dial("dial", errors.New("connection refused")), 1, 0, false},
		"no such host":        {dial("dial", &net.DNSError{Err: "no such host", IsNotFound: true}), 0, dialRetryDelay, true},
		"silence":             {dial("dial", os.ErrDeadlineExceeded), 0, 0, false},
		"a silent resolver":   {dial("dial", &net.DNSError{Err: "i/o timeout", IsTimeout: true}), 0, 0, false},
		"no proxy":            {dial("proxyconnect", errors.New("connection refused")), 1, 0, false},
		"a lost connection":   {dial("read", errors.New("connection reset by peer")), 1, backoff[1], true},
		"a wrong certificate": {transient{error: &tls.CertificateVerificationError{Err: errors.New("unknown authority")}}, 0, 0, false},
		"the last attempt":    {transient{error: errors.New("503")}, len(backoff), 0, false},
		"what stays":          {errors.New("404"), 0, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &client{maxRetryAfter: time.Minute}
			pause, again := c.retryDelay(tc.err, tc.attempt)
			if again != tc.again || again && pause != tc.pause {
				t.Errorf("pause of %s, again %v; want %s, %v", pause, again, tc.pause, tc.again)
			}
		})
	}
}
