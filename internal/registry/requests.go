package registry

import (
	"maps"
	"net/http"
	"sync"
)

// counting counts the requests that are sent, by method.
type counting struct {
	next http.RoundTripper

	mu   sync.Mutex
	sent map[string]int
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.sent[r.Method]++
	c.mu.Unlock()
	return c.next.RoundTrip(r)
}

// Requests are how many requests this client has sent to registries and their token servers, by method.
func (c *Client) Requests() map[string]int {
	c.requests.mu.Lock()
	defer c.requests.mu.Unlock()
	return maps.Clone(c.requests.sent)
}
