package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkPair asks that a document read along another one comes to what it comes to
// by itself: tree and fault.
func checkPair(t *testing.T, first, second []byte, limits Limits) {
	t.Helper()
	a, b, errA, errB := ParsePair(first, second, limits)
	wantA, wantErrA := ParseJSON(first, limits)
	wantB, wantErrB := ParseJSON(second, limits)
	if diff := diffTrees(wantA, a) + diffTrees(wantB, b); diff != "" {
		t.Fatalf("%q\n%q\ntrees differ:\n%s", first, second, diff)
	}
	if diff := cmp.Diff(wantErrA, errA) + cmp.Diff(wantErrB, errB); diff != "" {
		t.Fatalf("%q\n%q\nfaults differ:\n%s", first, second, diff)
	}
}

func diffTrees(want, got *Tree) string {
	if want != nil && got != nil && bytes.Equal(want.Source, got.Source) && slices.Equal(want.Nodes, got.Nodes) {
		return "" // Far quicker than go-cmp.
	}
	return cmp.Diff(want, got, cmp.AllowUnexported(Node{}))
}

var pairCases = [][2]string{
	{`{"a":1,"b":[1,2]}`, `{"a":1,"b":[1,2]}`},
	{`{"a":1,"b":[1,2]}`, ` {"a":1,"b":[1,2]} `},
	{`{"a":12,"b":[1,2]}`, `{"a":1,"b":[1,2]}`},
	{`{"a":1,"b":[1,2]}`, `{"a":12,"b":[1,2]}`},
	{`[1,{"x":[true,false,null]},"q"]`, `[1, {"x":[true,false,null]},"q"]`},
	{`[[1],[2],[3]]`, `[[0],[1],[2],[3]]`},
	{`[[1],[2],[3]]`, `[[1],[3]]`},
	{`1`, `12`}, {`1`, `1.`}, {`1`, `1e`}, {`0`, `01`}, {`1`, `1.5e3`},
	{`true`, `truely`}, {`"a"`, `"a`}, {`[1]`, `[1`}, {`{"a":1}`, `{"a":1,}`},
	{`{"a":{"b":1}}`, `["a",{"b":1}]`},
	{`[{"a":"\u0041"}]`, `[{"a":"A"},{"a":"\u0041"}]`},
	{"\xef\xbb\xbf[1,2]", `[1,2]`}, {`[1,2]`, "\xef\xbb\xbf[1,2]"},
	{`[[[[1]]]]`, `[[[[[1]]]]]`}, {`{"":{"":""}}`, ` {"":{"":""}}`},
	{`[1,2,3,4,5,6,7,8]`, `[[1,2,3,4,5,6,7,8],1]`},
	{``, `1`}, {`1`, ``}, {`[`, `[`}, {`[1,2]`, `[1,2]x`},
	{`{"k":"` + strings.Repeat("x", 2000) + `","l":1}`, `{"k":"` + strings.Repeat("x", 2000) + `","l":2}`},
}

func TestPairIsReadAsEachAlone(t *testing.T) {
	t.Parallel()
	for _, c := range pairCases {
		for _, limits := range []Limits{DefaultLimits, {Depth: 2, Nodes: 100}, {Depth: 100, Nodes: 5}, {Depth: 4, Nodes: 8}} {
			checkPair(t, []byte(c[0]), []byte(c[1]), limits)
		}
	}
}

// edited returns a text with a few bytes inserted, removed or changed, so that
// much of it stays and some of it breaks.
func edited(r *rand.Rand, text []byte) []byte {
	text = bytes.Clone(text)
	const alphabet = ` ,:[]{}"0123e.-\ntrue`
	for range r.IntN(4) {
		i := r.IntN(len(text) + 1)
		switch c := alphabet[r.IntN(len(alphabet))]; {
		case r.IntN(3) == 0:
			text = append(text[:i:i], append([]byte{c}, text[i:]...)...)
		case i < len(text) && r.IntN(2) == 0:
			text = append(text[:i:i], text[i+1:]...)
		case i < len(text):
			text[i] = c
		}
	}
	return text
}

func TestPairOfEditedTexts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 0))
	valid := 0
	for range 20000 {
		text := []byte(ladder(20 + r.IntN(400)))
		other := edited(r, text)
		if json.Valid(other) {
			valid++
		}
		checkPair(t, text, other, Limits{Depth: 2 + r.IntN(4), Nodes: 10 + r.IntN(60)})
	}
	if valid < 2000 {
		t.Errorf("only %d of 20000 texts are documents", valid)
	}
}

// FuzzLockstep: a document read along any other one comes to what it comes to by
// itself.
func FuzzLockstep(f *testing.F) {
	for _, c := range pairCases {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		checkPair(t, first, second, DefaultLimits)
		checkPair(t, second, first, Limits{Depth: 3, Nodes: 8})
	})
}

// FuzzParseJSON: what encoding/json holds valid is read, and the other way round,
// but for three choices of ours: a byte order mark is skipped, nesting is limited,
// and so is the number of values.
func FuzzParseJSON(f *testing.F) {
	for _, c := range pairCases {
		f.Add([]byte(c[0]))
	}
	for _, text := range []string{`{"a":[1,-0,1e5,"\u00e9\ud83d\ude00",null]}`, "\"\x7f\xff\"", `"\ud800"`, "[1]\x00", `-`, `{"a":1 "b":2}`, `"` + "\t" + `"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := ParseJSON(text, DefaultLimits)
		var wrong *SyntaxError
		if err != nil && (!errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(text) || wrong.Line < 1 || wrong.Column < 1) {
			t.Fatalf("%q: %#v", text, err)
		}
		want := json.Valid(bytes.TrimPrefix(text, byteOrderMark))
		if got := err == nil; got != want && !(want && strings.Contains(err.Error(), "nested more than")) {
			t.Fatalf("%q: accepted is %t, encoding/json says %t (%v)", text, got, want, err)
		}
		if err == nil {
			checkTree(t, tree)
		}
	})
}

// checkTree asks that the nodes of a tree lie as its documentation says.
func checkTree(t *testing.T, tree *Tree) {
	t.Helper()
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		if n.Start >= n.End || int(n.End) > len(tree.Source) || int(n.Next) <= i || int(n.Next) > len(tree.Nodes) {
			t.Fatalf("%q: node %d is %+v", tree.Source, i, n)
		}
		children := int32(0)
		for c := int32(i) + 1; c < n.Next; c = tree.Nodes[c].Next {
			if tree.Nodes[c].Start < n.Start || tree.Nodes[c].End > n.End {
				t.Fatalf("%q: node %d lies outside node %d", tree.Source, c, i)
			}
			children++
		}
		if children != n.Count {
			t.Fatalf("%q: node %d has %d children, says %d", tree.Source, i, children, n.Count)
		}
	}
}

// ladder makes a document of about size bytes.
func ladder(size int) string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"item \"number\" %d","price":%d.95,"tags":["a","b"],"stock":{"here":%d,"there":null}}`, i, i, i%90, i%7)
	}
	return b.String() + `],"total":1}`
}

// BenchmarkParsePair is two documents of 100 KB: one difference in the middle,
// other spacing everywhere, and an element more at the beginning.
func BenchmarkParsePair(b *testing.B) {
	text := ladder(100 << 10)
	for _, c := range []struct{ name, other string }{
		{"one", text[:50<<10] + strings.Replace(text[50<<10:], `.95`, `.9`, 1)},
		{"respaced", strings.ReplaceAll(text, `,"`, `, "`)},
		{"inserted", strings.Replace(text, `[{`, `[{"id":-1},{`, 1)},
		{"nothing", "[" + text + "]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text) + len(c.other)))
			for b.Loop() {
				ParsePair([]byte(text), []byte(c.other), DefaultLimits)
			}
		})
		b.Run(c.name+"/each_alone", func(b *testing.B) {
			b.SetBytes(int64(len(text) + len(c.other)))
			for b.Loop() {
				ParseJSON([]byte(text), DefaultLimits)
				ParseJSON([]byte(c.other), DefaultLimits)
			}
		})
	}
}
