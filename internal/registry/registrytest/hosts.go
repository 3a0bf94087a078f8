package registrytest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
)

// Hosts are registries by host, and the transport of a client that reaches them without a network: so a test's time can be
// its own. A handler that panics with http.ErrAbortHandler cuts the connection, as it does in a server.
type Hosts map[string]http.Handler

// RoundTrip lets the host answer. A host that is not there cannot be reached.
func (h Hosts) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	host, known := h[r.URL.Host]
	if !known {
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Host)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if cut := recover(); cut == http.ErrAbortHandler {
			answer, err = nil, errors.New("read: connection reset by peer")
		} else if cut != nil {
			panic(cut)
		}
	}()
	recorder, server := httptest.NewRecorder(), r.Clone(r.Context())
	if server.Body == nil {
		server.Body = http.NoBody
	}
	defer server.Body.Close()
	host.ServeHTTP(recorder, server)
	answer = recorder.Result()
	answer.Request = r
	return answer, nil
}
