package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/OpenHands/eval-images/internal/config"
)

// tailSize is how many bytes at the end of a parquet file are fetched first. The footer of a dataset of 500 rows takes
// 16 kB.
const tailSize = 64 << 10

// maxFile bounds a response, in bytes: a server may ignore Range and send the whole file.
const maxFile = 256 << 20

// remoteFile is an io.ReaderAt that fetches the ranges that are read by HTTP.
type remoteFile struct {
	size int64
	// buffer holds the file from bufferStart to its end.
	buffer      []byte
	bufferStart int64
	// fetch returns length bytes at an offset. It is a closure because ReadAt has no context parameter.
	fetch func(at, length int64) ([]byte, error)
}

// openFile fetches a file's end, and reads the file's size from the response.
func (c *client) openFile(ctx context.Context, address string) (*remoteFile, error) {
	got, err := c.getRange(ctx, address, fmt.Sprintf("bytes=-%d", tailSize))
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusPartialContent {
		return &remoteFile{size: int64(len(got.body)), buffer: got.body}, nil
	}
	first, last, size, err := contentRange(got)
	if err != nil {
		return nil, err
	}
	if last != size-1 {
		return nil, fmt.Errorf("%s answered with bytes %d to %d of %d, which is not the end", redacted(got.address), first, last, size)
	}
	etag := got.header.Get("ETag")
	return &remoteFile{size: size, buffer: got.body, bufferStart: first, fetch: func(at, length int64) ([]byte, error) {
		part, err := c.getRange(ctx, address, fmt.Sprintf("bytes=%d-%d", at, at+length-1))
		if err != nil {
			return nil, err
		}
		if part.header.Get("ETag") != etag {
			return nil, fmt.Errorf("%s changed while it was read", redacted(part.address))
		}
		if part.status != http.StatusPartialContent { // the server no longer honors Range
			if int64(len(part.body)) != size {
				return nil, fmt.Errorf("%s changed while it was read", redacted(part.address))
			}
			return part.body[at : at+length], nil
		}
		from, to, now, err := contentRange(part)
		if err == nil && (from != at || to != at+length-1 || now != size) {
			err = fmt.Errorf("%s answered with bytes %d to %d of %d, not with %d to %d of %d",
				redacted(part.address), from, to, now, at, at+length-1, size)
		}
		return part.body, err
	}}, nil
}

func (c *client) getRange(ctx context.Context, address, bytes string) (response, error) {
	return c.get(ctx, address, http.Header{"Range": {bytes}}, maxFile)
}

// contentRange parses the header Content-Range, and checks that the body has the stated length.
func contentRange(got response) (first, last, size int64, err error) {
	value := got.header.Get("Content-Range")
	if n, _ := fmt.Sscanf(value, "bytes %d-%d/%d", &first, &last, &size); n != 3 || first < 0 || first > last || last >= size {
		return 0, 0, 0, fmt.Errorf("%s answered with a part of a file, but Content-Range is %s", redacted(got.address), config.Quote(value))
	}
	if int64(len(got.body)) != last-first+1 {
		return 0, 0, 0, fmt.Errorf("%s answered with %d bytes instead of %d", redacted(got.address), len(got.body), last-first+1)
	}
	return first, last, size, nil
}

// ReadAt implements io.ReaderAt.
func (f *remoteFile) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, errors.New("reading before the start of a file")
	}
	if at >= f.size {
		return 0, io.EOF
	}
	length := min(int64(len(p)), f.size-at)
	n := 0
	if before := min(length, f.bufferStart-at); before > 0 {
		part, err := f.fetch(at, before)
		if err != nil {
			return 0, err
		}
		n = copy(p, part)
	}
	if int64(n) < length {
		n += copy(p[n:length], f.buffer[at+int64(n)-f.bufferStart:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
