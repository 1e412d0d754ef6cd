package ids

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/body"
)

// Set is compiled identifiers, those that are built in first. It does not change
// and may be shared; nil is the set without any.
type Set struct {
	list     []*Identifier
	declared bool
	version  string
	on       [parallax.Legs]sheets
}

// Identifier is one of a Set.
type Identifier struct {
	Name    string
	Same    bool          // a value that nobody made up during this run stands for itself
	Guessed bool          // that is not declared, and holds as long as no pair says otherwise
	Wait    time.Duration // 0: as long as a shadow leg may take
	TTL     time.Duration
	Own     bool // built in

	from, in  [parallax.Legs][]place
	qualifier qualifier
}

// qualifier says what a value is known by besides itself.
type qualifier uint8

const (
	byItself qualifier = iota
	byPath             // the path of the request
	byTarget           // path and query
)

// The names of the identifiers that are built in.
const (
	ETag         = "etag"          // the ETag of an URL, in If-None-Match, If-Match and If-Range
	LastModified = "last_modified" // the Last-Modified of an URL, in If-Modified-Since, If-Unmodified-Since and If-Range
	Cursor       = "cursor"        // of pages: in Link and bodies, then in the query
)

var builtInNames = [...]string{ETag, LastModified, Cursor}

// Names of cursors: the members of answers that hold one, and the parameters of
// queries that are given one.
var (
	cursorMembers    = []string{"next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token", "nextToken", "end_cursor", "endCursor"}
	cursorParameters = []string{"cursor", "next_cursor", "nextCursor", "page_token", "pageToken", "next_page_token", "nextPageToken", "next_token", "nextToken", "after", "starting_after", "continuation"}
)

// builtIn returns the identifiers that every service has. Bodies are looked at for
// cursors only where identifiers are declared, since they have to be read for it.
func builtIn(bodies bool) []*Identifier {
	all := func(places ...place) [parallax.Legs][]place {
		return [parallax.Legs][]place{places, places, places}
	}
	header := func(name string, kind placeKind) place {
		return place{text: "header:" + name, kind: kind, name: name}
	}
	etag := &Identifier{Name: ETag, Own: true, TTL: DefaultTTL, qualifier: byTarget,
		from: all(header("ETag", inTagList)),
		in:   all(header("If-None-Match", inTagList), header("If-Match", inTagList), header("If-Range", inTagList))}
	modified := &Identifier{Name: LastModified, Own: true, Same: true, Guessed: true, TTL: DefaultTTL, qualifier: byTarget,
		from: all(header("Last-Modified", inHeader)),
		in:   all(header("If-Modified-Since", inHeader), header("If-Unmodified-Since", inHeader), header("If-Range", inHeader))}
	cursor := &Identifier{Name: Cursor, Own: true, Same: true, Guessed: true, TTL: DefaultTTL, qualifier: byPath}
	born := []place{{text: "header:Link", kind: inNextLink, name: "Link"}}
	if bodies {
		for _, name := range cursorMembers {
			path, _ := body.ParsePath("$.." + name)
			born = append(born, place{text: path.String(), kind: inBody, path: path})
		}
	}
	var named []place
	for _, name := range cursorParameters {
		named = append(named, place{text: "query:" + name, kind: inQuery, name: name})
	}
	cursor.from, cursor.in = all(born...), all(named...)
	return []*Identifier{etag, modified, cursor}
}

// adjust takes over what is declared of an identifier that is built in.
func (id *Identifier) adjust(by *Identifier) {
	id.Same, id.Guessed = id.Same || by.Same, id.Guessed && !by.Same
	id.TTL, id.Wait = by.TTL, by.Wait
	for leg := range id.from {
		id.from[leg] = slices.Concat(id.from[leg], by.from[leg])
		id.in[leg] = slices.Concat(id.in[leg], by.in[leg])
	}
}

func (s *Set) index(name string) int {
	return slices.IndexFunc(s.list, func(id *Identifier) bool { return id.Name == name })
}

// All returns the identifiers, those that are built in first.
func (s *Set) All() []*Identifier {
	if s == nil {
		return nil
	}
	return s.list
}

// ByName returns an identifier, nil if there is none of that name.
func (s *Set) ByName(name string) *Identifier {
	if s != nil {
		if i := s.index(name); i >= 0 {
			return s.list[i]
		}
	}
	return nil
}

// Declared reports whether the service declares identifiers of its own.
func (s *Set) Declared() bool { return s != nil && s.declared }

// Version is a short hash over everything that decides what is an identifier. It
// is empty for a set without declared identifiers whatever is built in, which the
// comparer's version covers.
func (s *Set) Version() string {
	if s == nil {
		return ""
	}
	return s.version
}

// From returns where values are born on a leg, as it was written.
func (id *Identifier) From(leg parallax.Leg) []string { return texts(id.from[leg]) }

// In returns where values are named on a leg, as it was written.
func (id *Identifier) In(leg parallax.Leg) []string { return texts(id.in[leg]) }

func texts(places []place) []string {
	out := make([]string, len(places))
	for i := range places {
		out[i] = places[i].text
	}
	return out
}

func (s *Set) seal() {
	for leg := range s.on {
		s.on[leg].fill(s.list, parallax.Leg(leg))
	}
	if !s.declared {
		return
	}
	type line struct {
		Name     string
		Same     bool
		From, In [parallax.Legs][]string
	}
	var lines []line
	for _, id := range s.list {
		l := line{Name: id.Name, Same: id.Same}
		for leg := range parallax.Leg(parallax.Legs) {
			l.From[leg], l.In[leg] = id.From(leg), id.In(leg)
		}
		lines = append(lines, l)
	}
	text, _ := json.Marshal(lines) // plain values
	sum := sha256.Sum256(text)
	s.version = hex.EncodeToString(sum[:8])
}

// HasCursor reports whether a query may hold a cursor that is built in.
func HasCursor(query string) bool {
	return slices.ContainsFunc(cursorParameters, func(name string) bool { return strings.Contains(query, name+"=") })
}

// Bears reports whether answers to such a request may make up declared identifiers
// on a leg.
func (s *Set) Bears(leg parallax.Leg, method, target string) bool {
	if !s.Declared() {
		return false
	}
	path, _, _ := strings.Cut(target, "?")
	return slices.ContainsFunc(s.list, func(id *Identifier) bool {
		return slices.ContainsFunc(id.from[leg], func(p place) bool {
			return (!id.Own || p.kind == inBody) && p.applies(method, path)
		})
	})
}

// Role says what a value at a place is.
type Role struct {
	*Identifier
	Born bool // the leg made it up with this answer: the legs' values there are a pair
}

// Body returns what a value of an answer's body is: steps lead to it, and text is
// what it stands for, or its spelling if it is a number.
func (s *Sheet) Body(steps []body.Step, text string) []Role {
	return s.roles(func(p sheetPlace) bool {
		return p.kind == inBody && p.path.Matches(steps) || p.kind == anyInBody && Bits(text) >= BareBits
	})
}

// Header returns what the value of an answer's header is; of Location what its
// path holds. [HeaderValues] takes it out of the header.
func (s *Sheet) Header(name string) []Role {
	return s.roles(func(p sheetPlace) bool {
		switch p.kind {
		case inHeader, inTagList, inNextLink:
			return strings.EqualFold(p.name, name)
		case inLocation:
			return strings.EqualFold("Location", name)
		}
		return false
	})
}

// Cookie returns what the value of a cookie is that an answer sets.
func (s *Sheet) Cookie(name string) []Role {
	return s.roles(func(p sheetPlace) bool { return p.kind == inCookie && p.name == name })
}

func (s *Sheet) roles(match func(sheetPlace) bool) []Role {
	var out []Role
	for _, p := range s.places {
		if match(p) && !slices.ContainsFunc(out, func(r Role) bool { return r.Identifier == p.id && (r.Born || !p.born) }) {
			out = append(out, Role{p.id, p.born})
		}
	}
	return out
}

// Key is what a value of an identifier is known by in a Map: etags by the URL they
// are of, cursors by the path, others by themselves.
func (s *Sheet) Key(id *Identifier, value string) string {
	switch id.qualifier {
	case byTarget:
		return s.target + "\n" + value
	case byPath:
		return s.path + "\n" + value
	}
	return value
}

// Value is what a key stands for on the wire.
func (id *Identifier) Value(key string) string {
	if id.qualifier != byItself {
		_, value, _ := strings.Cut(key, "\n")
		return value
	}
	return key
}
