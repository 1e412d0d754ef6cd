package compare

import (
	"bytes"
	"html"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parallax/internal/body"
)

// ValueClass says how a candidate's value came out of the primary's, whatever the
// values are, so that all differences of one cause have one class.
type ValueClass struct {
	Name    string // what happened to the primary's value
	Back    string // the name when primary and candidate are swapped
	Meaning string
}

// ValueClasses is the closed list of named classes, in the order they are tried;
// the first that fits holds, as it stands or swapped. A difference that none fits
// has the forms of both values as its class: "string" or "number" where both are
// of one form, "null became []" or "string became number" where they are not,
// "200 became 404" for statuses, "missing became null" where one side has none.
//
// Numbers are compared by their exact decimal values, also those written in a
// string. A pair may fit a class by chance, as 3 and 4 are off by one, so a field
// that is simply random may have more than one class.
var ValueClasses = []ValueClass{
	{"number became string", "string became number", "the same digits, in quotes on one side"},
	{"boolean became string", "string became boolean", `true became "true"`},
	{"boolean became number", "number became boolean", "true became 1, or false 0"},
	{"element became list", "list became element", "a list of one element on one side, the element alone on the other"},

	{"sign changed", "sign changed", "5 became -5"},
	{"cents became units", "units became cents", "the 100th part, exactly; a percentage that became a share too"},
	{"ms became s", "s became ms", "the 1 000th part, also cut or rounded to a whole number"},
	{"us became s", "s became us", "the 1 000 000th part, also cut or rounded to a whole number"},
	{"rounded to two places", "no longer rounded to two places", "brought to at most two places, up, down or to the nearest"},
	{"rounded to a whole number", "no longer rounded to a whole number", "brought to no place at all"},
	{"rounded to one place", "no longer rounded to one place", "brought to at most one place"},
	{"rounded to three places", "no longer rounded to three places", "brought to at most three places"},
	{"off by one", "off by one", "whole numbers one apart"},
	{"precision changed", "precision changed", "less than a millionth apart, as after a change of the floating-point type"},

	{"same moment, other zone", "same moment, other zone", "timestamps with offsets that name one moment"},
	{"time zone shifted by whole hours", "time zone shifted by whole hours", "timestamps up to 14 whole hours apart, to the nanosecond"},
	{"time zone shifted by part of an hour", "time zone shifted by part of an hour", "timestamps whole quarters of an hour apart, up to 14 hours"},
	{"fraction of a second lost", "fraction of a second gained", "a timestamp with fewer places"},
	{"time became date", "date became time", "only the day is left of a timestamp"},

	{"case changed", "case changed", "the same letters, capital or not"},
	{"space trimmed", "space added", "blanks and line ends at the beginning and the end"},
	{"space changed", "space changed", "other blanks and line ends inside"},
	{"escaped HTML", "HTML no longer escaped", "& became &amp;"},
	{"percent-encoded", "percent-encoding undone", "a blank became %20 or +"},
	{"backslash-escaped", "backslash-escaping undone", `" became \"`},
	{"encoding broken", "encoding mended", "UTF-8 read as Latin-1 or Windows-1252 (mojibake), or characters that became ? or U+FFFD"},
	{"accents lost", "accents gained", "é became e"},
	{"truncated", "no longer truncated", "only the beginning is left, perhaps with three dots"},
	{"order changed", "order changed", "an element of a list, or of a text with commas, stands elsewhere"},
}

// swapped maps each name to the name with the sides swapped.
var swapped = func() map[string]string {
	out := map[string]string{}
	for _, c := range ValueClasses {
		out[c.Name], out[c.Back] = c.Back, c.Name
	}
	return out
}()

// maxCauseBytes bounds the values whose cause is looked for, in bytes; longer ones
// have the class of their forms. What is looked for takes a few passes over both.
const maxCauseBytes = 16 << 10

// causeOf names how the candidate's value came out of the primary's.
func causeOf(kind Kind, primary, candidate side) string {
	if kind == Moved {
		return "order changed"
	}
	if primary.class == identified {
		return identified
	}
	if kind != Changed && kind != Type || len(primary.value()) > maxCauseBytes || len(candidate.value()) > maxCauseBytes {
		return changeClass(primary.class, candidate.class)
	}
	name, back := becomes(primary, candidate), becomes(candidate, primary)
	switch there, here := rank(name), rank(back); {
	case there < len(ValueClasses) && there <= here:
		return name
	case here < len(ValueClasses):
		return swapped[back]
	}
	class := changeClass(zeroClass(candidate, primary), zeroClass(primary, candidate))
	if _, named := swapped[class]; named {
		class += ", another value"
	}
	return class
}

// rank is where a name stands in the list, its length for a name that is not there.
func rank(name string) int {
	for i := range ValueClasses {
		if ValueClasses[i].Name == name {
			return i
		}
	}
	return len(ValueClasses)
}

// zeroClass is the form of a value beside another; the zero that programs put in
// the place of null is told from other numbers.
func zeroClass(beside, value side) string {
	if beside.class == "null" && value.class == "number" {
		if d, err := body.ParseDecimal(value.text); err == nil && d.Zero() {
			return "0"
		}
	}
	return value.class
}

// becomes returns the name of the class that fits in this direction.
func becomes(p, c side) string {
	formP, formC := formOf(p.class), formOf(c.class)
	switch {
	case formP == formString && formC == formString:
		return stringBecomes(p.value(), c.value())
	case formP == formNumber && formC == formNumber:
		return numberBecomes(p.text, c.text)
	}
	return typeBecomes(p, c, formP, formC)
}

// valueForm is what kind of value a class is of.
type valueForm uint8

const (
	formOther valueForm = iota
	formNumber
	formString
	formBool
	formList
)

func formOf(class string) valueForm {
	switch class {
	case "number":
		return formNumber
	case "true", "false":
		return formBool
	case "array":
		return formList
	case "string", "text", "attribute":
		return formString
	}
	if strings.HasPrefix(class, "string:") {
		return formString
	}
	return formOther
}

// typeBecomes knows values that changed their type and nothing else.
func typeBecomes(p, c side, formP, formC valueForm) string {
	switch {
	case formP == formNumber && formC == formString && sameNumber(p.text, c.value()):
		return "number became string"
	case formP == formBool && formC == formString && bytes.EqualFold(p.text, c.value()):
		return "boolean became string"
	case formP == formBool && formC == formNumber && string(c.text) == map[string]string{"true": "1", "false": "0"}[p.class]:
		return "boolean became number"
	case formC == formList && onlyElement(c.text, p.text):
		return "element became list"
	}
	return ""
}

func sameNumber(a, b []byte) bool {
	x, errX := body.ParseDecimal(a)
	y, errY := body.ParseDecimal(b)
	return errX == nil && errY == nil && x.Equal(y)
}

// onlyElement reports whether a list is written as one element between brackets.
func onlyElement(list, element []byte) bool {
	return len(list) > 2 && bytes.Equal(bytes.TrimSpace(list[1:len(list)-1]), element)
}

// How close numbers are that differ by a change of precision only, and whole
// numbers that a double cannot tell from their neighbours.
var millionth, double = body.PowerOfTen(-6), body.PowerOfTen(-15)

// numberBecomes knows numbers that come of the primary's.
func numberBecomes(a, b []byte) string {
	p, errP := body.ParseDecimal(a)
	c, errC := body.ParseDecimal(b)
	if errP != nil || errC != nil || p.Equal(c) {
		return ""
	}
	switch {
	case p.Opposite(c):
		return "sign changed"
	case !p.Zero() && p.Shift(-2).Equal(c):
		return "cents became units"
	case part(p.Shift(-3), c):
		return "ms became s"
	case part(p.Shift(-6), c):
		return "us became s"
	}
	for _, rounding := range []struct {
		places int64
		name   string
	}{{2, "two places"}, {0, "a whole number"}, {1, "one place"}, {3, "three places"}} {
		if p.RoundsTo(c, rounding.places) {
			return "rounded to " + rounding.name
		}
	}
	switch {
	case p.Neighbours(c) && !p.Close(c, double):
		return "off by one"
	case p.Close(c, millionth):
		return "precision changed"
	}
	return ""
}

// part reports whether c is p, or the whole number beside p. Nothing is told from
// numbers below 1, which are all beside 0 and 1.
func part(p, c body.Decimal) bool {
	return !c.Zero() && (p.Equal(c) || !p.BelowOne() && p.RoundsTo(c, 0))
}

// stringBecomes knows texts that come of the primary's.
func stringBecomes(p, c []byte) string {
	if len(p) == 0 || len(c) == 0 {
		return ""
	}
	if name := numberBecomes(p, c); name != "" {
		return name
	}
	if name := timeBecomes(p, c); name != "" || isTimestamp(p) && isTimestamp(c) {
		return name
	}
	return textBecomes(string(p), string(c))
}

func textBecomes(p, c string) string {
	switch {
	case strings.EqualFold(p, c):
		return "case changed"
	case strings.TrimSpace(p) == c:
		return "space trimmed"
	case withoutSpace(p) == withoutSpace(c) && strings.TrimSpace(p) != strings.TrimSpace(c):
		return "space changed"
	case html.UnescapeString(c) == p:
		return "escaped HTML"
	case percentDecoded(c, p):
		return "percent-encoded"
	case strings.Contains(c, `\`) && unescaped.Replace(c) == p:
		return "backslash-escaped"
	case misread(p, c):
		return "encoding broken"
	case plainLetters(p) == c && p != c:
		return "accents lost"
	case truncated(p, c):
		return "truncated"
	case strings.Contains(p, ",") && len(p) == len(c) && slices.Equal(items(p), items(c)):
		return "order changed"
	}
	return ""
}

func withoutSpace(s string) string { return strings.Join(strings.Fields(s), "") }

// percentDecoded reports whether text decodes to plain, as a path or as a form.
func percentDecoded(text, plain string) bool {
	path, errPath := url.PathUnescape(text)
	form, errForm := url.QueryUnescape(text)
	return errPath == nil && path == plain || errForm == nil && form == plain
}

var unescaped = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\/`, `/`, `\n`, "\n", `\t`, "\t", `\r`, "\r")

// items lists what stands between commas, in an order of its own.
func items(s string) []string {
	out := strings.Split(s, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	slices.Sort(out)
	return out
}

// truncated reports whether c is the beginning of p, perhaps with three dots.
func truncated(p, c string) bool {
	for _, dots := range []string{"", "...", "…"} {
		begins, ok := strings.CutSuffix(c, dots)
		if ok && begins != "" && len(begins) < len(p) && strings.HasPrefix(p, begins) {
			return true
		}
	}
	return false
}

// timeForms are the timestamps that are read; those without an offset are taken as
// UTC on both sides, so that only their distance counts.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly, time.RFC1123,
}

// moment reads a timestamp and returns the layout that it is written in.
func moment(text string) (at time.Time, layout string, ok bool) {
	for _, layout := range timeForms {
		if at, err := time.Parse(layout, text); err == nil {
			return at, layout, true
		}
	}
	return time.Time{}, "", false
}

// timeBecomes knows timestamps that come of the primary's.
func timeBecomes(p, c []byte) string {
	if !isTimestamp(p) || !isTimestamp(c) {
		return ""
	}
	a, formA, okA := moment(string(p))
	b, formB, okB := moment(string(c))
	if !okA || !okB {
		return ""
	}
	apart := a.Sub(b).Abs()
	switch {
	case formB == time.DateOnly && formA != time.DateOnly && a.Format(time.DateOnly) == string(c):
		return "time became date"
	case formA == time.DateOnly || formB == time.DateOnly: // days are not moments
		return ""
	case apart == 0:
		return "same moment, other zone"
	case apart <= 14*time.Hour && apart%time.Hour == 0:
		return "time zone shifted by whole hours"
	case apart <= 14*time.Hour && apart%(15*time.Minute) == 0:
		return "time zone shifted by part of an hour"
	case a.Nanosecond() != 0 && (a.Truncate(time.Second).Equal(b) || a.Truncate(time.Millisecond).Equal(b) || a.Truncate(time.Microsecond).Equal(b)):
		return "fraction of a second lost"
	}
	return ""
}

// misread reports whether c is what becomes of p when its UTF-8 is read as Latin-1
// or Windows-1252, or when what is not ASCII is replaced.
func misread(p, c string) bool {
	if !utf8.ValidString(p) || isASCII(p) {
		return false
	}
	return asWindows(p) == c || asLatin(p) == c || replaced(p, "?") == c || replaced(p, "\uFFFD") == c ||
		replacedBytes(p, "?") == c || replacedBytes(p, "\uFFFD") == c
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func asLatin(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// windows are the characters that Windows-1252 has at 0x80 to 0x9f; those it
// leaves out are as in Latin-1.
var windows = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

func asWindows(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 0x80 && c < 0xa0 {
			b.WriteRune(windows[c-0x80])
		} else {
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

// replaced puts one mark for each character that is not ASCII, replacedBytes one
// for each of its bytes.
func replaced(s, mark string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			b.WriteString(mark)
		}
	}
	return b.String()
}

func replacedBytes(s, mark string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			b.WriteByte(s[i])
		} else {
			b.WriteString(mark)
		}
	}
	return b.String()
}

// plain are the letters below the accented ones of Latin-1 and Latin Extended-A
// that are written with one letter, and combining marks below nothing.
var plain = func() map[rune]rune {
	out := map[rune]rune{}
	for _, pair := range []struct {
		to   rune
		from string
	}{
		{'A', "ÀÁÂÃÄÅĀĂĄ"}, {'a', "àáâãäåāăą"}, {'C', "ÇĆĈĊČ"}, {'c', "çćĉċč"}, {'D', "Ď"}, {'d', "ď"}, {'E', "ÈÉÊËĒĔĖĘĚ"}, {'e', "èéêëēĕėęě"},
		{'G', "ĜĞĠĢ"}, {'g', "ĝğġģ"}, {'I', "ÌÍÎÏĨĪĬĮİ"}, {'i', "ìíîïĩīĭį"}, {'L', "ĹĻĽŁ"}, {'l', "ĺļľł"}, {'N', "ÑŃŅŇ"}, {'n', "ñńņň"},
		{'O', "ÒÓÔÕÖØŌŎŐ"}, {'o', "òóôõöøōŏő"}, {'R', "ŔŖŘ"}, {'r', "ŕŗř"}, {'S', "ŚŜŞŠ"}, {'s', "śŝşš"}, {'T', "ŢŤ"}, {'t', "ţť"},
		{'U', "ÙÚÛÜŨŪŬŮŰŲ"}, {'u', "ùúûüũūŭůűų"}, {'Y', "ÝŸ"}, {'y', "ýÿ"}, {'Z', "ŹŻŽ"}, {'z', "źżž"},
	} {
		for _, r := range pair.from {
			out[r] = pair.to
		}
	}
	return out
}()

func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		if to, ok := plain[r]; ok {
			return to
		}
		return r
	}, s)
}
