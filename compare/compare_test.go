package compare

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzipOnOneSideOnlyMatches(t *testing.T) {
	t.Parallel()
	plain := jsonAnswer(`{"a":1}`)
	coded := answer(200, gzipped(t, `{"a":1}`), "Content-Type", "application/json", "Content-Encoding", "gzip")
	if got := Compare(exchange(plain, coded), Input{}); got.Outcome != Match {
		t.Errorf("%v: %v", got.Outcome, got.Differences)
	}
	other := answer(200, gzipped(t, `{"a":2}`), "Content-Type", "application/json", "Content-Encoding", "gzip")
	if got := found(Compare(exchange(plain, other), Input{})); got != "$.a  changed  1 -> 2\n" {
		t.Errorf("found %s", got)
	}
	broken := answer(200, "no gzip", "Content-Type", "application/json", "Content-Encoding", "gzip")
	if got := Compare(exchange(plain, broken), Input{}); len(got.Differences) != 1 || got.Differences[0].Kind != Undecoded {
		t.Errorf("found %v", got.Differences)
	}
}

// cutBody cuts an answer's body as a bounded capture does.
func cutBody(call *parallax.Call, at int) *parallax.Call {
	call.Response.Body.Bytes = call.Response.Body.Bytes[:at]
	call.Response.Body.Cut = true
	return call
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	f := func(name string, p, c *parallax.Call, want Outcome, reason string) {
		t.Helper()
		got := Compare(exchange(p, c), Input{})
		if got.Outcome != want || got.Reason != reason {
			t.Errorf("%s: %v %q, want %v %q", name, got.Outcome, got.Reason, want, reason)
		}
	}
	long := `{"a":1,"b":2}`
	f("one hash", cutBody(jsonAnswer(long), 5), cutBody(jsonAnswer(long), 5), Match, "")
	f("one hash, one side cut", jsonAnswer(long), cutBody(jsonAnswer(long), 5), Match, "")
	unhashed := jsonAnswer(long)
	unhashed.Response.Body.SHA256 = [32]byte{}
	f("one hash, the other left to be made", unhashed, cutBody(jsonAnswer(long), 5), Match, "")
	f("JSON nobody can tell", cutBody(jsonAnswer(long), 5), cutBody(jsonAnswer(`{"b":2,"a":1}`), 5), NotComparable, ReasonTruncated)
	f("text that differs", cutBody(answer(200, "abc", "Content-Type", "text/plain"), 1), cutBody(answer(200, "abd", "Content-Type", "text/plain"), 1), Diverged, "")
	other := cutBody(jsonAnswer(`{"b":2,"a":1}`), 5)
	other.Response.Status = 404
	f("the status differs anyway", cutBody(jsonAnswer(long), 5), other, Diverged, "")
	unknown := cutBody(jsonAnswer(long), 5)
	unknown.Response.Body.SHA256 = [32]byte{}
	f("no hash", unknown, unknown, NotComparable, ReasonTruncated)

	all := `[` + strings.Repeat(`{"id":1}, `, 5000) + `0]`
	f("JSON without end against a small one", jsonAnswer(`{"items":[{"id":1}]}`), cutBody(jsonAnswer(all), 1000), Diverged, "")
	f("the same the other way", cutBody(jsonAnswer(all), 1000), jsonAnswer(`{"items":[{"id":1}]}`), Diverged, "")
	f("JSON ten times as long", jsonAnswer(all[:4998]+`,0]`), cutBody(jsonAnswer(all), 6000), Diverged, "")
	f("JSON that is only spaced", jsonAnswer(long), cutBody(jsonAnswer(`{"a":1,`+strings.Repeat(" ", 500)+`"b":2}`), 300), NotComparable, ReasonTruncated)
	f("JSON that is only escaped", jsonAnswer(`["éééé"]`), cutBody(jsonAnswer(`["\u00e9\u00e9\u00e9\u00e9"]`), 20), NotComparable, ReasonTruncated)
	givenUp := func(size int64, cut int) *parallax.Call {
		c := cutBody(answer(200, strings.Repeat("x", 100), "Content-Type", "text/plain"), cut)
		c.Response.Body.Size, c.Response.Body.SHA256 = size, [32]byte{} // at least so long
		return c
	}
	short, mid := answer(200, "abc", "Content-Type", "text/plain"), cutBody(answer(200, strings.Repeat("x", 100), "Content-Type", "text/plain"), 10)
	f("given up, and longer already", short, givenUp(50, 10), Diverged, "")
	f("the same the other way", givenUp(50, 10), short, Diverged, "")
	f("given up, and shorter so far", mid, givenUp(50, 10), NotComparable, ReasonTruncated)
	f("both given up", givenUp(60, 10), givenUp(50, 10), NotComparable, ReasonTruncated)
	unread := cutBody(jsonAnswer(all), 0)
	unread.Response.Body.SHA256 = [32]byte{}
	f("JSON given up unread", jsonAnswer(`{"items":[]}`), unread, Diverged, "")
	f("a text of another size without hash", cutBody(answer(200, "abc", "Content-Type", "text/plain"), 1), answer(200, "a", "Content-Type", "text/plain"), Diverged, "")
}

// TestCutCodedBodies: the same text may be coded in many ways, so that the
// beginnings of coded bodies say nothing.
func TestCutCodedBodies(t *testing.T) {
	t.Parallel()
	coded := func(text string, level int) *parallax.Call {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, level)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return answer(200, b.String(), "Content-Type", "text/plain", "Content-Encoding", "gzip")
	}
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "line %d\n", i*i)
	}
	got := Compare(exchange(cutBody(coded(text.String(), 1), 1000), cutBody(coded(text.String(), 9), 1000)), Input{})
	if got.Outcome != NotComparable || got.Reason != ReasonTruncated {
		t.Errorf("%v %q: %v", got.Outcome, got.Reason, got.Differences)
	}
}

func TestWhoFailed(t *testing.T) {
	t.Parallel()
	ok, bad := answer(200, ""), answer(502, "")
	timeout := &parallax.Call{Err: parallax.CallErr{Kind: parallax.Timeout}}
	gone := &parallax.Call{Err: parallax.CallErr{Kind: parallax.CallerGone}}
	f := func(p, c *parallax.Call, primary, candidate bool, want Outcome) {
		t.Helper()
		got := Compare(exchange(p, c), Input{})
		if got.PrimaryFailed != primary || got.CandidateFailed != candidate || got.Outcome != want {
			t.Errorf("failed %t and %t, %v; want %t and %t, %v", got.PrimaryFailed, got.CandidateFailed, got.Outcome, primary, candidate, want)
		}
	}
	f(ok, ok, false, false, Match)
	f(ok, bad, false, true, Diverged)
	f(bad, ok, true, false, NotComparable)
	f(bad, bad, true, true, NotComparable)
	f(timeout, ok, true, false, NotComparable)
	f(ok, timeout, false, true, Diverged)
	f(ok, gone, false, false, NotComparable)
	f(ok, nil, false, false, NotComparable)
	f(bad, gone, false, false, NotComparable)
}

func TestFingerprintNamesTheIssue(t *testing.T) {
	t.Parallel()
	issue := func(endpoint, p, c string) Difference {
		x := exchange(jsonAnswer(p), jsonAnswer(c))
		x.Endpoint = endpoint
		return Compare(x, Input{}).Differences[0]
	}
	one := issue("GET /a", `{"items":[{"n":null}]}`, `{"items":[{"n":[]}]}`)
	two := issue("GET /a", `{"items":[0,{"n":null}]}`, `{"items":[0,{"n":[]}]}`)
	if one.Fingerprint != two.Fingerprint {
		t.Error("the position of an element makes another issue of it")
	}
	if other := issue("GET /b", `{"items":[{"n":null}]}`, `{"items":[{"n":[]}]}`); other.Fingerprint == one.Fingerprint || other.Cause != one.Cause {
		t.Error("another endpoint is another issue with the same cause")
	}
	if other := issue("GET /a", `{"items":[{"n":null}]}`, `{"items":[{"n":""}]}`); other.Fingerprint == one.Fingerprint {
		t.Error("another value class is another issue")
	}
	want := Difference{
		Path: "$.items[0].n", Normal: "$.items[*].n", Kind: Type, Primary: "null", Candidate: "[]", Class: "null became []",
		Fingerprint: "1-69ca0d720f904df5", Cause: "1-a078373eea3b6409", // computed with another program
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Error(diff)
	}
}

// Differences that do not count never crowd out one that does.
func TestSuppressedDifferencesHideNothing(t *testing.T) {
	t.Parallel()
	var p, c strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&p, `"k%d":{"at":1},`, i)
		fmt.Fprintf(&c, `"k%d":{"at":2},`, i)
	}
	x := exchange(jsonAnswer("{"+p.String()+`"z":1}`), jsonAnswer("{"+c.String()+`"z":2}`))
	got := Compare(x, Input{Rules: compiled(t, Rule{Path: "$..at", Ignore: true})})
	if got.Divergences != 1 || got.Ruled != 2000 || !got.Truncated || len(got.Differences) != maxKept+1 {
		t.Errorf("%d divergences, %d ruled, %d kept, truncated %t", got.Divergences, got.Ruled, len(got.Differences), got.Truncated)
	}
	got = Compare(x, Input{})
	if got.Divergences != maxKept || !got.Truncated {
		t.Errorf("%d divergences, truncated %t; want the cap", got.Divergences, got.Truncated)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	t.Parallel()
	got := Compare(exchange(jsonAnswer(`["`+strings.Repeat("é", 5000)+`"]`), jsonAnswer(`["x"]`)), Input{})
	if n := len(got.Differences[0].Primary); n > maxValueBytes+3 {
		t.Errorf("%d bytes kept", n)
	}
	if strings.ContainsRune(got.Differences[0].Primary, '�') {
		t.Error("cut inside a character")
	}
}

func TestPathsAreInNaturalOrder(t *testing.T) {
	t.Parallel()
	f := func(a, b string) {
		t.Helper()
		if naturally(a, b) >= 0 || naturally(b, a) <= 0 || naturally(a, a) != 0 {
			t.Errorf("%s does not stand before %s", a, b)
		}
	}
	f("$[2]", "$[10]")
	f("$.a", "$.a.b")
	f("$.a", "$.b")
	f("$[2].a", "$[2].b")
	f("header:a", "status")
}

// A long array beyond the table of the alignment still finds its insertions.
func TestLongArrays(t *testing.T) {
	t.Parallel()
	var p, c []string
	for i := range 3000 {
		p = append(p, fmt.Sprint(i))
		if i == 10 || i == 2900 {
			c = append(c, `"new"`)
		}
		c = append(c, fmt.Sprint(i))
	}
	got := Compare(exchange(jsonAnswer("["+strings.Join(p, ",")+"]"), jsonAnswer("["+strings.Join(c, ",")+"]")), Input{})
	want := "$[10]  extra  \"new\"\n$[2901]  extra  \"new\"\n"
	if diff := cmp.Diff(want, found(got)); diff != "" {
		t.Error(diff)
	}
}

// The class of a content type is a little text of its own, whatever a leg says.
func TestClassOfAContentTypeIsCut(t *testing.T) {
	t.Parallel()
	f := func(media string) {
		t.Helper()
		value := strings.Clone(media + ";v=1")
		held := weak.Make(unsafe.StringData(value))
		got := Compare(exchange(answer(200, "", "Content-Type", value), answer(200, "", "Content-Type", media+";v=2")), Input{})
		if len(got.Differences) != 1 || len(got.Differences[0].Class) > maxValueBytes+len(cutMark) {
			t.Fatalf("%.2000v", got.Differences)
		}
		value = ""
		runtime.GC()
		if held.Value() != nil {
			t.Errorf("a difference keeps the head it was found in")
		}
		runtime.KeepAlive(got)
	}
	f("application/json")
	f(strings.Repeat("x", 1<<20) + "/html")
}
