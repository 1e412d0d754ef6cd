package compare

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// shape says roughly what a value looks like, so that a value of another shape is
// another noise place. It is coarser than a class where values that are made up
// anew vary by themselves, and finer where an error text would pass for one:
//
//   - numbers by their integer digits in steps of four (1 to 4, 5 to 8, ...);
//   - strings by whether they hold blanks (text) or not (token), and by their
//     length in steps of a factor of four (1 to 3, 4 to 15, 16 to 63, ... bytes);
//     UUIDs, timestamps and URLs are shapes of their own;
//   - bytes by their length, likewise;
//   - true and false are one shape, so that a coin is one place;
//   - everything else by its class. There are no blanks in a shape.
func shape(s side) string {
	switch s.class {
	case "":
		return "-"
	case "true", "false":
		return "boolean"
	case "number":
		return "number:" + strconv.Itoa((integerDigits(s.text)-1)/4)
	case "string", "string:number", "text", "attribute":
		if bytes.ContainsAny(s.value(), " \t\r\n") {
			return "text:" + lengthStep(s.value())
		}
		return "token:" + lengthStep(s.value())
	case string(Bytes):
		return "bytes:" + lengthStep(s.value())
	}
	return strings.ReplaceAll(s.class, " ", "_")
}

func lengthStep(value []byte) string { return strconv.Itoa((bits.Len(uint(len(value))) + 1) / 2) }

// integerDigits returns how many digits the integer part of a JSON number has, 1
// at least.
func integerDigits(text []byte) int {
	text = bytes.TrimPrefix(text, []byte("-"))
	digits := len(text)
	if end := bytes.IndexAny(text, ".eE"); end >= 0 {
		digits = end
	}
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		if exponent, err := strconv.Atoi(string(text[e+1:])); err == nil && exponent < 1<<20 {
			digits += exponent
		}
	}
	return max(digits, 1)
}

// maxFitWords bounds the texts that are looked at word by word. Longer ones that
// are not equal do not fit.
const maxFitWords = 1 << 15

// fits reports whether text c differs from p only where s does: what p and s have
// in common, word by word, must be in c too, in the same order, with something
// else only where p and s have something else. Texts p and s that have less than
// half of their words in common are taken for different texts; then nothing can
// be asked of c. Blanks do not matter.
func fits(p, s, c []byte) bool {
	a, b, got := words(p), words(s), words(c)
	if max(len(a), len(b), len(got)) > maxFitWords {
		return false
	}
	match := make([]int, len(a))
	for i := range match {
		match[i] = -1
	}
	common := 0
	align(a, b, nil, func(i, j int) { match[i], common = j, common+1 })
	if 2*common < max(len(a), len(b)) {
		return true
	}
	return follows(runsOf(match, len(b)), a, got)
}

// run is a stretch of words that two texts have in common without a gap: words
// from up to to of the first. The ends of the texts are empty runs of their own
// where a gap is next to them.
type run struct{ from, to int }

// runsOf lists the common runs of two texts. The first begins where both texts
// do, the last ends where both end; between two runs there is a gap.
func runsOf(match []int, lenB int) []run {
	runs := []run{{0, 0}}
	next := 0 // in the second text, where the current run goes on
	for i, j := range match {
		if j < 0 {
			continue
		}
		if last := &runs[len(runs)-1]; last.to == i && next == j {
			last.to++
		} else {
			runs = append(runs, run{i, i + 1})
		}
		next = j + 1
	}
	if last := runs[len(runs)-1]; last.to < len(match) || next < lenB {
		runs = append(runs, run{len(match), len(match)})
	}
	return runs
}

// follows reports whether words consist of the runs in order, the first at the
// beginning and the last at the end, with anything in the gaps between them.
func follows(runs []run, of, words []uint64) bool {
	first, last := runs[0], runs[len(runs)-1]
	if len(runs) == 1 {
		return slices.Equal(of[first.from:first.to], words)
	}
	head, tail := of[first.from:first.to], of[last.from:last.to]
	if len(words) < len(head)+len(tail) || !slices.Equal(words[:len(head)], head) || !slices.Equal(words[len(words)-len(tail):], tail) {
		return false
	}
	words = words[len(head) : len(words)-len(tail)]
	for _, r := range runs[1 : len(runs)-1] {
		at := indexOf(words, of[r.from:r.to])
		if at < 0 {
			return false
		}
		words = words[at+r.to-r.from:]
	}
	return true
}

func indexOf(words, run []uint64) int {
	for at := 0; at+len(run) <= len(words); at++ {
		if slices.Equal(words[at:at+len(run)], run) {
			return at
		}
	}
	return -1
}

// words returns the hashes of the words of a text: stretches of letters, digits
// and what stands in encoded values and numbers; any other sign but blanks is a
// word by itself. A colon between digits belongs to a time of day.
func words(text []byte) []uint64 {
	var out []uint64
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && inWord(text, end) {
			end++
		}
		switch {
		case end > i:
			out = append(out, xxhash.Sum64(text[i:end]))
			i = end
			continue
		case !isBlank(text[i]):
			out = append(out, uint64(text[i]))
		}
		i++
	}
	return out
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func inWord(text []byte, i int) bool {
	c := text[i]
	if c == ':' {
		return i > 0 && i+1 < len(text) && isDigit(text[i-1]) && isDigit(text[i+1])
	}
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c >= 0x80 || strings.IndexByte("+/=_-.%~", c) >= 0
}

// hasWords reports whether a value is looked at word by word when it is noise:
// any text without a form of its own, and bytes that are text.
func hasWords(s side) bool {
	switch s.class {
	case "string", "text", "attribute":
		return true
	case string(Bytes):
		return utf8.Valid(s.value()) && bytes.IndexByte(s.value(), 0) < 0
	}
	return false
}
