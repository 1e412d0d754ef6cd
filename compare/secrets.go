package compare

import (
	"encoding/base64"
	"net/url"
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

// maxSecretName is how long a name may be that is looked at, in bytes.
const maxSecretName = 128

// SecretName reports whether a header, query parameter, form field, JSON member
// or column of this name holds a secret. Case and the separators - _ . and blank
// do not matter; of a long name the end decides.
func SecretName(name string) bool {
	var buf [maxSecretName]byte
	plain := buf[:0]
	for i := max(0, len(name)-maxSecretName); i < len(name); i++ {
		switch c := name[i]; {
		case c == '-' || c == '_' || c == '.' || c == ' ':
		case c >= 'A' && c <= 'Z':
			plain = append(plain, c|0x20)
		default:
			plain = append(plain, c)
		}
	}
	if string(plain) == "accesscontrolallowcredentials" {
		return false // says true or nothing
	}
	for _, secret := range secretNames {
		if string(plain) == secret {
			return true
		}
	}
	for _, end := range secretEndings {
		if len(plain) >= len(end) && string(plain[len(plain)-len(end):]) == end {
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
