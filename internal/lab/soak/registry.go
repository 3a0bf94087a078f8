package soak

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/registry/faults"
)

// share is the share of requests that fail.
const share = 0.05

// registry is a proxy in front of the lab's registry. It lets requests fail as registries and networks do.
type registry struct {
	*faults.Transport
	*http.Server
	answers *answers
	address string // the host and port that it listens on
}

// startRegistry listens on a free port of the address listen, in front of the registry at host, which speaks plain http. No
// request fails until SetRate is called. It demands tokens, so that these can expire.
func startRegistry(listen, host string, seed uint64) (*registry, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
	if err != nil {
		return nil, fmt.Errorf("listening in front of the registry: %w", err)
	}
	r := &registry{answers: &answers{missing: map[string]bool{}}, address: listener.Addr().String()}
	r.Transport = &faults.Transport{
		// Left out is what takes minutes each time: no answer, and refusals after which all writes wait for a minute.
		Next: r.answers, Seed: seed, Delay: 3 * time.Second, TokenURL: "http://" + r.address + "/token",
		Kinds: slices.DeleteFunc(slices.Clone(faults.Kinds), func(kind faults.Kind) bool {
			return kind == faults.Silent || kind == faults.Secondary || kind == faults.SecondaryHead
		}),
	}
	r.Server = &http.Server{Handler: r.Proxy(&url.URL{Scheme: "http", Host: host})}
	go r.Serve(listener)
	return r, nil
}

// answers notes which paths the registry answers with 404.
type answers struct {
	mu      sync.Mutex
	missing map[string]bool
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusNotFound {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.missing[r.URL.Path] = true
	}
	return resp, err
}

// paths returns the paths, sorted.
func (a *answers) paths() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.missing))
}
