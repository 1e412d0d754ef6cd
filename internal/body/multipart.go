package body

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"slices"
	"strings"
	"unicode/utf8"
)

// ParseMultipart reads a body of parts (RFC 2046, section 5.1) as a lax tree in
// which the boundary does not show:
//
//	{"note": ["hello"], "photo": [{"@content-type": "image/png", "@filename": "a.png", "#content": "3 bytes, SHA-256 …"}]}
//
// A part with nothing but a name is its text; any other one is an object with its
// headers in lower case, its file's name and its content: JSON as JSON, other UTF-8
// as text, other bytes as their length and hash. The transfer encodings base64 and
// quoted-printable are taken off; one that is not known is a header like others. Parts without a name are #part. boundary is what
// Content-Type says; without one the first line that begins with two dashes has it.
func ParseMultipart(source []byte, boundary string, limits Limits) (*Tree, error) {
	if boundary == "" {
		boundary = firstBoundary(source)
	}
	if boundary == "" {
		return nil, errors.New("not multipart: no line begins with --")
	}
	r := multipart.NewReader(bytes.NewReader(source), boundary)
	var all namedValues
	for n := 1; ; n++ {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return all.tree(limits)
		}
		if err != nil {
			return nil, fmt.Errorf("not multipart: part %d: %w", n, err)
		}
		if n > maxParts {
			return nil, fmt.Errorf("not read: there are more than %d parts", maxParts)
		}
		name, text, err := partText(part, limits)
		if err != nil {
			return nil, fmt.Errorf("not multipart: part %d: %w", n, err)
		}
		all.add(name, text)
	}
}

// maxParts bounds the parts of a body.
const maxParts = 10_000

func firstBoundary(source []byte) string {
	for line := range bytes.Lines(source) {
		if line = bytes.TrimRight(line, " \t\r\n"); len(line) > 2 && bytes.HasPrefix(line, []byte("--")) {
			return string(line[2:])
		}
	}
	return ""
}

// partText returns a part's name and what it is as JSON.
func partText(part *multipart.Part, limits Limits) (name, text string, err error) {
	content, err := io.ReadAll(part)
	if err != nil {
		return "", "", err
	}
	coding := strings.ToLower(part.Header.Get("Content-Transfer-Encoding"))
	head := map[string]string{}
	switch coding {
	case "base64":
		content, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(content)))
		if err != nil {
			return "", "", fmt.Errorf("cannot decode base64: %w", err)
		}
	case "quoted-printable":
		if content, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(content))); err != nil {
			return "", "", fmt.Errorf("cannot decode quoted-printable: %w", err)
		}
	case "", "7bit", "8bit", "binary":
	default:
		head["content-transfer-encoding"] = coding
	}
	name = "#part"
	for _, key := range slices.Sorted(maps.Keys(part.Header)) {
		switch values := part.Header[key]; key {
		case "Content-Transfer-Encoding":
		case "Content-Disposition":
			kind, params, err := mime.ParseMediaType(values[0])
			if err != nil {
				return "", "", fmt.Errorf("cannot read Content-Disposition: %w", err)
			}
			if params["name"] != "" {
				name = params["name"]
			}
			delete(params, "name")
			for param, value := range params {
				head[param] = value
			}
			if kind != "form-data" {
				head["content-disposition"] = kind
			}
		default:
			key = strings.ToLower(key)
			if param, taken := head[key]; taken { // of Content-Disposition
				values = append([]string{param}, values...)
			}
			head[key] = strings.Join(values, ", ")
		}
	}
	return name, string(appendPart(nil, head, content, limits)), nil
}

func appendPart(out []byte, head map[string]string, content []byte, limits Limits) []byte {
	if len(head) == 0 {
		return appendContent(out, "", content, limits)
	}
	out = append(out, '{')
	for _, key := range slices.Sorted(maps.Keys(head)) {
		out = append(AppendQuoted(out, "@"+key), ':')
		out = append(AppendQuoted(out, head[key]), ',')
	}
	out = append(out, `"#content":`...)
	return append(appendContent(out, head["content-type"], content, limits), '}')
}

func appendContent(out []byte, contentType string, content []byte, limits Limits) []byte {
	switch media, _, _ := strings.Cut(strings.ToLower(contentType), ";"); {
	case strings.HasSuffix(media, "json"):
		return appendLoose(out, string(content), limits)
	case !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0:
		return fmt.Appendf(out, `"%d bytes, SHA-256 %x"`, len(content), sha256.Sum256(content))
	}
	return AppendQuoted(out, string(content))
}
