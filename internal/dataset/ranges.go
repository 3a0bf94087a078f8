package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// tailSize is how much of a parquet file's end is fetched first. The footer of a dataset of 500 rows takes 16 kB.
const tailSize = 64 << 10

// wholeLimit bounds a file that a server sends as a whole although a part was asked for.
const wholeLimit = 256 << 20

// remoteFile is a file behind HTTP, of which only the parts that are read are fetched.
type remoteFile struct {
	size int64
	// held is the part that is here: the end of the file, or all of it.
	held   []byte
	heldAt int64
	// fetch gives one part, of exactly this length.
	fetch func(at, length int64) ([]byte, error)
}

// openRemote fetches a file's end, which tells its size.
func (c *client) openRemote(ctx context.Context, address string) (*remoteFile, error) {
	got, err := c.part(ctx, address, fmt.Sprintf("bytes=-%d", tailSize))
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusPartialContent {
		return &remoteFile{size: int64(len(got.body)), held: got.body}, nil
	}
	first, last, size, err := contentRange(got)
	if err != nil {
		return nil, err
	}
	if last != size-1 {
		return nil, fmt.Errorf("%s answered with bytes %d to %d of %d, which is not the end", shown(got.address), first, last, size)
	}
	etag := got.header.Get("ETag")
	return &remoteFile{size: size, held: got.body, heldAt: first, fetch: func(at, length int64) ([]byte, error) {
		part, err := c.part(ctx, address, fmt.Sprintf("bytes=%d-%d", at, at+length-1))
		if err != nil {
			return nil, err
		}
		if part.header.Get("ETag") != etag {
			return nil, fmt.Errorf("%s changed while it was read", shown(part.address))
		}
		if part.status != http.StatusPartialContent { // it has stopped to honour Range
			if int64(len(part.body)) != size {
				return nil, fmt.Errorf("%s changed while it was read", shown(part.address))
			}
			return part.body[at : at+length], nil
		}
		from, to, now, err := contentRange(part)
		if err == nil && (from != at || to != at+length-1 || now != size) {
			err = fmt.Errorf("%s answered with bytes %d to %d of %d, not with %d to %d of %d",
				shown(part.address), from, to, now, at, at+length-1, size)
		}
		return part.body, err
	}}, nil
}

func (c *client) part(ctx context.Context, address, bytes string) (answer, error) {
	return c.get(ctx, address, http.Header{"Range": {bytes}}, wholeLimit)
}

// contentRange reads what part of a file an answer says it is, and checks that it is as long as that.
func contentRange(got answer) (first, last, size int64, err error) {
	value := got.header.Get("Content-Range")
	if n, _ := fmt.Sscanf(value, "bytes %d-%d/%d", &first, &last, &size); n != 3 || first < 0 || first > last || last >= size {
		return 0, 0, 0, fmt.Errorf("%s answered with a part of a file, but Content-Range is %q", shown(got.address), value)
	}
	if int64(len(got.body)) != last-first+1 {
		return 0, 0, 0, fmt.Errorf("%s answered with %d bytes in place of %d", shown(got.address), len(got.body), last-first+1)
	}
	return first, last, size, nil
}

// ReadAt is io.ReaderAt's.
func (f *remoteFile) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, errors.New("reading before the start of a file")
	}
	if at >= f.size {
		return 0, io.EOF
	}
	length := min(int64(len(p)), f.size-at)
	n := 0
	if before := min(length, f.heldAt-at); before > 0 {
		part, err := f.fetch(at, before)
		if err != nil {
			return 0, err
		}
		n = copy(p, part)
	}
	if int64(n) < length {
		n += copy(p[n:length], f.held[at+int64(n)-f.heldAt:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
