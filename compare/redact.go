package compare

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"parallax"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// RedactConfig adds to the built-in list of what is secret.
type RedactConfig struct {
	Headers []string `yaml:"headers" doc:"further headers whose values are secret"`
	Paths   []string `yaml:"paths" doc:"further places in JSON bodies whose values are secret, such as $..email"`
}

// Redactor replaces secrets before anything is stored. The same secret is
// replaced by the same token under one key, so that equal values stay equal and
// different ones different. It does not change and may be shared.
//
// Secret are: credentials in headers, cookies, query parameters, form fields and
// JSON members by name ([SecretName]), bearer tokens, JSON Web Tokens, passwords
// in URLs and payment card numbers wherever they stand, and what configuration
// adds. A secret of at least six bytes that is found in one place of an exchange
// is replaced in all others too, so that a service that echoes a token does not
// leak it.
type Redactor struct {
	key     []byte
	headers map[string]bool
	paths   []*body.Path

	messages *Messages // what is known of messages
}

// NewRedactor returns a redactor with the built-in list and cfg. The key makes
// tokens impossible to guess back; whoever shares it makes the same tokens.
func NewRedactor(key []byte, cfg RedactConfig) (*Redactor, []parallax.Fault) {
	r := &Redactor{key: key, headers: map[string]bool{}}
	var faults []parallax.Fault
	if len(key) == 0 {
		faults = append(faults, parallax.Fault{Text: "redaction needs a key"})
	}
	for i, name := range cfg.Headers {
		if name == "" || strings.ContainsAny(name, " \t:;,=\"") {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("headers[%d]", i), Text: fmt.Sprintf("%.40q is not the name of a header", name)})
		}
		r.headers[strings.ToLower(name)] = true
	}
	for i, text := range cfg.Paths {
		fault := func(text, hint string) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("paths[%d]", i), Text: text, Hint: hint})
		}
		path, err := body.ParsePath(text)
		var wrong *body.PathError
		switch {
		case errors.As(err, &wrong):
			fault(fmt.Sprintf("column %d: %s", wrong.Column, wrong.Text), "write a path such as $..email")
		case path.FromEnd():
			fault("places to redact are not counted from the end", "write [*]")
		case path.Filters():
			fault("places to redact have no filters, as differences are redacted without their documents", "write [*]")
		default:
			r.paths = append(r.paths, path)
		}
	}
	return r, faults
}

const tokenPrefix = "redacted:"

// token returns what stands for a secret. A token stays what it is.
func (r *Redactor) token(secret string) string {
	if secret == "" || strings.HasPrefix(secret, tokenPrefix) {
		return secret
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(secret))
	return tokenPrefix + hex.EncodeToString(mac.Sum(nil)[:8])
}

// Exchange returns a copy of x without secrets. x is not changed, and the copy
// shares what holds no secret with it. A body that was changed is stored
// decoded: its Content-Encoding moves to the header X-Parallax-Was-Encoded, and
// its SHA256 is replaced by a keyed one; that of any other body is its Sum. A body
// that cannot be read to be redacted is replaced by a note.
func (r *Redactor) Exchange(x *parallax.Exchange) *parallax.Exchange {
	return r.scrubber(x, nil).exchange(x)
}

func (s *scrubber) exchange(x *parallax.Exchange) *parallax.Exchange {
	out := *x
	for leg, call := range x.Legs {
		if call != nil {
			out.Legs[leg] = s.call(call)
		}
	}
	return &out
}

// Comparison returns a copy of c, the comparison of x, without secrets. x is the
// exchange as it was compared, before redaction.
func (r *Redactor) Comparison(x *parallax.Exchange, c Comparison) Comparison {
	return r.scrubber(x, c.Pairs).comparison(c)
}

// Both does what Exchange and Comparison do, and looks for secrets once only.
func (r *Redactor) Both(x *parallax.Exchange, c Comparison) (*parallax.Exchange, Comparison) {
	s := r.scrubber(x, c.Pairs)
	return s.exchange(x), s.comparison(c)
}

// scrubber redacts one exchange: it knows the secrets that were found in it.
type scrubber struct {
	*Redactor
	found   map[string]bool
	short   map[string]bool   // secrets too short to be looked for wherever they stand
	known   *strings.Replacer // nil while secrets are collected
	spelled []string          // what known replaces

	endpoint string
	said     answers // what the body at hand is
	asking   bool    // it is a request's
}

// Bounds of the secrets that are looked for wherever else they stand.
const (
	minKnownSecret = 6
	maxKnown       = 256
)

// scrubber collects the secrets of an exchange by redacting it once.
func (r *Redactor) scrubber(x *parallax.Exchange, pairs []ids.Known) *scrubber {
	s := &scrubber{Redactor: r, found: map[string]bool{}, short: map[string]bool{}, endpoint: x.Endpoint}
	for _, call := range x.Legs {
		if call != nil {
			s.call(call)
		}
	}
	s.secretPairs(pairs)
	s.known = s.replacer()
	return s
}

// secret returns the token for a value and remembers the value, and what follows
// a scheme such as Bearer in it.
func (s *scrubber) secret(value string) string {
	s.remember(value)
	if scheme, credentials, ok := strings.Cut(value, " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")) {
		s.remember(credentials)
	}
	return s.token(value)
}

func (s *scrubber) remember(value string) {
	if value != "" && len(value) < minKnownSecret && len(s.short) < maxKnown {
		s.short[value] = true
	}
	if len(value) >= minKnownSecret && len(s.found) < maxKnown && !strings.HasPrefix(value, tokenPrefix) {
		s.found[value] = true
	}
}

func (s *scrubber) comparison(c Comparison) Comparison {
	differences := make([]Difference, len(c.Differences))
	for i, d := range c.Differences {
		differences[i] = s.difference(d)
	}
	c.Differences = differences
	c.Pairs = s.pairsOf(c.Pairs)
	c.Sample = s.sample(c.Sample)
	return c
}

func (s *scrubber) call(call *parallax.Call) *parallax.Call {
	out := *call
	out.Request.Target = s.target(call.Request.Target)
	s.said, s.asking = s.messages.asked(call.Request.Target), true
	out.Request.Headers, out.Request.Body = s.message(call.Request.Headers, call.Request.Body)
	out.Request.Trailers = s.fields(call.Request.Trailers)
	s.said, s.asking = s.messages.answers(s.endpoint, call.Request.Target), false
	out.Response.Headers, out.Response.Body = s.message(call.Response.Headers, call.Response.Body)
	out.Response.Trailers = s.fields(call.Response.Trailers)
	out.Err.Text = s.text(call.Err.Text)
	out.Version = s.text(call.Version)
	out.Effects = s.effects(call.Effects)
	return &out
}

func (s *scrubber) effects(effects []parallax.Effect) []parallax.Effect {
	if effects == nil {
		return nil
	}
	out := make([]parallax.Effect, len(effects))
	for i, e := range effects {
		out[i] = e
		out[i].Key, out[i].Before, out[i].After = s.columns(e.Key), s.columns(e.Before), s.columns(e.After)
	}
	return out
}

func (s *scrubber) columns(columns []parallax.Column) []parallax.Column {
	if columns == nil {
		return nil
	}
	out := make([]parallax.Column, len(columns))
	for i, c := range columns {
		out[i] = c
		if c.Value == nil {
			continue
		}
		value := s.column(c)
		out[i].Value = &value
	}
	return out
}

// column redacts the value of a column, as one of a document whose members are the
// columns of a row.
func (s *scrubber) column(c parallax.Column) string {
	text := *c.Value
	if SecretName(c.Name) || s.covered([]body.Step{{Name: c.Name}}) {
		return s.secret(text)
	}
	if c.Type != parallax.JSONColumn || len(s.paths) == 0 {
		return s.text(text)
	}
	row := string(object([]parallax.Column{c}))
	begins := row[:strings.IndexByte(row, ':')+1]
	clean := s.text(row)
	if inside, ok := strings.CutPrefix(clean, begins); ok && strings.HasSuffix(inside, "}") {
		return strings.TrimSuffix(inside, "}")
	}
	return s.secret(text)
}

// Effects returns copies of effects without secrets.
func (r *Redactor) Effects(effects []parallax.Effect) []parallax.Effect {
	return r.scrubber(&parallax.Exchange{Legs: [parallax.Legs]*parallax.Call{{Effects: effects}}}, nil).effects(effects)
}

// difference redacts the values of one difference: all of them where its place
// names a secret, otherwise what is secret inside.
func (s *scrubber) difference(d Difference) Difference {
	value := s.value
	kind, name, _ := strings.Cut(d.Path, ":")
	switch placeKind(kind) {
	case placeHeader, placeTrailer:
		value = func(v string) string { return s.headerValue(name, v) }
	case placeCookie:
		if !strings.Contains(name, ";") {
			value = s.secret
		}
	case placeRow:
		if _, path, column := strings.Cut(d.Path, " "); column && s.secretPath(path) {
			value = func(v string) string { return s.secret(strings.Trim(v, `"`)) }
		}
	default:
		if strings.HasPrefix(d.Path, "$") && s.secretPath(d.Path) {
			value = func(v string) string { return s.secret(strings.Trim(v, `"`)) }
		}
	}
	d.Primary, d.Candidate = value(d.Primary), value(d.Candidate)
	d.Path, d.Normal = s.path(d.Path), s.path(d.Normal)
	d.Suppressed.Detail = s.withoutShort(s.replaceKnown(d.Suppressed.Detail))
	return d
}

// path redacts a path as a difference keeps it: names may be secrets that are known
// from elsewhere.
func (s *scrubber) path(text string) string {
	if begins, cut := strings.CutSuffix(text, cutMark); cut {
		return s.replaceKnown(s.withoutBeginning(begins)) + cutMark
	}
	return s.replaceKnown(text)
}

// headerValue redacts the value of a header as a difference keeps it.
func (s *scrubber) headerValue(name, text string) string {
	begins, cut := strings.CutSuffix(text, cutMark)
	if cut {
		begins = s.withoutBeginning(begins)
	}
	clean := s.field(parallax.Field{Name: name, Value: begins})
	if cut {
		clean += cutMark
	}
	return clean
}

// value redacts a value as a difference keeps it, which may have been cut inside a
// secret.
func (s *scrubber) value(text string) string {
	if begins, ok := strings.CutSuffix(text, cutMark); ok {
		return s.text(s.withoutBeginning(begins)) + cutMark
	}
	return s.text(text)
}

// secretPath reports whether a place in a JSON document is secret.
func (s *scrubber) secretPath(text string) bool {
	if strings.HasSuffix(text, cutMark) {
		return true // The names that were cut off may be secret.
	}
	text, _, _ = strings.Cut(text, "#")
	path, err := body.ParsePath(text)
	if err != nil {
		return true // A name that is not UTF-8, or has a # in it: better safe.
	}
	for _, name := range path.Names() {
		if SecretName(name) {
			return true
		}
	}
	steps, ok := path.Steps()
	for i := range steps {
		steps[i].Implied = steps[i].Element // The document may be lax.
	}
	return !ok || s.covered(steps)
}

// covered reports whether configuration declares a place secret.
func (r *Redactor) covered(steps []body.Step) bool {
	for _, p := range r.paths {
		if p.Covers(steps) {
			return true
		}
	}
	return false
}
