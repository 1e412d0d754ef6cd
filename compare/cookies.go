package compare

import (
	"slices"
	"strings"
	"time"
)

// cookie is one Set-Cookie field: its name, its value and its attributes by name
// in lower case.
type cookie struct {
	name, value string
	attributes  map[string]string
}

func parseCookie(field string) cookie {
	head, rest, _ := strings.Cut(field, ";")
	name, value, _ := strings.Cut(head, "=")
	c := cookie{name: strings.TrimSpace(name), value: strings.TrimSpace(value), attributes: map[string]string{}}
	for part := range strings.SplitSeq(rest, ";") {
		key, val, _ := strings.Cut(part, "=")
		if key = strings.ToLower(strings.TrimSpace(key)); key != "" {
			c.attributes[key] = strings.TrimSpace(val)
		}
	}
	return c
}

// compareCookies compares Set-Cookie fields by the cookie's name; of several for
// one name the first is compared with the first. Of an Expires attribute, which
// follows the clock, it counts whether it keeps the cookie or ends it.
func compareCookies(p, c []string, find *finder) {
	primary, candidate := cookiesByName(p), cookiesByName(c)
	moveNamed(placeCookie, primary, candidate, find)
	find.expectNamed(placeCookie, func(name string) bool { return hasCookie(primary, name) || hasCookie(candidate, name) })
	for _, name := range unionOf(primary, candidate) {
		a, b := primary[name], candidate[name]
		for k := range max(len(a), len(b)) {
			at := place{kind: placeCookie, name: name}
			switch {
			case k >= len(b):
				find.add(&at, Missing, textSide(a[k].value, ""), side{})
			case k >= len(a):
				find.add(&at, Extra, side{}, textSide(b[k].value, ""))
			default:
				compareCookie(name, &a[k], &b[k], find)
			}
		}
	}
}

// hasCookie reports whether there is a cookie of a name, or one with the attribute
// that follows its name.
func hasCookie(cookies map[string][]cookie, place string) bool {
	name, attribute, asked := strings.Cut(place, ";")
	return slices.ContainsFunc(cookies[name], func(c cookie) bool {
		_, has := c.attributes[attribute]
		return has || !asked
	})
}

func cookiesByName(fields []string) map[string][]cookie {
	out := map[string][]cookie{}
	for _, f := range fields {
		c := parseCookie(f)
		out[c.name] = append(out[c.name], c)
	}
	return out
}

func compareCookie(name string, a, b *cookie, find *finder) {
	at := place{kind: placeCookie, name: name}
	if a.value != b.value {
		find.add(&at, Changed, textSide(a.value, ""), textSide(b.value, ""))
	} else {
		find.agree(&at, textSide(a.value, ""))
	}
	for _, attribute := range unionOf(a.attributes, b.attributes) {
		at.name = name + ";" + attribute
		va, hasA := a.attributes[attribute]
		vb, hasB := b.attributes[attribute]
		switch {
		case !hasB:
			find.add(&at, Missing, side{text: []byte(va), class: "attribute"}, side{})
		case !hasA:
			find.add(&at, Extra, side{}, side{text: []byte(vb), class: "attribute"})
		case !sameAttribute(attribute, va, vb, find.received):
			find.add(&at, Changed, side{text: []byte(va), class: "attribute"}, side{text: []byte(vb), class: "attribute"})
		default:
			find.agree(&at, side{text: []byte(va), class: "attribute"})
		}
	}
}

// sameAttribute compares two values of a cookie's attribute (RFC 6265, section 5.2).
func sameAttribute(name, a, b string, received time.Time) bool {
	switch name {
	case "expires":
		p, okP := cookieDate(a)
		c, okC := cookieDate(b)
		return okP == okC && (p.Sub(c).Abs() <= time.Minute || p.After(received) == c.After(received))
	case "domain", "samesite":
		return strings.EqualFold(a, b)
	}
	return a == b
}

// cookieDate reads a date as servers write it in cookies; false for what is none,
// which clients pass over.
func cookieDate(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC1123, "Mon, 02-Jan-2006 15:04:05 MST", time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
