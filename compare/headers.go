package compare

import (
	"maps"
	"mime"
	"slices"
	"strings"

	"parallax"
)

// compareHeaders compares header fields by name, whatever their case and order.
// Repeats count as one list in their order (RFC 9110, section 5.3). The values of
// volatile headers are not compared, cookies have places of their own.
func compareHeaders(kind placeKind, p, c []parallax.Field, find *finder) {
	if sameFields(p, c, find.rules) && !find.assertsAt(kind, placeCookie) {
		return
	}
	primary, candidate := fieldsByName(p), fieldsByName(c)
	moveNamed(kind, primary, candidate, find)
	find.expectNamed(kind, func(name string) bool { return len(primary[name])+len(candidate[name]) > 0 })
	if p, c := primary["set-cookie"], candidate["set-cookie"]; kind == placeHeader && (len(p)+len(c) > 0 || find.assertsAt(placeCookie)) {
		compareCookies(p, c, find)
	}
	for _, name := range unionOf(primary, candidate) {
		if name == "set-cookie" && kind == placeHeader {
			continue
		}
		volatile := volatileHeader(name)
		leftOut := volatile != nil && !volatile.Presence || namesVersion(name, find.rules)
		if (volatile != nil || leftOut) && comparesHeader(name, find.rules) {
			volatile, leftOut = nil, false
		}
		if leftOut {
			continue
		}
		a, hasA := joined(primary, name)
		b, hasB := joined(candidate, name)
		at := place{kind: kind, name: name}
		switch {
		case !hasB:
			find.add(&at, Missing, textSide(a, name), side{})
		case !hasA:
			find.add(&at, Extra, side{}, textSide(b, name))
		case volatile == nil && !sameField(name, a, b):
			find.add(&at, Changed, textSide(a, name), textSide(b, name))
		case volatile == nil:
			find.agree(&at, textSide(a, name))
		}
	}
}

// moveNamed calls headers, trailers or cookies that have moved by their new names
// on both sides, so that they are compared there. Where the candidate has both the
// old one is compared too.
func moveNamed[V any](kind placeKind, primary, candidate map[string][]V, find *finder) {
	for _, r := range find.asks().moves {
		if r.place != kind {
			continue
		}
		old, now := r.name, r.to.name
		if len(primary[old]) == 0 || len(primary[now]) > 0 || len(candidate[now]) == 0 && !find.listen {
			continue
		}
		primary[now] = primary[old]
		if find.listen {
			if same := candidate[old]; len(same) > 0 {
				candidate[now] = same
				delete(candidate, old)
			}
		} else {
			find.add(&place{kind: kind, name: old}, Moved, movedSide(kind, old), movedSide(kind, now))
		}
		if len(candidate[old]) == 0 {
			delete(primary, old)
		}
	}
}

func movedSide(kind placeKind, name string) side {
	return side{text: []byte(string(kind) + ":" + name), class: movedClass}
}

// sameFields reports whether two heads have the same fields in the same order,
// but for values that are not compared. Fast path: two answers of one kind of
// server (BenchmarkCompare/equal).
func sameFields(p, c []parallax.Field, rules []*rule) bool {
	if len(p) != len(c) {
		return false
	}
	for i := range p {
		a, b := &p[i], &c[i]
		switch {
		case !strings.EqualFold(a.Name, b.Name):
			return false
		case a.Value == b.Value:
		case !skipped(a.Name) && !namesVersion(strings.ToLower(a.Name), rules) || len(rules) > 0 && comparesHeader(strings.ToLower(a.Name), rules):
			return false
		}
	}
	return true
}

// skipped reports whether the catalogue leaves a header out altogether.
func skipped(name string) bool {
	return slices.ContainsFunc(Volatile, func(v VolatileHeader) bool {
		return len(v.Name) == len(name) && !v.Presence && strings.EqualFold(v.Name, name)
	})
}

// namesVersion reports whether a header, in lower case, is one in which a leg names its version.
func namesVersion(name string, rules []*rule) bool {
	return slices.ContainsFunc(rules, func(r *rule) bool { return r.leaves && r.name == name })
}

// comparesHeader reports whether a rule takes a header out of the catalogue: by
// itself, or because it says what the values of this very header mean.
func comparesHeader(name string, rules []*rule) bool {
	for _, r := range rules {
		if r.place != placeHeader || r.name != "" && r.name != name {
			continue
		}
		if r.source.Compare || r.name != "" && (r.values() || r.source.Expect != "") {
			return true
		}
	}
	return false
}

func fieldsByName(fields []parallax.Field) map[string][]string {
	out := make(map[string][]string, len(fields))
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		out[name] = append(out[name], strings.Trim(f.Value, " \t"))
	}
	return out
}

func unionOf[V any](a, b map[string]V) []string {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func joined(fields map[string][]string, name string) (string, bool) {
	values, ok := fields[name]
	return strings.Join(values, ", "), ok
}

// sameField compares two values of one header. Media types are equal when type
// and parameters are, in any order; type, names and charset in any case.
func sameField(name, a, b string) bool {
	if a == b {
		return true
	}
	if name != "content-type" {
		return false
	}
	typeA, paramsA, errA := mime.ParseMediaType(a)
	typeB, paramsB, errB := mime.ParseMediaType(b)
	for _, params := range []map[string]string{paramsA, paramsB} {
		if strings.HasPrefix(typeA, "multipart/") {
			delete(params, "boundary") // Parts are found by it; it says nothing by itself.
		}
		if charset, ok := params["charset"]; ok {
			params["charset"] = strings.ToLower(charset)
		}
	}
	return errA == nil && errB == nil && typeA == typeB && maps.Equal(paramsA, paramsB)
}

// textSide is a header or cookie value as a finder takes it. The class of a
// content type is the media type itself, since there are few of them; it is cut
// like a value, as a leg may answer what it likes, and keeps no head in memory.
func textSide(value, name string) side {
	class := stringClass([]byte(value))
	if name == "content-type" {
		class, _, _ = strings.Cut(strings.ToLower(value), ";")
		class = cut([]byte(strings.TrimSpace(class)))
	}
	return side{text: []byte(value), class: class}
}
