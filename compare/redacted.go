package compare

import "bytes"

// IsRedacted reports whether a redactor replaced something in a text, or took it
// out whole. Texts that only look so count too.
func IsRedacted(text []byte) bool {
	return bytes.Contains(text, []byte(tokenPrefix)) || bytes.Equal(text, []byte(removedNote))
}
