package compare

import (
	"regexp"
	"strings"
)

// form is a form in which secrets stand in any text: mark must be in the text,
// in lower case, for the expression to be tried; its second group is the secret
// if the check on both groups says so.
type form struct {
	mark  string
	match *regexp.Regexp
	check func(first, second string) bool
}

func always(string, string) bool { return true }

func byFirst(name, _ string) bool { return SecretName(name) }

var forms = []form{
	{"bearer", regexp.MustCompile(`(?i)\b(bearer\s+)([a-z0-9._~+/=-]{6,})`), always},
	{"basic", regexp.MustCompile(`(?i)\b(basic\s+)([a-z0-9._~+/=-]{6,})`), always},
	{"eyj", regexp.MustCompile(`()(\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*)?)`), always},
	{"://", regexp.MustCompile(`(://[^/\s:@"'<>]{0,128}:)([^/\s@"'<>]{1,128})@`), always},
	{"</", regexp.MustCompile(`<([A-Za-z][\w.:-]{0,63})(?:\s[^<>]*)?>([^<>]+)<`), byFirst},
	{"name=", regexp.MustCompile(`(?i)name="?([\w.\[\]-]{1,64})"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]+)`), byFirst},
}

var (
	cardForm  = regexp.MustCompile(`()(\b[2-6](?:[ +-]?\d){12,18}\b)`)
	inputTag  = regexp.MustCompile(`(?i)<(?:input|meta)\b[^<>]*>`)
	attribute = regexp.MustCompile(`([A-Za-z-]{1,32})\s*=\s*["']?([^"'<>]+)`)
)

// text redacts what looks like a secret in any text, then the secrets known from
// elsewhere in the exchange.
func (s *scrubber) text(text string) string {
	if len(text) < minKnownSecret {
		return text
	}
	text = s.jsonText(text)
	lower := strings.ToLower(text)
	for _, f := range forms {
		if strings.Contains(lower, f.mark) {
			text = s.replaceGroup(f.match, text, f.check)
		}
	}
	if hasCard(text) {
		text = s.replaceGroup(cardForm, text, func(_, number string) bool { return luhn(number) })
	}
	if strings.Contains(lower, "<input") || strings.Contains(lower, "<meta") {
		text = s.inputs(text)
	}
	text = s.assignments(text)
	return s.replaceKnown(text)
}

// replaceGroup redacts the second group of each match that the check says is
// secret.
func (s *scrubber) replaceGroup(form *regexp.Regexp, text string, isSecret func(first, second string) bool) string {
	matches := form.FindAllStringSubmatchIndex(text, -1)
	if matches == nil {
		return text
	}
	var out strings.Builder
	end := 0
	for _, at := range matches {
		first, second := text[at[2]:at[3]], text[at[4]:at[5]]
		if !isSecret(first, second) {
			continue
		}
		out.WriteString(text[end:at[4]])
		out.WriteString(s.secret(second))
		end = at[5]
	}
	out.WriteString(text[end:])
	return out.String()
}

// inputs redacts the value of HTML form fields with a secret name, or of type
// password.
func (s *scrubber) inputs(text string) string {
	return inputTag.ReplaceAllStringFunc(text, func(tag string) string {
		hidden := false
		for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
			key := strings.ToLower(m[1])
			hidden = hidden || (key == "name" || key == "id") && SecretName(m[2]) || key == "type" && strings.EqualFold(m[2], "password")
		}
		if !hidden {
			return tag
		}
		return s.replaceGroup(attribute, tag, func(key, _ string) bool {
			return strings.EqualFold(key, "value") || strings.EqualFold(key, "content")
		})
	})
}

// assignments redacts name=value, name: value and "name": "value" where the name
// is secret, by hand: it runs over every text that is stored.
func (s *scrubber) assignments(text string) string {
	var out strings.Builder
	copied := 0
	for at := 0; at < len(text); at++ {
		if text[at] != '=' && text[at] != ':' {
			continue
		}
		if !SecretName(nameBefore(text[copied:at])) {
			continue
		}
		start, end := valueBehind(text, at+1)
		if start == end || isWord(text[start:end]) {
			continue
		}
		out.WriteString(text[copied:start])
		out.WriteString(s.secret(text[start:end]))
		copied, at = end, end-1
	}
	if copied == 0 {
		return text
	}
	out.WriteString(text[copied:])
	return out.String()
}

// nameBefore returns the name that a text ends with, whose closing quote and a
// few blanks may follow it.
func nameBefore(text string) string {
	end := len(text)
	for n := 0; n < 4 && end > 0 && (text[end-1] == ' ' || text[end-1] == '\t'); n++ {
		end--
	}
	for end > 0 && (text[end-1] == '"' || text[end-1] == '\'' || text[end-1] == '\\') {
		end--
	}
	start := end
	for start > 0 && end-start < maxSecretName && nameByte(text[start-1]) {
		start--
	}
	return text[start:end]
}

func nameByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '_' || c == '-' || c == '.'
}

// valueBehind returns where the value behind a separator stands: what is in
// quotes, or what goes on to the next separator.
func valueBehind(text string, at int) (start, end int) {
	for n := 0; n < 4 && at < len(text) && (text[at] == ' ' || text[at] == '\t'); n++ {
		at++
	}
	start = at
	for start < len(text) && text[start] == '\\' {
		start++
	}
	if start < len(text) && (text[start] == '"' || text[start] == '\'') {
		return start + 1, quotedEnd(text, start, start > at)
	}
	for end = start; end < len(text) && strings.IndexByte(" \t\r\n&;,\"'<>{}()[]\\", text[end]) < 0; end++ {
	}
	return start, end
}

// quotedEnd returns where the value ends whose opening quote stands at open. If
// that quote is escaped, as in JSON inside a string, so is the closing one, by a
// single backslash; more of them belong to the value.
func quotedEnd(text string, open int, escaped bool) int {
	for end := open + 1; end < len(text); end++ {
		if text[end] == text[open] || text[end] == '\n' {
			return end
		}
		run := len(text) - end - len(strings.TrimLeft(text[end:], `\`))
		if escaped && run == 1 && end+1 < len(text) && text[end+1] == text[open] {
			return end
		}
		if run > 0 && (escaped || run%2 == 1) {
			end += run
		} else if run > 0 {
			end += run - 1
		}
	}
	return len(text)
}

// isWord reports whether a value is one of the words that are no secret.
func isWord(value string) bool {
	switch strings.ToLower(value) {
	case "null", "true", "false", "none", "undefined", "bearer", "basic", "http", "https", "redacted":
		return true
	}
	return strings.HasPrefix(value, tokenPrefix)
}

// hasCard reports whether a text has so many digits in a row, with single
// separators between them, that it may hold a payment card's number.
func hasCard(text string) bool {
	digits, gap := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isDigit(c):
			if digits, gap = digits+1, 0; digits >= 13 {
				return true
			}
		case gap == 0 && (c == ' ' || c == '-' || c == '+'):
			gap++
		default:
			digits, gap = 0, 0
		}
	}
	return false
}

// luhn reports whether the digits of a text pass the checksum of payment cards
// (ISO/IEC 7812-1, annex B).
func luhn(text string) bool {
	sum, double := 0, false
	for i := len(text) - 1; i >= 0; i-- {
		if !isDigit(text[i]) {
			continue
		}
		d := int(text[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum, double = sum+d, !double
	}
	return sum%10 == 0
}
