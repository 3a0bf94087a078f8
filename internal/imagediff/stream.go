package imagediff

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	if err := walk(io.TeeReader(tarStream, sum), each); err != nil {
		return "", fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
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
			return fmt.Errorf("%s: %w", header.Name, err)
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
		return nil, fmt.Errorf("its media type is %q, which is none of gzip, zstd or tar", mediaType)
	}
}
