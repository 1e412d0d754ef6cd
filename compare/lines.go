package compare

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// textLine is one line of a text, without its end.
type textLine struct {
	text   []byte
	hash   uint64
	number int
	match  int // index in the other text, -1 none
}

// maxLines bounds the lines of a text that is compared line by line.
const maxLines = 1 << 20

var newline = []byte("\n")

// compareText compares texts line by line: equal ends are taken off, the rest is
// aligned by a longest common subsequence, and lines between two aligned ones
// are compared by position. Of texts with too many lines it is said only that they
// differ.
func compareText(p, c []byte, find *finder) {
	if max(bytes.Count(p, newline), bytes.Count(c, newline)) > maxLines {
		find.add(&place{kind: placeText}, Changed, side{text: summaryOf(p), class: "text"}, side{text: summaryOf(c), class: "text"})
		return
	}
	a, b := splitLines(p), splitLines(c)
	for len(a) > 0 && len(b) > 0 && bytes.Equal(a[0].text, b[0].text) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && bytes.Equal(a[len(a)-1].text, b[len(b)-1].text) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	find.hashFolded(a, b)
	align(lineHashes(a), lineHashes(b), find.meter, func(i, j int) { a[i].match, b[j].match = j, i })
	for i, j := 0, 0; i < len(a) || j < len(b); {
		gapA, gapB := lineGap(a[i:]), lineGap(b[j:])
		compareLines(a[i:i+gapA], b[j:j+gapB], find)
		i, j = i+gapA, j+gapB
		if i < len(a) && j < len(b) {
			compareLines(a[i:i+1], b[j:j+1], find)
			i, j = i+1, j+1
		}
	}
}

func splitLines(text []byte) []textLine {
	var out []textLine
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		out = append(out, textLine{text: line, hash: xxhash.Sum64(line), number: len(out) + 1, match: -1})
	}
	return out
}

// hashFolded gives lines that are alike by a rule for texts one hash.
func (f *finder) hashFolded(texts ...[]textLine) {
	for _, r := range f.rules {
		if r.place != placeText || len(r.source.Text) == 0 {
			continue
		}
		for _, lines := range texts {
			for i := range lines {
				lines[i].hash = xxhash.Sum64(r.plain(lines[i].text))
			}
		}
	}
}

func lineHashes(lines []textLine) []uint64 {
	out := make([]uint64, len(lines))
	for i := range lines {
		out[i] = lines[i].hash
	}
	return out
}

func lineGap(lines []textLine) int {
	for i := range lines {
		if lines[i].match >= 0 {
			return i
		}
	}
	return len(lines)
}

// compareLines compares lines by position.
func compareLines(a, b []textLine, find *finder) {
	for k := range max(len(a), len(b)) {
		at := place{kind: placeText}
		switch {
		case k >= len(a):
			at.line = b[k].number
			find.add(&at, Extra, side{}, side{text: b[k].text, class: "text"})
		case k >= len(b):
			at.line = a[k].number
			find.add(&at, Missing, side{text: a[k].text, class: "text"}, side{})
		case !bytes.Equal(a[k].text, b[k].text):
			at.line = a[k].number
			find.add(&at, Changed, side{text: a[k].text, class: "text"}, side{text: b[k].text, class: "text"})
		}
	}
}
