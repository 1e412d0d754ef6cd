package compare

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"parallax"
)

// secretNames are names of fields whose values are secret, in lower case without
// separators. A name that ends in one of secretEndings is secret too.
var secretNames = []string{
	"auth", "cardno", "cardnumber", "ccnumber", "clientassertion", "creditcard", "cvc", "cvv", "cvv2", "jsessionid", "jwt", "mfacode", "otp",
	"pass", "passcode", "phpsessid", "pin", "pwd", "session", "sessionid", "sid", "sig", "ssn", "totp", "xamzcredential",
}

var secretEndings = []string{
	"accesskey", "apikey", "authorization", "cookie", "cookies", "credential", "credentials", "passphrase", "passwd", "password",
	"privatekey", "secret", "secretkey", "signature", "token", "tokens",
}

// SecretName reports whether a header, query parameter, form field, JSON member
// or column of this name holds a secret. Case and the separators - _ . and blank
// do not matter.
func SecretName(name string) bool {
	plain := strings.Map(func(c rune) rune {
		switch {
		case c == '-' || c == '_' || c == '.' || c == ' ':
			return -1
		case c >= 'A' && c <= 'Z':
			return c | 0x20
		}
		return c
	}, name)
	return slices.Contains(secretNames, plain) ||
		slices.ContainsFunc(secretEndings, func(end string) bool { return strings.HasSuffix(plain, end) })
}

// fields redacts header fields.
func (s *scrubber) fields(fields []parallax.Field) []parallax.Field {
	if fields == nil {
		return nil
	}
	out := make([]parallax.Field, len(fields))
	for i, f := range fields {
		out[i] = parallax.Field{Name: f.Name, Value: s.field(f)}
	}
	return out
}

// field redacts the value of one header field.
func (s *scrubber) field(f parallax.Field) string {
	name := strings.ToLower(f.Name)
	switch {
	case f.Value == "":
		return ""
	case name == "cookie":
		return s.pairs(f.Value, ";", func(string) bool { return true })
	case name == "set-cookie":
		head, rest, more := strings.Cut(f.Value, ";")
		head = s.pairs(head, ";", func(string) bool { return true })
		if more {
			head += ";" + rest
		}
		return head
	case name == "authorization" || name == "proxy-authorization":
		return s.authorization(f.Value)
	case s.headers[name] || SecretName(name):
		return s.secret(f.Value)
	}
	return s.text(f.Value)
}

// authorization keeps the scheme. The password of Basic is remembered too.
func (s *scrubber) authorization(value string) string {
	scheme, credentials, ok := strings.Cut(value, " ")
	if !ok {
		return s.secret(value)
	}
	credentials = strings.TrimSpace(credentials)
	if strings.EqualFold(scheme, "basic") {
		if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			s.remember(password)
		}
	}
	return scheme + " " + s.secret(credentials)
}

// pairs redacts the values of name=value pairs whose names are secret.
func (s *scrubber) pairs(text, separator string, isSecret func(name string) bool) string {
	parts := strings.Split(text, separator)
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if ok && isSecret(strings.TrimSpace(name)) {
			parts[i] = name + "=" + s.secret(strings.Trim(value, `" `))
		}
	}
	return strings.Join(parts, separator)
}

// parameters redacts a query or a form, whose names may be percent-encoded. The
// decoded value is remembered too.
func (s *scrubber) parameters(text string) string {
	return s.pairs(text, "&", func(name string) bool {
		plain, err := url.QueryUnescape(name)
		return SecretName(name) || err == nil && SecretName(plain)
	})
}

// target redacts a path with its query.
func (s *scrubber) target(target string) string {
	path, query, ok := strings.Cut(target, "?")
	if ok {
		path += "?" + s.parameters(query)
	}
	return s.text(path)
}

// replacer replaces the secrets that were found, the longest first, in their
// plain and their percent-encoded form.
func (s *scrubber) replacer() *strings.Replacer {
	for secret := range s.found {
		if plain, err := url.QueryUnescape(secret); err == nil && len(plain) >= minKnownSecret {
			s.found[plain] = true
		}
	}
	secrets := make([]string, 0, len(s.found))
	for secret := range s.found {
		secrets = append(secrets, secret)
	}
	slices.SortFunc(secrets, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var replacements []string
	for _, secret := range secrets {
		replacements = append(replacements, secret, s.token(secret))
		if coded := url.QueryEscape(secret); coded != secret {
			replacements = append(replacements, coded, s.token(secret))
		}
	}
	return strings.NewReplacer(replacements...)
}

// replaceKnown replaces the secrets that were found in the exchange.
func (s *scrubber) replaceKnown(text string) string {
	if s.known == nil {
		return text
	}
	return s.known.Replace(text)
}

// Forms in which secrets stand in any text. Each has the secret as its last
// group.
var (
	bearerForm = regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)([a-z0-9._~+/=-]{6,})`)
	jwtForm    = regexp.MustCompile(`()(\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*)?)`)
	urlForm    = regexp.MustCompile(`(://[^/\s:@"'<>]{0,128}:)([^/\s@"'<>]{1,128})@`)
	cardForm   = regexp.MustCompile(`()(\b[2-6](?:[ +-]?\d){12,18}\b)`)
	elementOf  = regexp.MustCompile(`<([A-Za-z][\w.:-]{0,63})(?:\s[^<>]*)?>([^<>]+)<`)
	inputTag   = regexp.MustCompile(`(?i)<(?:input|meta)\b[^<>]*>`)
	attribute  = regexp.MustCompile(`([A-Za-z-]{1,32})\s*=\s*["']?([^"'<>]+)`)
	partOf     = regexp.MustCompile(`(?i)name="?([\w.\[\]-]{1,64})"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]+)`)
	assignment = regexp.MustCompile(`([A-Za-z][\w.-]{1,63})(\\?["']?\s{0,4}[=:]\s{0,4})(\\?"(?:[^"\\]|\\[^"])*|'[^'\n]*|[^\s&;,"'<>{}()\[\]\\]+)`)
)

// text redacts what looks like a secret in any text, then the secrets known from
// elsewhere in the exchange.
func (s *scrubber) text(text string) string {
	if len(text) < minKnownSecret {
		return text
	}
	text = s.jsonText(text)
	text = s.lastGroup(bearerForm, text, func(string) bool { return true })
	text = s.lastGroup(jwtForm, text, func(string) bool { return true })
	text = s.lastGroup(urlForm, text, func(string) bool { return true })
	text = s.lastGroup(cardForm, text, luhn)
	text = s.named(elementOf, text)
	text = s.inputs(text)
	text = s.named(partOf, text)
	text = s.assignments(text)
	return s.replaceKnown(text)
}

// lastGroup redacts the second group of each match that is secret.
func (s *scrubber) lastGroup(form *regexp.Regexp, text string, isSecret func(string) bool) string {
	return s.replaceGroup(form, text, func(m []string) bool { return isSecret(m[2]) })
}

// named redacts the second group of each match whose first group is a secret
// name.
func (s *scrubber) named(form *regexp.Regexp, text string) string {
	return s.replaceGroup(form, text, func(m []string) bool { return SecretName(m[1]) })
}

func (s *scrubber) replaceGroup(form *regexp.Regexp, text string, isSecret func(groups []string) bool) string {
	matches := form.FindAllStringSubmatchIndex(text, -1)
	if matches == nil {
		return text
	}
	var out strings.Builder
	end := 0
	for _, at := range matches {
		first, last := text[at[2]:at[3]], text[at[4]:at[5]]
		if !isSecret([]string{"", first, last}) {
			continue
		}
		out.WriteString(text[end:at[4]])
		out.WriteString(s.secret(last))
		end = at[5]
	}
	out.WriteString(text[end:])
	return out.String()
}

// assignments redacts name=value and "name": "value" where the name is secret. A
// value may hold assignments of its own, as a URL does.
func (s *scrubber) assignments(text string) string {
	var out strings.Builder
	copied, at := 0, 0
	for {
		m := assignment.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		name, value := text[at+m[2]:at+m[3]], text[at+m[6]:at+m[7]]
		quoted := strings.TrimLeft(value, `\"'`)
		if !SecretName(name) || quoted == "" || isWord(quoted) {
			at += m[3]
			continue
		}
		out.WriteString(text[copied : at+m[7]-len(quoted)])
		out.WriteString(s.secret(quoted))
		at += m[7]
		copied = at
	}
	out.WriteString(text[copied:])
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
		return s.replaceGroup(attribute, tag, func(m []string) bool {
			return strings.EqualFold(m[1], "value") || strings.EqualFold(m[1], "content")
		})
	})
}

// isWord reports whether a value is one of the words that are no secret.
func isWord(value string) bool {
	switch strings.ToLower(value) {
	case "null", "true", "false", "none", "undefined", "bearer", "basic", "http", "https":
		return true
	}
	return strings.HasPrefix(value, tokenPrefix) || value == strings.TrimSuffix(tokenPrefix, ":")
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
