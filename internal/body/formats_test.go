package body

import (
	"strings"
	"testing"
)

// parser reads a text with limits that bodies have.
type parser func(text string) (*Tree, error)

func parseEvents(text string) (*Tree, error) { return ParseEvents([]byte(text), DefaultLimits) }
func parseNDJSON(text string) (*Tree, error) { return ParseNDJSON([]byte(text), DefaultLimits) }
func parseForm(text string) (*Tree, error)   { return ParseForm([]byte(text), DefaultLimits) }
func parseParts(text string) (*Tree, error) {
	return ParseMultipart([]byte(strings.ReplaceAll(text, "\n", "\r\n")), "", DefaultLimits)
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		parse    parser
		in, want string
	}{
		{"lines", parseNDJSON, "{\"a\":1}\n\n [2] \r\n\"x\"", `[{"a":1},[2],"x"]`},
		{"no line", parseNDJSON, "\n", `[]`},
		{"events", parseEvents, ": hi\nevent: price\ndata: {\"eur\":\ndata: 17}\nid: 7\n\ndata:x\r\ndata\r\n\r\nretry: 10\n\n",
			`[{"event":"price","data":{"eur":` + "\n" + `17},"id":"7"},{"data":"x\n"},{"retry":"10"}]`},
		{"event that is not ended", parseEvents, "data: x\n", `[{"data":"x","unfinished":true}]`},
		{"fields nobody knows", parseEvents, "colour: red\n\n", `[]`},
		{"data behind a blank that JSON does not know", parseEvents, "data:\u00a0{}\n\n", "[{\"data\":\"\u00a0{}\"}]"},
		{"event twice", parseEvents, "event: a\nevent: b\n\n", `[{"event":"b"}]`},
		{"form", parseForm, "a=1&b=x+y&&a=%32&flag", `{"a":["1","2"],"b":["x y"],"flag":[""]}`},
		{"a line end in a form", parseForm, "a=1\r\n", `{"a":["1\u000d\n"]}`},
		{"no form", parseForm, "", `{}`},
		{"parts", parseParts, "--x\nContent-Disposition: form-data; name=\"note\"\n\nhello\n--x\nContent-Type: application/json\nContent-Disposition: form-data; name=doc; filename=\"a.json\"\n\n{\"a\":1}\n--x\n\nplain\n--x--\n",
			`{"note":["hello"],"doc":[{"@content-type":"application/json","@filename":"a.json","#content":{"a":1}}],"#part":["plain"]}`},
		{"coded parts", parseParts, "--x\nContent-Transfer-Encoding: base64\nContent-Disposition: form-data; name=a\n\naGVs\nbG8=\n--x\nContent-Transfer-Encoding: quoted-printable\nContent-Disposition: form-data; name=a\n\nh=65llo\n--x--\n",
			`{"a":["hello","hello"]}`},
		{"a coding of parts that nobody knows", parseParts, "--x\nContent-Transfer-Encoding: x-uue\nContent-Disposition: form-data; name=a\n\nhi\n--x--\n",
			`{"a":[{"@content-transfer-encoding":"x-uue","#content":"hi"}]}`},
		{"bytes in a part", parseParts, "--x\nContent-Disposition: form-data; name=a\n\n\x00\n--x--\n",
			`{"a":["1 bytes, SHA-256 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"]}`},
	} {
		tree, err := c.parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := string(tree.Source); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestFormatsRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		parse    parser
		in, want string
	}{
		{"a broken line", parseNDJSON, "{}\n{\"a\":}\n", "line 2, column 6"},
		{"a blank that JSON does not know", parseNDJSON, "\u00a0{}\n", "line 1, column 1"},
		{"two documents on a line", parseNDJSON, "1,2\n", "line 1"},
		{"a bad escape", parseForm, "a=1&b=%zz", `the value of "b"`},
		{"a bad name", parseForm, "%z=1", "the name"},
		{"no boundary", parseParts, "hello", "no line begins"},
		{"no end", parseParts, "--x\nContent-Disposition: form-data; name=a\n\nhello", "part 1"},
		{"bad base64", parseParts, "--x\nContent-Transfer-Encoding: base64\n\n!\n--x--\n", "base64"},
		{"bad disposition", parseParts, "--x\nContent-Disposition: ;;\n\n!\n--x--\n", "Content-Disposition"},
	} {
		if _, err := c.parse(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestToUTF8(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ charset, in, want string }{
		{"", "é", "é"},
		{"UTF-8", "\xff", "\xff"},
		{"iso-8859-1", "\xe9", "é"},
		{"windows-1252", "\x80", "€"},
		{"shift_jis", "\x82\xa0", "あ"},
		{"utf-16le", "a\x00", "a"},
		{"utf-16", "\xfe\xff\x00a", "a"},
		{"", "\xff\xfea\x00", "a"},
	} {
		if got, err := ToUTF8(c.charset, []byte(c.in)); err != nil || string(got) != c.want {
			t.Errorf("%s %q: got %q, %v, want %q", c.charset, c.in, got, err, c.want)
		}
	}
	for _, c := range []struct{ charset, in string }{{"klingon", "a"}, {"shift_jis", "\x82"}, {"windows-874", "\xff"}} {
		if got, err := ToUTF8(c.charset, []byte(c.in)); err == nil {
			t.Errorf("%s: %q became %q", c.charset, c.in, got)
		}
	}
}

func fuzzFormat(f *testing.F, parse func([]byte) (*Tree, error), seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		tree, err := parse(in)
		if err != nil {
			return
		}
		if again, err := ParseJSON(tree.Source, DefaultLimits); err != nil || len(again.Nodes) != len(tree.Nodes) {
			t.Errorf("%q is read as %s: %v", in, tree.Source, err)
		}
	})
}

func FuzzParseNDJSON(f *testing.F) {
	fuzzFormat(f, func(in []byte) (*Tree, error) { return ParseNDJSON(in, DefaultLimits) }, "{\"a\":1}\n[2]\n")
}

func FuzzParseEvents(f *testing.F) {
	fuzzFormat(f, func(in []byte) (*Tree, error) { return ParseEvents(in, DefaultLimits) }, "event: a\ndata: {\"b\":1}\nid: 1\n\n", "data: x\r\rdata")
}

func FuzzParseForm(f *testing.F) {
	fuzzFormat(f, func(in []byte) (*Tree, error) { return ParseForm(in, DefaultLimits) }, "a=1&b=%20+&a")
}

func FuzzParseMultipart(f *testing.F) {
	fuzzFormat(f, func(in []byte) (*Tree, error) { return ParseMultipart(in, "", DefaultLimits) },
		"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\nContent-Type: application/json\r\n\r\n{}\r\n--x--\r\n")
}

func FuzzToUTF8(f *testing.F) {
	f.Add("utf-16", []byte("a\x00"))
	f.Fuzz(func(t *testing.T, charset string, in []byte) {
		if out, err := ToUTF8(charset, in); err == nil && len(out) > 3*len(in)+3 && len(in) > 0 {
			t.Errorf("%d bytes of %q became %d", len(in), charset, len(out))
		}
	})
}
