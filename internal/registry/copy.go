package registry

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// copyBlob streams the blob through this machine and stores nothing.
func (c *Client) copyBlob(ctx context.Context, from name.Repository, u upload, size int64) error {
	repo, r, err := blobRequest(from.Name(), u.digest)
	if err != nil {
		return err
	}
	source, err := c.openBlob(ctx, repo, r, u.digest)
	if err != nil {
		return err
	}
	defer source.Close()
	if length := source.response.ContentLength; length > 0 {
		size = length
	} else if size <= 0 {
		size = -1
	}
	p := &progress{Reader: source, digest: u.digest, size: size, reporter: c.reporter}
	p.report()
	err = c.finishUpload(ctx, u, request{stream: p, size: size})
	if failed := p.end(err == nil); failed != nil {
		return failed // whatever the target answered to the half of a blob
	}
	return err
}

// progress reports how many bytes are read from a Reader.
type progress struct {
	io.Reader
	digest string
	size   int64

	mu       sync.Mutex // the connection may read on for a moment after the response
	done     int64
	failed   error // of a read
	reporter Reporter
	reported time.Time
}

// reportInterval is the time between two reports of a copy.
const reportInterval = time.Second

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !errors.Is(err, io.EOF) {
		p.failed = err
	}
	// The end of the blob is reported by end, which knows whether the registry took it.
	if p.done += int64(n); p.done != p.size && time.Since(p.reported) >= reportInterval {
		p.report()
	}
	return n, err
}

func (p *progress) report() {
	if p.reported = time.Now(); p.reporter != nil {
		p.reporter.Copying(p.digest, p.done, p.size)
	}
}

// end ends the reports. If the copy is complete, the last one has all of its bytes, and so a size that was not known. It returns the error
// of a read that failed.
func (p *progress) end(complete bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if complete {
		p.size = p.done
		p.report()
	}
	p.reporter = nil
	return p.failed
}
