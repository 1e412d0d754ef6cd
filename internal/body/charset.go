package body

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

var (
	utf16Little = []byte{0xff, 0xfe}
	utf16Big    = []byte{0xfe, 0xff}
)

// ToUTF8 returns a text in UTF-8. charset is what Content-Type says, by any of the
// labels of the WHATWG's encoding standard; without one a byte order mark decides,
// and otherwise the text is as it is. Text that the charset cannot hold is an error,
// since it would come to the same replacement character whatever it was; text that
// is UTF-8 already is not looked at.
func ToUTF8(charset string, text []byte) ([]byte, error) {
	if charset == "" && (bytes.HasPrefix(text, utf16Little) || bytes.HasPrefix(text, utf16Big)) {
		charset = "utf-16"
	}
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return text, nil
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("unknown charset %.40q", charset)
	}
	if strings.EqualFold(charset, "utf-16") {
		e = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	out, err := e.NewDecoder().Bytes(text)
	if err != nil {
		return nil, fmt.Errorf("not %s: %w", charset, err)
	}
	if bytes.Contains(out, []byte("\uFFFD")) {
		return nil, errors.New("not " + strings.ToLower(charset) + ": some of it stands for no character")
	}
	return out, nil
}
