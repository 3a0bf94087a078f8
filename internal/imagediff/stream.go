package imagediff

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of a zstd stream in bytes. It is the default limit of the zstd tool (--long=27).
const maxWindow = 1 << 27

// visit handles one entry of a layer. It can read the content until it returns.
type visit func(header *tar.Header, content io.Reader) error

// entries calls each for every entry of a layer's tar stream, in order, and returns the DiffID. It reads the blob to its end,
// where the source verifies the digest. The decompressors do the same, because another stream could follow.
func (c *comparison) entries(ctx context.Context, repository string, l layer, each visit) (diffID string, err error) {
	blob, err := c.source.OpenBlob(ctx, repository, l.Digest)
	if err != nil {
		return "", fmt.Errorf("opening layer %s: %w", l.Digest, err)
	}
	defer blob.Close()
	tarStream, err := decompress(l.MediaType, blob)
	if err != nil {
		return "", fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	defer tarStream.Close()
	sum := sha256.New()
	stream := &boundedReader{next: tarStream, left: maxContent}
	err = walk(io.TeeReader(stream, sum), func(header *tar.Header, content io.Reader) error {
		return cmp.Or(ctx.Err(), each(header, content))
	})
	if err != nil {
		return "", fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// boundedReader fails after left bytes. A compressed stream can be a thousand times as long as its blob.
type boundedReader struct {
	next io.Reader
	left int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.next.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, fmt.Errorf("it has more than %d GB", maxContent>>30)
	}
	return n, err
}

// walk reads a tar stream and everything after it.
func walk(stream io.Reader, each visit) error {
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, stream)
			return err
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := each(header, archive); err != nil {
			return fmt.Errorf("%s: %w", abbreviate(header.Name), err)
		}
	}
}

// decompress supports the media types of OCI and of Docker's schema 2.
func decompress(mediaType string, blob io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(mediaType, "+gzip"), strings.HasSuffix(mediaType, ".gzip"):
		return gzip.NewReader(blob)
	case strings.HasSuffix(mediaType, "+zstd"), strings.HasSuffix(mediaType, ".zstd"):
		decoder, err := zstd.NewReader(blob,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	case strings.HasSuffix(mediaType, ".tar"):
		return io.NopCloser(blob), nil
	default:
		return nil, fmt.Errorf("its media type is %s, which is none of gzip, zstd or tar", abbreviate(strconv.Quote(mediaType)))
	}
}
