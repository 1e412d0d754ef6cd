package body

import (
	"strings"
	"testing"
)

func TestParseXML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"text", `<a>1 &lt; 2</a>`, `{"a":["1 < 2"]}`},
		{"empty", `<a/>`, `{"a":[""]}`},
		{"empty too", `<a></a>`, `{"a":[""]}`},
		{"blanks in text stay", "<a> x\n</a>", `{"a":[" x\n"]}`},
		{"attributes", `<a b="1" c='"'/>`, `{"a":[{"@b":"1","@c":"\""}]}`},
		{"attributes and text", `<a b="1">x</a>`, `{"a":[{"@b":"1","#text":"x"}]}`},
		{"elements", "<a>\n  <b>1</b>\n  <c/>\n  <b>2</b>\n</a>", `{"a":[{"#order":"b c b","b":["1","2"],"c":[""]}]}`},
		{"text behind an element", `<p><b>you</b> there</p>`, `{"p":[{"#text":["there"],"#order":"b #text","b":["you"]}]}`},
		{"text before elements", `<p>Hi <b>1</b><b>2</b><i/></p>`, `{"p":[{"#text":["Hi"],"b":["1","2"],"i":[""]}]}`},
		{"a blank that XML does not know", "<p><b/>\u00a0<i/></p>", "{\"p\":[{\"#text\":[\"\u00a0\"],\"#order\":\"b #text i\",\"b\":[\"\"],\"i\":[\"\"]}]}"},
		{"mixed", `<p>Hello <b>you</b>, <i>there</i>!</p>`, `{"p":[{"#text":["Hello",",","!"],"#order":"#text b #text i #text","b":["you"],"i":["there"]}]}`},
		{"character data", `<a>x<![CDATA[<&>]]>y</a>`, `{"a":["x<&>y"]}`},
		{"comments", `<?xml version="1.0"?><!DOCTYPE a><!-- c --><a>x<!-- c -->y</a><!-- c -->`, `{"a":["xy"]}`},
		{"namespace by default", `<a xmlns="urn:x"><b/></a>`, `{"a":[{"@xmlns":"urn:x","b":[""]}]}`},
		{"namespace by prefix", `<p:a xmlns:p="urn:x"><p:b/></p:a>`, `{"a":[{"@xmlns":"urn:x","b":[""]}]}`},
		{"another namespace inside", `<a xmlns:q="urn:y"><q:b>1</q:b></a>`, `{"a":[{"b":[{"@xmlns":"urn:y","#text":"1"}]}]}`},
		{"attribute in a namespace", `<a xmlns:q="urn:y" q:id="1" id="2"/>`, `{"a":[{"@{urn:y}id":"1","@id":"2"}]}`},
		{"declared encoding", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>", `{"a":["é"]}`},
		{"byte order mark", "\xef\xbb\xbf<a>x</a>", `{"a":["x"]}`},
	} {
		tree, err := ParseXML([]byte(c.in), DefaultLimits, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := string(tree.Source); got != c.want || !tree.Lax {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestParseXMLRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"nothing", " ", "there is no element"},
		{"open", "<a>\n<b>", "line 2"},
		{"crossed", "<a><b></a></b>", "closed by"},
		{"two roots", "<a/><b/>", "something follows"},
		{"text around", "<a/>x", "text outside"},
		{"unknown entity", "<a>&secret;</a>", "entity"},
		{"declared entity", `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`, "entity"},
		{"attribute twice", `<a b="1" b="2"/>`, "twice"},
		{"unknown encoding", `<?xml version="1.0" encoding="klingon"?><a/>`, "klingon"},
		{"bad text", "<a>\xff</a>", "UTF-8"},
		{"depth", strings.Repeat("<a>", 600) + strings.Repeat("</a>", 600), "deeply"},
	} {
		if _, err := ParseXML([]byte(c.in), DefaultLimits, 1<<20); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	long := `<r xmlns:p="urn:` + strings.Repeat("x", 1000) + `">` + strings.Repeat("<p:a/>", 5000) + "</r>"
	if _, err := ParseXML([]byte(long), DefaultLimits, 1<<20); err == nil {
		t.Error("a long namespace is written out for every element")
	}
}

// TestLaxPaths says which values a path selects whose arrays are left out.
func TestLaxPaths(t *testing.T) {
	t.Parallel()
	steps := func(lax bool) []Step { // $.order[0].item[2].price[0]
		one := Step{Element: true, Len: 1, Implied: lax}
		return []Step{{Name: "order"}, one, {Name: "item"}, {Element: true, Index: 2, Len: 3, Implied: lax}, {Name: "price"}, one}
	}
	for text, want := range map[string][2]bool{
		"$.order.item.price":           {true, true},
		"$.order.item[2].price":        {true, true},
		"$.order.item[1].price":        {false, false},
		"$.order[0].item[-1].price[0]": {true, true},
		"$..price":                     {true, true},
		"$.order.item":                 {false, true},
		"$.order.item.name":            {false, false},
		"$.order":                      {false, true},
		"$.item":                       {false, false},
	} {
		path, err := ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{path.Matches(steps(true)), path.Covers(steps(true))}; got != want {
			t.Errorf("%s: matches, covers: got %v, want %v", text, got, want)
		}
	}
	path, _ := ParsePath("$.order.item.price")
	if path.Matches(steps(false)) {
		t.Error("arrays of JSON are implied")
	}
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(`<a xmlns:p="u" p:b="1"><p:c>x</p:c>y<c/></a>`))
	f.Add([]byte("<?xml version=\"1.0\" encoding=\"utf-16\"?><a/>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		tree, err := ParseXML(in, DefaultLimits, 1<<20)
		if err == nil && (!tree.Lax || tree.Nodes[0].Kind != Object || tree.Nodes[0].Count != 1) {
			t.Errorf("%q has the tree %s", in, tree.Source)
		}
	})
}
