package registry

import "time"

// Quick makes the client wait only moments before its retries.
func (c *Client) Quick() *Client {
	c.firstBackoff = time.Millisecond
	return c
}
