package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Bounds of decoding.
const (
	maxCodings   = 4       // stacked codings
	maxRatio     = 1000    // decoded bytes for each coded one, from freeRatio on
	freeRatio    = 1 << 20 // decoded bytes that any ratio may come to
	maxZstWindow = 8 << 20 // the least that every decoder must take, RFC 8878, section 3.1.1.1.2
)

// ErrTooLarge is the error of a body whose decoded form exceeds the bound, or
// whose coding inflates it beyond reason.
var ErrTooLarge = errors.New("the decoded body is too large")

// Decode takes the content codings off a body. encoding is the value of
// Content-Encoding: gzip, deflate (zlib's format or bare), br, zstd, identity or
// a list of them in the order they were applied. At most limit bytes are
// decoded, and no more than 1000 for each coded byte once they exceed 1 MiB;
// beyond, the error is [ErrTooLarge] and the memory taken is bounded all the
// same. An empty body is empty in every coding. The result may share memory with
// in.
func Decode(encoding string, in []byte, limit int64) ([]byte, error) {
	codings, err := Codings(encoding)
	if err != nil || len(in) == 0 {
		return in, err
	}
	for i := len(codings) - 1; i >= 0; i-- {
		if in, err = decodeOne(codings[i], in, limit); err != nil {
			return nil, fmt.Errorf("cannot decode %s: %w", codings[i], err)
		}
	}
	if int64(len(in)) > limit {
		return nil, ErrTooLarge
	}
	return in, nil
}

// Codings reads the value of Content-Encoding: the codings in the order they
// were applied, without identity.
func Codings(encoding string) ([]string, error) {
	var out []string
	for word := range strings.SplitSeq(encoding, ",") {
		switch word = strings.ToLower(strings.TrimSpace(word)); word {
		case "", "identity":
			continue
		case "x-gzip":
			word = "gzip"
		case "gzip", "deflate", "br", "zstd":
		default:
			return nil, fmt.Errorf("content coding %.40q is not known", word)
		}
		out = append(out, word)
	}
	if len(out) > maxCodings {
		return nil, fmt.Errorf("%d content codings on one body, at most %d are taken off", len(out), maxCodings)
	}
	return out, nil
}

func decodeOne(coding string, in []byte, limit int64) ([]byte, error) {
	switch coding {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(in))
		if err != nil {
			return nil, err
		}
		return readBounded(r, len(in), limit)
	case "deflate":
		return inflate(in, limit)
	case "br":
		rest := bytes.NewReader(in)
		return readWhole(brotli.NewReader(rest), rest, limit)
	}
	r, err := zstd.NewReader(bytes.NewReader(in), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(maxZstWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readBounded(r, len(in), limit)
}

// inflate reads both meanings of deflate: RFC 9110 means zlib's format, some
// servers send the bare stream.
func inflate(in []byte, limit int64) ([]byte, error) {
	rest := bytes.NewReader(in)
	if r, err := zlib.NewReader(rest); err == nil {
		out, err := readWhole(r, rest, limit)
		if err == nil || errors.Is(err, ErrTooLarge) {
			return out, err
		}
	}
	rest.Reset(in)
	return readWhole(flate.NewReader(rest), rest, limit)
}

// readWhole reads r, which decodes source, and asks that nothing is left there.
func readWhole(r io.Reader, source *bytes.Reader, limit int64) ([]byte, error) {
	out, err := readBounded(r, int(source.Size()), limit)
	if err == nil && source.Len() > 0 {
		return nil, errors.New("something follows the body")
	}
	return out, err
}

// readBounded reads to the end, or to the bound that limit and the ratio set.
func readBounded(r io.Reader, coded int, limit int64) ([]byte, error) {
	bound := min(limit, max(freeRatio, int64(coded)*maxRatio))
	var out bytes.Buffer
	out.Grow(int(min(bound, int64(coded)*4+bytes.MinRead)))
	if _, err := out.ReadFrom(io.LimitReader(r, bound+1)); err != nil {
		return nil, err
	}
	if int64(out.Len()) > bound {
		return nil, ErrTooLarge
	}
	return out.Bytes(), nil
}
