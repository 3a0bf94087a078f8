package registry

import (
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// known are the blobs that this run knows to be in a repository, for it put, mounted or read them.
type known struct {
	mu    sync.Mutex
	blobs map[blobKey]bool
}

type blobKey struct{ repository, digest string }

func (k *known) has(repository name.Repository, digest string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.blobs[blobKey{repository.Name(), digest}]
}

func (k *known) add(repository name.Repository, digest string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.blobs == nil {
		k.blobs = map[blobKey]bool{}
	}
	k.blobs[blobKey{repository.Name(), digest}] = true
}

func (k *known) forget(repository name.Repository, digest string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.blobs, blobKey{repository.Name(), digest})
}
