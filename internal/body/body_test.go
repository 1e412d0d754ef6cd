package body

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// coded returns text under a coding; raw is the bare form of deflate.
func coded(t testing.TB, coding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw":
		w, err = flate.NewWriter(&b, 9)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecode(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat(`{"a":1}`, 100))
	f := func(encoding string, in []byte) {
		t.Helper()
		got, err := Decode(encoding, in, 1<<20)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %.40q, %v", encoding, got, err)
		}
	}
	f("", text)
	f("identity", text)
	f("gzip", coded(t, "gzip", text))
	f(" X-GZIP ", coded(t, "gzip", text))
	f("deflate", coded(t, "deflate", text))
	f("deflate", coded(t, "raw", text))
	f("br", coded(t, "br", text))
	f("zstd", coded(t, "zstd", text))
	f("gzip, br", coded(t, "br", coded(t, "gzip", text)))
	f("gzip, identity, gzip", coded(t, "gzip", coded(t, "gzip", text)))
	f("gzip", append(coded(t, "gzip", text[:10]), coded(t, "gzip", text[10:])...))
	if got, err := Decode("gzip", nil, 10); err != nil || len(got) > 0 {
		t.Errorf("an empty body: %q, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	f := func(encoding string, in []byte, want string) {
		t.Helper()
		if _, err := Decode(encoding, in, 1<<20); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", encoding, err, want)
		}
	}
	for _, coding := range []string{"gzip", "deflate", "raw", "br", "zstd"} {
		name := strings.Replace(coding, "raw", "deflate", 1)
		whole := coded(t, coding, []byte(strings.Repeat("some text ", 50)))
		f(name, whole[:len(whole)-1], "cannot decode "+name)
		f(name, append(whole, 'x'), "cannot decode "+name)
		f(name, []byte("this is no "+coding), "cannot decode "+name)
	}
	f("rot13", []byte("x"), `content coding "rot13" is not known`)
	f("gzip,gzip,gzip,gzip,gzip", []byte("x"), "5 content codings")
	f("", bytes.Repeat([]byte("x"), 1<<20+1), "too large")
}

// A bomb is an error and takes no memory to speak of: what exceeds the limit, and
// what inflates beyond reason although the limit would let it.
func TestBombs(t *testing.T) {
	t.Parallel()
	bomb := make([]byte, 4<<20)
	f := func(encoding string, in []byte, limit int64) {
		t.Helper()
		if out, err := Decode(encoding, in, limit); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, limit %d: %d bytes, %v", encoding, limit, len(out), err)
		}
	}
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		f(coding, coded(t, coding, bomb), 1<<20)
	}
	f("br", coded(t, "br", bomb), 1<<40)
	f("zstd", coded(t, "zstd", bomb), 1<<40)
	f("gzip, gzip", coded(t, "gzip", coded(t, "gzip", bomb)), 1<<20)
}

func TestEqualNumbers(t *testing.T) {
	t.Parallel()
	f := func(a, b string, want bool) {
		t.Helper()
		if EqualNumbers([]byte(a), []byte(b)) != want || EqualNumbers([]byte(b), []byte(a)) != want {
			t.Errorf("%s and %s: equal is not %t", a, b, want)
		}
		if same := bytes.Equal(CanonicalNumber([]byte(a)), CanonicalNumber([]byte(b))); same != want {
			t.Errorf("%s and %s: canonical %s and %s", a, b, CanonicalNumber([]byte(a)), CanonicalNumber([]byte(b)))
		}
	}
	f("1", "1.0", true)
	f("1", "1e0", true)
	f("1", "10e-1", true)
	f("1", "0.1E+1", true)
	f("-0", "0", true)
	f("0.0", "0e99", true)
	f("0", "-0.0e-5", true)
	f("100", "1e2", true)
	f("1", "-1", false)
	f("1", "10", false)
	f("0.1", "0.10000000000000001", false)
	f("9007199254740993", "9007199254740992", false)
	f("1e999999999", "1e999999998", false)
	f("1e999999999", "10e999999998", true)
	f("1e00000000000000000000005", "100000", true)
	f("1e99999999999999999999", "1e99999999999999999998", false)
	f("1e99999999999999999999", "1e99999999999999999999", true)
	f("0e99999999999999999999", "0", true)
	f("0.00012", "12e-5", true)
}

func TestWithin(t *testing.T) {
	t.Parallel()
	decimal := func(s string) *Decimal {
		if s == "" {
			return nil
		}
		d, err := ParseDecimal([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	f := func(a, b, abs, rel string, want bool) {
		t.Helper()
		if Within([]byte(a), []byte(b), decimal(abs), decimal(rel)) != want || Within([]byte(b), []byte(a), decimal(abs), decimal(rel)) != want {
			t.Errorf("%s and %s within %q, %q: not %t", a, b, abs, rel, want)
		}
	}
	f("9.99", "10.00", "0.01", "", true)
	f("9.99", "10.000000000000000001", "0.01", "", false)
	f("0.1", "0.3", "0.2", "", true) // with float64 it is not
	f("1000", "1001", "", "0.001", true)
	f("1000", "1002", "", "0.001", false)
	f("-1000", "1000", "", "1", false)
	f("-1", "1", "", "2", true)
	f("1", "1.0", "0", "", true)
	f("1", "2", "0", "0", false)
	f("0", "5", "5", "", true)
	f("0", "0.0001", "", "0.5", false)
	f("1", "2", "", "", false)
	f("1e999999999", "1", "1", "0.1", false)
	f("1e999999999", "10e999999998", "0", "", true)
	f("1e99999999999999999999", "1", "1", "", false)
}

// TestWithinAgreesWithRationals referees the decimal arithmetic.
func TestWithinAgreesWithRationals(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	number := func() string {
		return fmt.Sprintf("%s%d.%03de%d", []string{"", "-"}[r.IntN(2)], r.IntN(30), r.IntN(1000), r.IntN(7)-3)
	}
	rat := func(s string) *big.Rat {
		v, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatal(s)
		}
		return v
	}
	for range 5000 {
		a, b, tol := number(), number(), strings.TrimPrefix(number(), "-")
		x, y, e := rat(a), rat(b), rat(tol)
		d, _ := ParseDecimal([]byte(tol))
		diff := new(big.Rat).Abs(new(big.Rat).Sub(x, y))
		larger := new(big.Rat).Abs(x)
		if other := new(big.Rat).Abs(y); other.Cmp(larger) > 0 {
			larger = other
		}
		if got, want := Within([]byte(a), []byte(b), &d, nil), diff.Cmp(e) <= 0; got != want {
			t.Fatalf("%s and %s within %s: %t, want %t", a, b, tol, got, want)
		}
		if got, want := Within([]byte(a), []byte(b), nil, &d), diff.Cmp(larger.Mul(larger, e)) <= 0; got != want {
			t.Fatalf("%s and %s within %s of the larger: %t, want %t", a, b, tol, got, want)
		}
		if EqualNumbers([]byte(a), []byte(b)) != (x.Cmp(y) == 0) {
			t.Fatalf("%s and %s: equality", a, b)
		}
	}
}

func TestJSONTree(t *testing.T) {
	t.Parallel()
	tree, err := ParseJSON([]byte(` {"a":[1,{"b":"x\u0041\n\ud83d\ude00"}],"a":null} `), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, n := range tree.Nodes {
		got = append(got, fmt.Sprintf("%s %s %s %d %d", tree.Name(int32(i)), n.Kind, tree.Text(int32(i)), n.Next, n.Count))
	}
	want := []string{
		` object {"a":[1,{"b":"x\u0041\n\ud83d\ude00"}],"a":null} 6 2`,
		`a array [1,{"b":"x\u0041\n\ud83d\ude00"}] 5 2`,
		` number 1 3 0`,
		` object {"b":"x\u0041\n\ud83d\ude00"} 5 1`,
		`b string "x\u0041\n\ud83d\ude00" 5 0`,
		`a null null 6 0`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := string(tree.Value(4)); got != "xA\n😀" {
		t.Errorf("value %q", got)
	}
}

func TestJSONFaultsNameThePlace(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		_, err := ParseJSON([]byte(text), Limits{Depth: 3, Nodes: 5})
		if err == nil || err.Error() != "not JSON: "+want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("", "line 1, column 1: the document ends where a value should be")
	f("{\n  \"a\": tru\n}", "line 2, column 8: want a value here")
	f(`{"a":1,}`, "line 1, column 8: want a name in quotes here")
	f(`[1 2]`, "line 1, column 4: want , or ] here")
	f(`{"a" 1}`, "line 1, column 6: want a colon here")
	f("\"a\tb\"", "line 1, column 3: control characters in a string are written as escapes")
	f(`"\x"`, "line 1, column 2: this escape is not known")
	f(`"\u12g4"`, `line 1, column 2: want four hex digits behind \u`)
	f(`"abc`, "line 1, column 1: this string does not end")
	f(`1 1`, "line 1, column 3: something follows the document")
	f(`[[[[1]]]]`, "line 1, column 4: nested more than 3 deep")
	f(`[1,2,3,4,5]`, "line 1, column 10: more than 5 values")
	f(`01`, "line 1, column 2: something follows the document")
	f(`[1.]`, "line 1, column 2: want a value here")
}

// Different halves of surrogate pairs and different bytes that are not UTF-8
// stay different.
func TestOddStringsStayApart(t *testing.T) {
	t.Parallel()
	values := map[string]string{}
	for _, text := range []string{`"\ud800"`, `"\ud801"`, `"\udc00"`, "\"\xff\"", "\"\xfe\"", "\"\ufffd\"", `"\udc00\ud800"`} {
		tree, err := ParseJSON([]byte(text), DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		value := string(tree.Value(0))
		if other, ok := values[value]; ok {
			t.Errorf("%s and %s are one", text, other)
		}
		values[value] = text
	}
}

func TestPathFaultsNameTheColumn(t *testing.T) {
	t.Parallel()
	f := func(path string, column int, text string) {
		t.Helper()
		_, err := ParsePath(path)
		var wrong *PathError
		if !errors.As(err, &wrong) || wrong.Column != column || !strings.Contains(wrong.Text, text) {
			t.Errorf("%s: %v, want column %d: %s", path, err, column, text)
		}
	}
	f("items", 1, "begins with $")
	f("$items", 2, "want a dot or a bracket")
	f("$.items[", 9, "want a quoted name")
	f("$.ü[?f(@.a)]", 6, "functions such as f() are not supported")
	f("$.items.", 9, "want a name or *")
	f("$['a", 3, "does not end")
	f("$[01]", 3, "no leading zeros")
	f("$[9007199254740992]", 3, "out of range")
	f(`$["\x"]`, 4, "not known")
	f(`$["\ud800"]`, 4, "half of a surrogate pair")
	f("$"+strings.Repeat(".a", 129), 258, "at most 128 segments")
	f("$"+strings.Repeat(".abcdefgh", 1000), 1, "at most 4096 bytes")
}

func TestPathCovers(t *testing.T) {
	t.Parallel()
	f := func(path string, want bool) {
		t.Helper()
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		steps := []Step{{Name: "items"}, {Element: true, Index: 3, Len: 4}, {Name: "price"}}
		if got := p.Covers(steps); got != want {
			t.Errorf("%s covers it: %t", path, got)
		}
	}
	f("$", true)
	f("$.items", true)
	f("$.item", false)
	f("$.items[*]", true)
	f("$.items[-1]", true)
	f("$.items[-2]", false)
	f("$.items[1::2].price", true)
	f("$..price", true)
	f("$..price.x", false)
	f("$..*", true)
}

// A path with many descendants takes no more than its length times the depth.
func TestManyDescendants(t *testing.T) {
	t.Parallel()
	p, err := ParsePath("$" + strings.Repeat("..a", 100) + "..b")
	if err != nil {
		t.Fatal(err)
	}
	steps := make([]Step, 1000)
	for i := range steps {
		steps[i].Name = "a"
	}
	if p.Matches(steps) {
		t.Error("it matches a place without b")
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5e3,"\u00e9",null,true],"a":{}}`))
	f.Add([]byte("\xef\xbb\xbf[\"\xff\"]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := ParseJSON(text, Limits{Depth: 200, Nodes: 10000})
		if err != nil {
			return
		}
		for i, n := range tree.Nodes {
			if n.Next <= int32(i) || int(n.Next) > len(tree.Nodes) || n.End <= n.Start {
				t.Fatalf("node %d: %+v", i, n)
			}
			tree.Name(int32(i))
			switch n.Kind {
			case String:
				tree.Value(int32(i))
			case Number:
				if _, err := strconv.ParseFloat(string(tree.Text(int32(i))), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
					t.Fatal(err)
				}
				CanonicalNumber(tree.Text(int32(i)))
			}
		}
	})
}

// FuzzParsePath: a fault is within the text, and what is read is used without panic.
func FuzzParsePath(f *testing.F) {
	f.Add("$.items[*]['a b'][1:2:-1]..*")
	f.Add(`$["\u00e9"][-1]`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		var wrong *PathError
		if errors.As(err, &wrong) && wrong.Column >= 1 && wrong.Column <= len(text)+1 {
			return
		}
		if err != nil {
			t.Fatalf("%q: %#v", text, err)
		}
		p.Covers([]Step{{Name: "items"}, {Element: true, Index: 1, Len: 3}, {Name: "a b"}})
		if p.String() != text {
			t.Fatal("the text changed")
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		f.Add(coding, coded(f, coding, []byte("some text, some text")))
	}
	f.Fuzz(func(t *testing.T, coding string, in []byte) {
		out, err := Decode(coding, in, 1<<20)
		if err == nil && len(out) > 1<<20 {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
