package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"parallax"
)

// Rewrite is one declared change of where a leg's requests go. It has one of
// path, query and host. Of the path rules the first that matches is applied, and
// so of the host rules; query rules are applied all, in their order. Whatever no
// rule matches stays as the caller sent it, byte by byte.
//
// Patterns are RE2. They see what the caller sent: the path with its escapes and
// without the query, the host with its port. A name in the query is seen
// unescaped. In to, $1 or ${name} is what a group matched.
type Rewrite struct {
	Path   string  `yaml:"path,omitempty" doc:"pattern of the raw path; every place it matches becomes to, and later path rules are left out"`
	Query  string  `yaml:"query,omitempty" doc:"pattern of a whole name in the query: each that matches is renamed to to, given the value set, or removed"`
	Host   string  `yaml:"host,omitempty" doc:"pattern of the caller's Host; every place it matches becomes to, and later host rules are left out"`
	To     *string `yaml:"to,omitempty" doc:"what it becomes; $1 or ${1} is what the first group matched"`
	Set    *string `yaml:"set,omitempty" doc:"value that the names in the query get; a name without special characters is added where it is missing"`
	Remove bool    `yaml:"remove,omitempty" doc:"take the names out of the query, with their values"`
}

// The values of a leg's host key that are no names of hosts.
const (
	hostKeep = "keep"
	hostLeg  = "leg"
)

// maxTarget bounds what rewriting may make of a request target, in bytes.
const maxTarget = 64 << 10

// rewriting is what is declared of a leg's requests, compiled. It does
// not change, but for what the log has been told.
type rewriting struct {
	told         atomic.Bool
	headers      changes
	path, host   []replacement
	query        []queryRule
	fixed        string // host that all requests get; "" for none
	hostOfTheLeg bool   // requests get the host of the instance they go to
}

type replacement struct {
	pattern *regexp.Regexp
	to      string
}

// first applies the first replacement that matches.
func first(rules []replacement, text string) (out string, matched bool) {
	for _, r := range rules {
		if r.pattern.MatchString(text) {
			return r.pattern.ReplaceAllString(text, r.to), true
		}
	}
	return text, false
}

// newRewriting compiles what is declared of a leg. It must have been validated.
func newRewriting(c LegConfig) (*rewriting, error) {
	w := &rewriting{headers: newChanges(c.Request), hostOfTheLeg: c.Host == hostLeg}
	if c.Host != "" && c.Host != hostKeep && c.Host != hostLeg {
		w.fixed = c.Host
	}
	for _, r := range c.Rewrite {
		pattern, err := r.compile()
		if err != nil {
			return nil, err
		}
		switch {
		case r.Path != "":
			w.path = append(w.path, replacement{pattern, *r.To})
		case r.Host != "":
			w.host = append(w.host, replacement{pattern, *r.To})
		default:
			w.query = append(w.query, queryRule{pattern: pattern, Rewrite: r, literal: regexp.QuoteMeta(r.Query) == r.Query})
		}
	}
	return w, nil
}

// apply changes a request as it is declared for the leg. The error says why what
// came of it is no request that may be sent.
func (w *rewriting) apply(r *parallax.Request) error {
	switch {
	case w.hostOfTheLeg:
		r.Host = ""
	case w.fixed != "":
		r.Host = w.fixed
	case len(w.host) > 0 && r.Host != "":
		host, changed := first(w.host, r.Host)
		if changed && !isHost(host) {
			return errors.New("the declared rewriting of the request's host gives no valid host")
		}
		r.Host = host
	}
	if len(w.path) == 0 && len(w.query) == 0 || !strings.HasPrefix(r.Target, "/") {
		return nil // OPTIONS * has no path
	}
	path, query, found := strings.Cut(r.Target, "?")
	path, changed := first(w.path, path)
	if changed && !isPath(path) {
		return errors.New("the declared rewriting of the request's path gives no valid path")
	}
	if len(w.query) > 0 {
		query, found = w.rewriteQuery(query, found)
	}
	r.Target = path
	if found {
		r.Target += "?" + query
	}
	if len(r.Target) > maxTarget {
		return fmt.Errorf("the declared rewriting makes the request's target longer than %d bytes", maxTarget)
	}
	return nil
}

// isPath reports whether a text can be the path of a request target.
func isPath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '?' || c == '#' })
}

// isHost reports whether a text can be a Host: a name or an address, perhaps with
// a port.
func isHost(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !letter && !strings.ContainsRune("-._~:[]", c)
	})
}

// queryRule is a rule for names in the query.
type queryRule struct {
	Rewrite
	pattern *regexp.Regexp // of the whole name
	literal bool           // the pattern is a name
}

// rewriteQuery applies the query rules to a raw query. Pairs that no rule matches
// keep their bytes and their order. Names and values are told apart as the
// WHATWG's URL standard does: at & and at the first =, so that a semicolon is
// part of a value.
func (w *rewriting) rewriteQuery(query string, found bool) (string, bool) {
	var pairs []string
	if found {
		pairs = strings.Split(query, "&")
	}
	changed := false
	for _, rule := range w.query {
		var matched bool
		if pairs, matched = rule.apply(pairs); matched {
			changed = true
		}
	}
	if !changed {
		return query, found
	}
	return strings.Join(pairs, "&"), len(pairs) > 0
}

// apply changes the pairs whose names match, in place.
func (q queryRule) apply(pairs []string) (out []string, changed bool) {
	out = pairs[:0]
	for _, pair := range pairs {
		raw, value, hasValue := strings.Cut(pair, "=")
		name := unescapedName(raw)
		groups := q.pattern.FindStringSubmatchIndex(name)
		if groups == nil || pair == "" {
			out = append(out, pair)
			continue
		}
		changed = true
		switch {
		case q.Remove:
		case q.Set != nil:
			out = append(out, raw+"="+queryText(*q.Set))
		default:
			renamed := queryText(string(q.pattern.ExpandString(nil, *q.To, name, groups)))
			if hasValue {
				renamed += "=" + value
			}
			out = append(out, renamed)
		}
	}
	if q.Set != nil && q.literal && !changed {
		out, changed = append(out, queryText(q.Query)+"="+queryText(*q.Set)), true
	}
	return out, changed
}

// unescapedName returns what a name in the query stands for; one with a bad
// escape stands for itself.
func unescapedName(raw string) string {
	if name, err := url.QueryUnescape(raw); err == nil {
		return name
	}
	return raw
}

// queryText escapes what would end a name or a value in the query, or may not
// stand there.
func queryText(text string) string {
	if strings.IndexFunc(text, escapedInQuery) < 0 {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; escapedInQuery(rune(c)) || c >= 0x80 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func escapedInQuery(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`&=+#%"<>\^{}|`+"`", c)
}

// compile returns the pattern of a rule.
func (r Rewrite) compile() (*regexp.Regexp, error) {
	switch {
	case r.Path != "":
		return regexp.Compile(r.Path)
	case r.Host != "":
		return regexp.Compile("(?i:" + r.Host + ")")
	}
	return regexp.Compile("^(?:" + r.Query + ")$")
}

// validateRewriting returns everything that is wrong with what is declared of the
// leg's requests.
func (l LegConfig) validateRewriting() []parallax.Fault {
	faults := parallax.Under("request", l.Request.validate())
	for i, r := range l.Rewrite {
		faults = append(faults, parallax.Under(fmt.Sprintf("rewrite[%d]", i), r.validate())...)
	}
	if l.Host == "" || l.Host == hostKeep {
		return faults
	}
	if !isHost(l.Host) {
		faults = append(faults, parallax.Fault{Path: "host", Text: fmt.Sprintf("%q is no host", l.Host), Hint: "write keep, leg, or a name such as shop.internal"})
	}
	if i := slices.IndexFunc(l.Rewrite, func(r Rewrite) bool { return r.Host != "" }); i >= 0 {
		faults = append(faults, parallax.Fault{
			Path: fmt.Sprintf("rewrite[%d].host", i), Text: fmt.Sprintf("it can never matter: host is %s", l.Host), Hint: "leave it out, or leave host out",
		})
	}
	return faults
}

func (r Rewrite) validate() []parallax.Fault {
	kinds := 0
	key, text := "path", r.Path
	for _, kind := range []struct{ key, text string }{{"path", r.Path}, {"query", r.Query}, {"host", r.Host}} {
		if kind.text != "" {
			kinds++
			key, text = kind.key, kind.text
		}
	}
	if kinds != 1 {
		return []parallax.Fault{{Text: fmt.Sprintf("a rule has one of path, query and host, and this one has %d", kinds), Hint: `write one rule for each, such as {path: "^/api/(.*)$", to: "/v2/$1"}`}}
	}
	if fault := r.deed(key); fault != nil {
		return []parallax.Fault{*fault}
	}
	pattern, err := r.compile()
	if err != nil {
		return []parallax.Fault{{Path: key, Text: fmt.Sprintf("the pattern %q cannot be used: %v", text, plainSyntax(err)), Hint: "write an RE2 pattern, such as ^/api/(.*)$; a backslash makes a special character an ordinary one"}}
	}
	if r.To == nil {
		return nil
	}
	if fault := r.validateTo(key, pattern); fault != nil {
		return []parallax.Fault{*fault}
	}
	return nil
}

// plainSyntax returns what is wrong with a pattern, without the pattern.
func plainSyntax(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// deed checks that the rule says what to do, once.
func (r Rewrite) deed(key string) *parallax.Fault {
	if key != "query" {
		if r.Set != nil || r.Remove {
			return &parallax.Fault{Text: "set and remove are for names in the query", Hint: "write to"}
		}
		if r.To == nil {
			return &parallax.Fault{Text: "there is no to", Hint: `write what it becomes, such as to: "/v2/$1"`}
		}
		return nil
	}
	deeds := 0
	for _, there := range []bool{r.To != nil, r.Set != nil, r.Remove} {
		if there {
			deeds++
		}
	}
	if deeds != 1 {
		return &parallax.Fault{Text: fmt.Sprintf("a rule for the query has one of to, set and remove, and this one has %d", deeds), Hint: "write to to rename, set to give a value, or remove: true"}
	}
	return nil
}

var reference = regexp.MustCompile(`\$(\$|\w+|\{\w+\})?`)

// validateTo checks that every reference names a group and that what is written
// out can be part of a target.
func (r Rewrite) validateTo(key string, pattern *regexp.Regexp) *parallax.Fault {
	for _, m := range reference.FindAllString(*r.To, -1) {
		name := strings.Trim(m[1:], "{}")
		if m == "$$" {
			continue
		}
		if group, err := strconv.Atoi(name); err == nil && group <= pattern.NumSubexp() || pattern.SubexpIndex(name) >= 0 {
			continue
		}
		return &parallax.Fault{Path: "to", Text: fmt.Sprintf("%s names no group of the pattern, which has %d", m, pattern.NumSubexp()), Hint: "write ${1} where a letter, digit or underscore follows, and $$ for a dollar sign"}
	}
	written := reference.ReplaceAllString(*r.To, "")
	switch {
	case key == "path" && strings.ContainsAny(written, "?#"):
		return &parallax.Fault{Path: "to", Text: "a path has no ? and no #", Hint: "use rules with query to change the query"}
	case key == "path" && !isPath("/"+written), key == "host" && written != "" && !isHost(written):
		return &parallax.Fault{Path: "to", Text: fmt.Sprintf("%q cannot be part of a %s", written, key), Hint: "leave out spaces and control characters; write escapes such as %20"}
	case key == "path" && strings.HasPrefix(r.Path, "^") && *r.To != "" && !strings.HasPrefix(*r.To, "/") && !strings.HasPrefix(*r.To, "$"):
		return &parallax.Fault{Path: "to", Text: "it makes a path that does not begin with a slash", Hint: "write " + `"/` + *r.To + `"`}
	case key == "query" && *r.To == "":
		return &parallax.Fault{Path: "to", Text: "a name cannot be empty", Hint: "write remove: true to take it out"}
	}
	return nil
}

// rewrite changes the request of a call as it is declared for the leg. If that
// cannot be, the call says so and is not made.
func (f *flight) rewrite(l *leg, c *parallax.Call) {
	if err := l.rewriting.apply(&c.Request); err != nil {
		c.Err = parallax.CallErr{Kind: parallax.NotAsked, Text: err.Error()}
	}
}

// unfit returns why a call is not to be made, nil if it is.
func unfit(c *parallax.Call) error {
	if c.Err.Kind != parallax.NotAsked {
		return nil
	}
	return &sendError{kind: parallax.NotAsked, err: errors.New(c.Err.Text)}
}

// refuseUnfit answers a caller whose request cannot be made into one for the leg
// that answers it, unless the net catches that. It is the configuration that is wrong, not the request.
func (f *flight) refuseUnfit(ctx context.Context, out caller, l *leg, c *parallax.Call, err error) error {
	c.Start = f.since()
	c.Done = c.Start
	if !l.rewriting.told.Swap(true) {
		f.m.deps.Log.Error("a request cannot be rewritten for the leg that answers it: correct its rewrite rules", "leg", l.name.String(), "endpoint", f.x.Endpoint, "error", err)
	}
	if f.caught(ctx, out, failure{c: c, err: err}) {
		return err
	}
	f.answeredLive()
	f.refuse(out, notRewritten)
	_ = out.End() // a caller that is gone needs no answer
	return err
}
