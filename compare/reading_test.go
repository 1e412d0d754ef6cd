package compare

import (
	"testing"

	"parallax"
)

// TestReadOtherwise compares answers whose bodies say the same by themselves and that
// clients read otherwise all the same, and some that they read alike.
func TestReadOtherwise(t *testing.T) {
	t.Parallel()
	const json = "application/json"
	ignoreType := Rule{Path: "header:content-type", Ignore: true}
	for _, c := range []struct {
		name                           string
		typeP, typeC, codingP, codingC string
		primary, candidate             string
		want                           Outcome
	}{
		{"another charset of the same bytes", "text/plain; charset=utf-8", "text/plain; charset=latin1", "", "", "\u00e9", "\u00e9", Diverged},
		{"another charset of the same letters", "text/plain; charset=utf-8", "text/plain; charset=latin1", "", "", "e", "e", Match},
		{"a charset told or not", json, json + "; charset=utf-8", "", "", `"` + "\u00e9" + `"`, `"` + "\u00e9" + `"`, Match},
		{"a byte order mark before JSON", json, json, "", "", `{}`, "\ufeff{}", Diverged},
		{"a byte order mark before both", json, json, "", "", "\ufeff{}", "\ufeff {}", Match},
		{"JSON in UTF-16", json, json, "", "", `{}`, "\xff\xfe{\x00}\x00", Diverged},
		{"text in UTF-16", "text/plain", "text/plain", "", "", "hi", "\xfe\xff\x00h\x00i", Diverged},
		{"XML with a byte order mark", "text/xml", "text/xml", "", "", "<a/>", "\ufeff<a/>", Match},
		{"a blank before the XML declaration", "text/xml", "text/xml", "", "", `<?xml version="1.0"?><a/>`, "\n" + `<?xml version="1.0"?><a/>`, Diverged},
		{"nobody can decode either, told otherwise", json, json, "x-own", "gzip", `{}`, `{}`, Diverged},
		{"nobody can decode either", json, json, "x-own", "X-Own", `{}`, `{}`, Match},
		{"no coding, told", json, json, "", "identity", `{}`, `{}`, Match},
		{"a coding that is not there", json, json, "", "gzip", `{}`, `{}`, Diverged},
	} {
		p := answer(200, c.primary, "Content-Type", c.typeP, "Content-Encoding", c.codingP)
		d := answer(200, c.candidate, "Content-Type", c.typeC, "Content-Encoding", c.codingC)
		got := Compare(exchange(p, d), Input{Rules: compiled(t, ignoreType)})
		if got.Outcome != c.want || len(got.Reason) > 0 {
			t.Errorf("%s: %v %v, want %v", c.name, got.Outcome, got.Differences, c.want)
		}
	}
}

// TestCodingsClientsTake compares answers of different codings to requests that
// accept some.
func TestCodingsClientsTake(t *testing.T) {
	t.Parallel()
	p := answer(200, "hi", "Content-Type", "text/plain")
	c := answer(200, "hi", "Content-Type", "text/plain")
	c.Response.Body.Bytes = []byte(gzipped(t, "hi"))
	c.Response.Headers = append(c.Response.Headers, parallax.Field{Name: "Content-Encoding", Value: "gzip"})
	for accepts, want := range map[string]Outcome{
		"gzip": Match, "br, gzip;q=0.5": Match, "*": Match, "x-gzip": Match,
		"": Diverged, "br": Diverged, "gzip;q=0": Diverged, "gzip; q=0.0, *": Diverged, "identity": Diverged, "*;q=0": Diverged,
	} {
		for _, call := range []*parallax.Call{p, c} {
			call.Request.Headers = []parallax.Field{{Name: "Accept-Encoding", Value: accepts}}
		}
		if got := Compare(exchange(p, c), Input{}); got.Outcome != want {
			t.Errorf("Accept-Encoding: %s: %v, want %v", accepts, got.Outcome, want)
		}
	}
	p.Request.Headers, c.Request.Headers = nil, nil
	if got := Compare(exchange(p, c), Input{}); got.Outcome != Match {
		t.Errorf("without Accept-Encoding: %v", got.Outcome)
	}
}

// TestCutBodyWithoutCoding compares texts that were cut, of which one says that it has
// no coding.
func TestCutBodyWithoutCoding(t *testing.T) {
	t.Parallel()
	p := answer(200, "hello", "Content-Type", "text/plain")
	c := answer(200, "hello", "Content-Type", "text/plain", "Content-Encoding", "identity")
	for _, call := range []*parallax.Call{p, c} {
		b := &call.Response.Body
		b.SHA256, b.Bytes, b.Cut = b.Sum(), b.Bytes[:2], true
	}
	if got := Compare(exchange(p, c), Input{}); got.Outcome != Match {
		t.Errorf("%v %v", got.Outcome, got.Differences)
	}
}

func TestSameField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"application/json; charset=UTF-8; v=A", "Application/JSON;v=A;charset=utf-8", true},
		{"application/json; v=A", "application/json; v=a", false},
		{"multipart/mixed; boundary=A", "multipart/mixed; boundary=B", true},
	} {
		if got := sameField("content-type", c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

func TestSameAttribute(t *testing.T) {
	t.Parallel()
	const now, soon, gone = "Sat, 21 Nov 2026 12:00:00 GMT", "Sat, 21-Nov-2026 12:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"
	const later, laterStill = "Sun, 21 Nov 2027 12:00:00 GMT", "Mon, 22 Nov 2027 12:00:00 GMT"
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"path", "/app", "/App", false},
		{"domain", "shop.example", "Shop.example", true},
		{"samesite", "Lax", "lax", true},
		{"expires", later, laterStill, true},
		{"expires", later, gone, false},
		{"expires", now, soon, true},
		{"expires", later, "tomorrow", false},
		{"expires", "tomorrow", "next week", true},
	} {
		if got := sameAttribute(c.name, c.a, c.b, testTime); got != c.want {
			t.Errorf("%s: %s and %s: %v", c.name, c.a, c.b, got)
		}
	}
}
