package ui

import (
	"strconv"
	"strings"
	"time"
)

// thin is a narrow space that does not break; it stands between thousands and
// before units.
const thin = "\u202f"

// count writes a whole number with thin spaces between thousands.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "\u2212", digits[1:]
	}
	if len(digits) < 5 {
		return sign + digits
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(thin)
		}
		b.WriteRune(d)
	}
	return b.String()
}

// percent writes a share between 0 and 1 with as many digits as tell it from 0
// and 1.
func percent(share float64) string {
	v := 100 * share
	digits := 1
	switch {
	case v == 0 || v == 100:
		digits = 0
	case v < 0.01 || v > 99.99 && v < 100:
		digits = 4
	case v < 0.1 || v > 99.9:
		digits = 3
	case v < 10 || v > 99:
		digits = 2
	}
	return trimmed(v, digits) + thin + "%"
}

// seconds writes a time with a unit that suits it; zero is a dash, since nothing
// takes no time.
func seconds(s float64) string {
	switch {
	case s <= 0:
		return "–"
	case s < 0.001:
		return trimmed(s*1e6, 0) + thin + "µs"
	case s < 0.01:
		return trimmed(s*1e3, 2) + thin + "ms"
	case s < 0.1:
		return trimmed(s*1e3, 1) + thin + "ms"
	case s < 1:
		return trimmed(s*1e3, 0) + thin + "ms"
	}
	return trimmed(s, 2) + thin + "s"
}

// size writes a number of bytes.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return count(n) + thin + "B"
	case n < 1<<20:
		return trimmed(float64(n)/(1<<10), 1) + thin + "KiB"
	}
	return trimmed(float64(n)/(1<<20), 1) + thin + "MiB"
}

// trimmed writes v with at most that many digits behind the point.
func trimmed(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// stepShare writes a step in basis points as a share of users.
func stepShare(step int) string { return trimmed(float64(step)/100, 2) + thin + "%" }

// utc writes a moment for people, to the second.
func utc(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// plural picks the word that goes with n.
func plural[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// words turns a name from a closed list, such as not_comparable, into words.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// cut shortens a text to at most n characters, at the end.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
