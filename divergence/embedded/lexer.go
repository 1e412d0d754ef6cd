package embedded

import "strings"

// tokenKind tells apart what routing a statement depends on.
type tokenKind uint8

const (
	endOfText tokenKind = iota
	word                // a bare word: keyword, name or number
	quoted              // 'text', "name", `name` or $tag$text$tag$
	mark                // any other single byte
)

// token is text[start:end] of a lexer.
type token struct {
	kind       tokenKind
	start, end int
}

// lexer splits a statement into tokens the way ClickHouse does, as far as
// quotes, comments and words go. It accepts any bytes: what it cannot tell
// apart is a mark.
type lexer struct {
	text string
	at   int
}

// next returns the next token and moves behind it.
func (l *lexer) next() token {
	l.skipBlank()
	if l.at >= len(l.text) {
		return token{endOfText, len(l.text), len(l.text)}
	}
	start := l.at
	switch c := l.text[start]; {
	case isWordByte(c):
		for l.at < len(l.text) && isWordByte(l.text[l.at]) {
			l.at++
		}
		return token{word, start, l.at}
	case c == '\'' || c == '"' || c == '`':
		l.skipQuoted(c)
		return token{quoted, start, l.at}
	case c == '$' && l.skipHeredoc():
		return token{quoted, start, l.at}
	}
	l.at++
	return token{mark, start, l.at}
}

// is says whether t is the given keyword (upper case) or mark.
func (l *lexer) is(t token, want string) bool {
	return (t.kind == word || t.kind == mark) && strings.EqualFold(l.text[t.start:t.end], want)
}

// skipGroup moves behind the bracket that closes the one just read.
func (l *lexer) skipGroup() {
	for depth := 1; depth > 0; {
		switch t := l.next(); {
		case t.kind == endOfText:
			return
		case l.is(t, "("):
			depth++
		case l.is(t, ")"):
			depth--
		}
	}
}

// skipBlank moves behind white space and comments.
func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case isSpace(rest[0]):
			l.at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			l.skipPast("\n")
		case strings.HasPrefix(rest, "/*"):
			l.at += len("/*")
			l.skipPast("*/")
		default:
			return
		}
	}
}

// skipPast moves behind the next occurrence of end, or to the end of the text.
func (l *lexer) skipPast(end string) {
	i := strings.Index(l.text[l.at:], end)
	if i < 0 {
		l.at = len(l.text)
		return
	}
	l.at += i + len(end)
}

// skipQuoted moves behind the text quoted by the byte at l.at. A backslash
// escapes; a doubled quote reads as two texts side by side, which is the same
// to us.
func (l *lexer) skipQuoted(quote byte) {
	for l.at++; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case '\\':
			l.at++
		case quote:
			l.at++
			return
		}
	}
	l.at = len(l.text)
}

// skipHeredoc moves behind $tag$...$tag$ if one starts at l.at.
func (l *lexer) skipHeredoc() bool {
	end := l.at + 1
	for end < len(l.text) && isWordByte(l.text[end]) {
		end++
	}
	if end >= len(l.text) || l.text[end] != '$' {
		return false
	}
	tag := l.text[l.at : end+1]
	i := strings.Index(l.text[end+1:], tag)
	if i < 0 {
		return false
	}
	l.at = end + 1 + i + len(tag)
	return true
}

func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r'
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= 0x80
}
