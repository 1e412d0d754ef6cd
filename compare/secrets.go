package compare

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"parallax"
)

// secretNames are names of fields whose values are secret, in lower case without
// separators. A name whose last word is one of them is secret too (user_pass,
// connect.sid, laravelSession), and so is one that ends in one of secretEndings or
// holds one of secretParts, in singular or plural.
var secretNames = map[string]bool{
	"auth": true, "cardno": true, "cardnumber": true, "ccnumber": true, "clientassertion": true, "creditcard": true, "cvc": true, "cvv": true,
	"cvv2": true, "jsessionid": true, "jwt": true, "mfacode": true, "otp": true, "pass": true, "passcode": true, "phpsessid": true,
	"pin": true, "pwd": true, "session": true, "sessionid": true, "sid": true, "sig": true, "ssn": true, "totp": true, "xamzcredential": true,
}

var secretEndings = []string{
	"accesskey", "apikey", "authkey", "authorization", "cookie", "credential",
	"privatekey", "secret", "secretkey", "sessionkey", "signature", "signingkey", "token",
}

var secretParts = []string{"passphrase", "passwd", "password"}

// shortestSecretName is how long the shortest of these names is.
const shortestSecretName = 3

// maxSecretName is how long a name may be that is looked at, in bytes.
const maxSecretName = 128

// SecretName reports whether a header, query parameter, form field, JSON member
// or column of this name holds a secret. Case and the separators - _ . [ ] and
// blank do not matter; of a long name the end decides.
func SecretName(name string) bool {
	var buf [maxSecretName]byte
	plain, word := buf[:0], 0 // word is where the last word begins
	for i := max(0, len(name)-maxSecretName); i < len(name); i++ {
		switch c := name[i]; {
		case strings.IndexByte("-_. []", c) >= 0:
			if i+1 < len(name) {
				word = len(plain)
			}
		case c >= 'A' && c <= 'Z':
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				word = len(plain)
			}
			plain = append(plain, c|0x20)
		default:
			plain = append(plain, c)
		}
	}
	if string(plain) == "accesscontrolallowcredentials" {
		return false // says true or nothing
	}
	return isSecretName(plain, word) || len(plain) > 0 && plain[len(plain)-1] == 's' && isSecretName(plain[:len(plain)-1], word)
}

func isSecretName(plain []byte, word int) bool {
	if len(plain) < shortestSecretName {
		return false
	}
	if secretNames[string(plain)] || word > 0 && word < len(plain) && secretNames[string(plain[word:])] {
		return true
	}
	for _, end := range secretEndings {
		if len(plain) >= len(end) && string(plain[len(plain)-len(end):]) == end {
			return true
		}
	}
	for _, part := range secretParts {
		if bytes.Contains(plain, []byte(part)) {
			return true
		}
	}
	return false
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

// replacer replaces the secrets that were found, the longest first, in every
// spelling they may be echoed in.
func (s *scrubber) replacer() *strings.Replacer {
	for secret := range s.found {
		if plain, err := url.QueryUnescape(secret); err == nil && len(plain) >= minKnownSecret {
			s.found[plain] = true
		}
	}
	secrets := slices.SortedFunc(maps.Keys(s.found), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	var replacements []string
	for _, secret := range secrets {
		token := s.token(secret)
		for _, spelled := range spellings(secret) {
			s.spelled = append(s.spelled, spelled)
			replacements = append(replacements, spelled, token)
		}
	}
	return strings.NewReplacer(replacements...)
}

// spellings returns how a secret may be written: as it is, percent-encoded, and
// inside JSON and HTML. Each stands once.
func spellings(secret string) []string {
	coded := url.QueryEscape(secret)
	if coded == secret {
		return []string{secret} // Nothing in it is ever escaped.
	}
	out := []string{secret, coded, lowerEscapes(coded), url.PathEscape(secret), html.EscapeString(secret)}
	for _, escapeHTML := range []bool{false, true} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		if e.Encode(secret) != nil { // A string always encodes.
			continue
		}
		quoted := strings.Trim(b.String(), "\"\n")
		for _, one := range []string{quoted, upperEscapes(quoted)} {
			out = append(out, one, strings.ReplaceAll(one, "/", `\/`))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var (
	percentEscape = regexp.MustCompile(`%[0-9A-F]{2}`)
	jsonEscape    = regexp.MustCompile(`\\u[0-9a-f]{4}`)
)

func lowerEscapes(text string) string {
	return percentEscape.ReplaceAllStringFunc(text, strings.ToLower)
}

func upperEscapes(text string) string {
	return jsonEscape.ReplaceAllStringFunc(text, func(e string) string { return `\u` + strings.ToUpper(e[2:]) })
}

// minKnownBeginning is how many bytes of a known secret are looked for where a
// text was cut.
const minKnownBeginning = 3

// withoutBeginning takes the beginning of a known secret off the end of a text
// that was cut there.
func (s *scrubber) withoutBeginning(text string) string {
	end := len(text)
	for _, secret := range s.spelled {
		for n := min(len(secret)-1, len(text)); n >= minKnownBeginning && n > len(text)-end; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				end = len(text) - n
			}
		}
	}
	return text[:end]
}

// replaceKnown replaces the secrets that were found in the exchange.
func (s *scrubber) replaceKnown(text string) string {
	if s.known == nil {
		return text
	}
	return s.known.Replace(text)
}
