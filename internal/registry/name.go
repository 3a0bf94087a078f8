package registry

import (
	"fmt"
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// parse reads an image's name. A registry that only a private network can know may speak plain http, which is then tried
// when https fails: a job's service container does. (The library itself allows it for loopback, for private IPv4
// addresses and for names that end in .localhost only.)
func parse(reference string) (name.Reference, error) {
	ref, err := name.ParseReference(reference)
	if err == nil && private(ref.Context().RegistryStr()) {
		ref, err = name.ParseReference(reference, name.Insecure)
	}
	if err != nil {
		return nil, fmt.Errorf("parsing %q: %w", reference, err)
	}
	return ref, nil
}

// private tells names that no public resolver answers: without a dot, as containers of one network have them, and those
// of multicast DNS (RFC 6762).
func private(registry string) bool {
	host := registry
	if h, _, err := net.SplitHostPort(registry); err == nil {
		host = h
	}
	return !strings.ContainsAny(host, ".:") || strings.HasSuffix(host, ".local")
}
