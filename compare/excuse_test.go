package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"parallax"
)

// play runs n exchanges against one model and returns how many diverged, how many
// were not comparable, and how many had noise.
func play(n int, model *NoiseModel, answers func(i int) (primary, candidate, secondary *parallax.Call)) (diverged, undecided, noisy int) {
	for i := range n {
		p, c, s := answers(i)
		got := Compare(exchange(p, c, s), Input{Noise: model})
		model.Add(got.Sample)
		switch {
		case got.Outcome == Diverged:
			diverged++
		case got.Outcome == NotComparable:
			undecided++
		}
		if got.Noise > 0 {
			noisy++
		}
	}
	return diverged, undecided, noisy
}

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
}

func page(nonce, price string) string {
	return "<html>\n<script nonce=\"" + nonce + "\"></script>\n<p>Price: " + price + "</p>\n</html>\n"
}

func htmlAnswer(content string) *parallax.Call {
	return answer(200, content, "Content-Type", "text/html")
}

// TestNoiseExcusesNoWrongAnswer: where primary and secondary always differ, a
// candidate that is wrong beside that noise diverges every time.
func TestNoiseExcusesNoWrongAnswer(t *testing.T) {
	t.Parallel()
	const n = 200
	r := rand.New(rand.NewPCG(1, 1))
	f := func(name string, answers func(i int) (p, c, s *parallax.Call)) {
		t.Helper()
		if diverged, undecided, _ := play(n, &NoiseModel{}, answers); diverged < n || undecided > 0 {
			t.Errorf("%s: %d of %d diverged, %d not comparable", name, diverged, n, undecided)
		}
	}
	f("a page with a nonce, another price", func(int) (p, c, s *parallax.Call) {
		return htmlAnswer(page(uuid(r), "10.00")), htmlAnswer(page(uuid(r), "99.99")), htmlAnswer(page(uuid(r), "10.00"))
	})
	line := func(nonce, price string) *parallax.Call {
		return htmlAnswer(strings.ReplaceAll(page(nonce, price), "\n", " "))
	}
	f("the same in one line", func(int) (p, c, s *parallax.Call) {
		return line(uuid(r), "10.00"), line(uuid(r), "99.99"), line(uuid(r), "10.00")
	})
	f("the same in a JSON string", func(int) (p, c, s *parallax.Call) {
		in := func(price string) *parallax.Call {
			return jsonAnswer(fmt.Sprintf(`{"page":%q}`, page(uuid(r), price)))
		}
		return in("10.00"), in("99.99"), in("10.00")
	})
	f("the same without a content type", func(int) (p, c, s *parallax.Call) {
		in := func(price string) *parallax.Call { return answer(200, page(uuid(r), price)) }
		return in("10.00"), in("99.99"), in("10.00")
	})
	f("a page with a nonce, an unrelated text", func(int) (p, c, s *parallax.Call) {
		return htmlAnswer(page(uuid(r), "10.00")), htmlAnswer("one\ntwo\nthree\nfour\nfive\n"), htmlAnswer(page(uuid(r), "10.00"))
	})
	f("a feed with one item more, an empty one", func(int) (p, c, s *parallax.Call) {
		return jsonAnswer(`[{"id":1},{"id":2}]`), jsonAnswer(`[]`), jsonAnswer(`[{"id":1},{"id":2},{"id":3}]`)
	})
	f("a feed with one item more, a feed with two", func(int) (p, c, s *parallax.Call) {
		return jsonAnswer(`[{"id":1}]`), jsonAnswer(`[{"id":1},{"id":3},{"id":4}]`), jsonAnswer(`[{"id":1},{"id":3}]`)
	})
	f("a UUID, an error text", func(int) (p, c, s *parallax.Call) {
		id := func() *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"id":%q}`, uuid(r))) }
		return id(), jsonAnswer(`{"id":"ERROR: no connection to database"}`), id()
	})
	f("a number, one ten thousand times as large", func(int) (p, c, s *parallax.Call) {
		return jsonAnswer(`{"took":1.5}`), jsonAnswer(`{"took":70000.1}`), jsonAnswer(`{"took":2.5}`)
	})
	f("a nonce in a header, another realm", func(int) (p, c, s *parallax.Call) {
		ask := func(realm string) *parallax.Call {
			return answer(401, "", "WWW-Authenticate", `Digest realm="`+realm+`", nonce="`+uuid(r)+`", qop="auth"`)
		}
		return ask("shop"), ask("test"), ask("shop")
	})
	f("a secondary that fails, a candidate that finds nothing", func(int) (p, c, s *parallax.Call) {
		return answer(200, ""), answer(404, ""), answer(503, "")
	})
	f("a secondary and a candidate that find nothing", func(int) (p, c, s *parallax.Call) {
		return answer(200, ""), answer(404, ""), answer(404, "")
	})
	f("a secondary that finds nothing, a candidate without fields", func(int) (p, c, s *parallax.Call) {
		return jsonAnswer(`{"id":1}`), jsonAnswer(`{}`), answer(404, `{"error":"none"}`, "Content-Type", "application/json")
	})
}

// TestOtherElementsAreBlamed: one element is noise; a candidate that is wrong in
// another one has the same normalised path and is found all the same.
func TestOtherElementsAreBlamed(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	items := func(price int) *parallax.Call {
		return jsonAnswer(fmt.Sprintf(`[{"price":%d},{"price":%d}]`, r.IntN(1000), price))
	}
	diverged, _, _ := play(200, &NoiseModel{}, func(int) (p, c, s *parallax.Call) { return items(10), items(99), items(10) })
	if diverged < 180 {
		t.Errorf("%d of 200 diverged", diverged)
	}
}

// TestAFixedLineIsForgotten: a page that was wrong in one line for a while, and is
// no longer, is not held against its nonce.
func TestAFixedLineIsForgotten(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	in := func(price string) *parallax.Call { return htmlAnswer(page(uuid(r), price)) }
	model := &NoiseModel{}
	if diverged, _, _ := play(50, model, func(int) (p, c, s *parallax.Call) {
		return in("the price is 10.00"), in("the price is 99.99"), in("the price is 10.00")
	}); diverged != 50 {
		t.Errorf("%d of 50 diverged", diverged)
	}
	if diverged, _, _ := play(50, model, func(int) (p, c, s *parallax.Call) {
		return in("the price is 10.00"), in("the price is 10.00"), in("the price is 10.00")
	}); diverged != 0 {
		t.Errorf("%d of 50 diverged once it was right", diverged)
	}
}

// TestOneFlakeExcusesOneDifference: a wrong answer in 320, and one flake of the
// secondary at the same place long ago.
func TestOneFlakeExcusesOneDifference(t *testing.T) {
	t.Parallel()
	good, bad := jsonAnswer(`{"ok":true}`), jsonAnswer(`{"ok":false}`)
	f := func(name string, good, bad *parallax.Call) {
		t.Helper()
		diverged, undecided, noisy := play(3787, &NoiseModel{}, func(i int) (p, c, s *parallax.Call) {
			switch {
			case i == 100:
				return good, good, bad
			case i%320 == 319:
				return good, bad, good
			}
			return good, good, good
		})
		if diverged < 10 || noisy > 1 || undecided > 0 {
			t.Errorf("%s: %d diverged of 11, %d were noise, %d not comparable", name, diverged, noisy, undecided)
		}
	}
	f("a value", good, bad)
	f("a status", answer(200, ""), answer(404, ""))
	f("a line", htmlAnswer(page("n", "1")), htmlAnswer(page("n", "2")))
}

// TestRareNoiseIsPaidFor: all three legs are other in one answer of 200. The
// candidate is excused about as often as the secondary does it alone.
func TestRareNoiseIsPaidFor(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	flaky := func() *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"cached":%t}`, r.IntN(200) == 0)) }
	diverged, _, noisy := play(8000, &NoiseModel{}, func(int) (p, c, s *parallax.Call) { return flaky(), flaky(), flaky() })
	if diverged > 20 || noisy < 40 {
		t.Errorf("%d diverged and %d were noise, of about 80 differences", diverged, noisy)
	}
}

// TestTwoStatusesTakingTurnsAreNoise: either instance of the old version answers
// 200 or 304 as its cache goes.
func TestTwoStatusesTakingTurnsAreNoise(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	either := func() *parallax.Call { return answer([]int{200, 304}[r.IntN(2)], "") }
	diverged, _, noisy := play(500, &NoiseModel{}, func(int) (p, c, s *parallax.Call) { return either(), either(), either() })
	if diverged > 12 || noisy < 200 {
		t.Errorf("%d diverged and %d were noise", diverged, noisy)
	}
}

// TestNoiseOfARealService is in the shape of what an echoing service answers
// behind Parallax: none of it may count.
func TestNoiseOfARealService(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	mark := map[string]string{"candidate": "parallax-role=shadow;sig=", "secondary": "parallax-role=shadow;sig="}
	role := map[string]string{"primary": "live", "candidate": "shadow", "secondary": "shadow"}
	baggage := func(leg, format string) string {
		if mark[leg] == "" {
			return ""
		}
		return fmt.Sprintf(format, mark[leg]+uuid(r))
	}
	random := func() string {
		b := make([]byte, 1024)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	f := func(name string, of func(leg string) *parallax.Call) {
		t.Helper()
		diverged, undecided, noisy := play(500, &NoiseModel{}, func(int) (p, c, s *parallax.Call) {
			return of("primary"), of("candidate"), of("secondary")
		})
		if diverged > 0 || undecided > 0 || noisy != 500 {
			t.Errorf("%s: %d of 500 diverged, %d not comparable, %d with noise", name, diverged, undecided, noisy)
		}
	}
	f("GET /bytes/1024", func(string) *parallax.Call {
		return answer(200, random(), "Content-Type", "application/octet-stream")
	})
	f("GET /uuid", func(string) *parallax.Call { return jsonAnswer(fmt.Sprintf("{\n  \"uuid\": %q\n}", uuid(r))) })
	f("GET /digest-auth", func(string) *parallax.Call {
		return answer(401, "", "WWW-Authenticate", fmt.Sprintf(
			`Digest qop="auth", realm="go-httpbin", algorithm=MD5, nonce="%x", opaque="%x"`, random()[:16], random()[:16]))
	})
	f("GET /dump/request", func(leg string) *parallax.Call {
		return answer(200, "GET /dump/request HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip\r\n"+baggage(leg, "Baggage: %s\r\n")+
			"Traceparent: 00-1-2-01\r\nUser-Agent: corpus\r\nX-Parallax-Exchange: 0193\r\nX-Parallax-Leg: "+leg+"\r\nX-Parallax-Role: "+role[leg]+"\r\n\r\n",
			"Content-Type", "text/plain; charset=utf-8")
	})
	headers := func(leg string) string {
		return `"headers":{"Accept-Encoding":["gzip"],` + baggage(leg, `"Baggage":["%s"],`) +
			`"User-Agent":["corpus"],"X-Parallax-Leg":["` + leg + `"],"X-Parallax-Role":["` + role[leg] + `"]}`
	}
	f("GET /stream/3", func(leg string) *parallax.Call {
		var lines strings.Builder
		for i := range 3 {
			fmt.Fprintf(&lines, `{"id":%d,"args":{},%s,"origin":"127.0.0.1","url":"http://127.0.0.1/stream/3"}`+"\n", i, headers(leg))
		}
		return answer(200, lines.String(), "Content-Type", "text/plain; charset=utf-8")
	})
	f("GET /headers", func(leg string) *parallax.Call { return jsonAnswer("{" + headers(leg) + "}") })
}

// TestNoSecondaryToTell: lines that are usually noise cannot be judged while the
// secondary is away; what is no noise still diverges.
func TestNoSecondaryToTell(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	model := &NoiseModel{}
	play(20, model, func(int) (p, c, s *parallax.Call) {
		return htmlAnswer(page(uuid(r), "1")), htmlAnswer(page(uuid(r), "1")), htmlAnswer(page(uuid(r), "1"))
	})
	got := Compare(exchange(htmlAnswer(page(uuid(r), "1")), htmlAnswer(page(uuid(r), "1"))), Input{Noise: model})
	if got.Outcome != NotComparable || got.Reason != ReasonNoSecondary {
		t.Errorf("%v %q", got.Outcome, got.Reason)
	}
	other := htmlAnswer(page(uuid(r), "1"))
	other.Response.Status = 404
	if got := Compare(exchange(htmlAnswer(page(uuid(r), "1")), other), Input{Noise: model}); got.Outcome != Diverged {
		t.Errorf("%v %q", got.Outcome, got.Reason)
	}
}

// TestManySuppressedDifferencesKeepBlame: that not every excused difference is
// kept must not end the search for a candidate to blame.
func TestManySuppressedDifferencesKeepBlame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	many := func(x int) *parallax.Call {
		var b strings.Builder
		for i := range 300 {
			fmt.Fprintf(&b, `"k%d":{"at":%d},`, i, r.IntN(1<<30)+1<<30)
		}
		return jsonAnswer("{" + b.String() + fmt.Sprintf(`"x":%d}`, x))
	}
	rules := compiled(t, Rule{Path: "$..at", Ignore: true})
	got := Compare(exchange(many(1), many(2), many(1)), Input{Rules: rules})
	if !got.Truncated || !got.Sample.Complete || len(got.Sample.CandidateAlone) != 1 {
		t.Errorf("truncated %t, sample %+v", got.Truncated, got.Sample)
	}
	got = Compare(exchange(many(1), many(2), many(1)), Input{})
	if got.Divergences != 1 || got.Noise != 300 || !got.Sample.Complete {
		t.Errorf("%d divergences, %d noise, complete %t", got.Divergences, got.Noise, got.Sample.Complete)
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	f := func(p, s, c string, want bool) {
		t.Helper()
		if got := fits([]byte(p), []byte(s), []byte(c)); got != want {
			t.Errorf("%q fits %q and %q: %t, want %t", c, p, s, got, want)
		}
	}
	f("a b c", "a x c", "a y c", true)
	f("a b c", "a x c", "a y z c", true)
	f("a b c", "a x c", "a y d", false)
	f("a b c", "a x c", "a c", true)
	f("b c d", "x c d", "y c d", true)
	f("b c d", "x c d", "y c d e", false)
	f("a b", "a b c", "a b d", true)
	f("a b", "a b c", "b d", false)
	f("a b c d e", "a x c y e", "a 1 c 2 e", true)
	f("a b c d e", "a x c y e", "a 1 2 e", false)
	f("a  b", "a b", "a b", true)
	f("a  b", "a b", "a c", false)
	f("one two three", "four five six", "seven", true)
	f("at 12:00:59 done now", "at 12:00:58 done now", "at 12:01:00 done now", true)
}

func TestShape(t *testing.T) {
	t.Parallel()
	f := func(class, text, want string) {
		t.Helper()
		if got := shape(side{class: class, text: []byte(text)}); got != want {
			t.Errorf("shape(%s %s) = %s, want %s", class, text, got, want)
		}
	}
	f("", "", "-")
	f("number", "0", "number:0")
	f("number", "-9999.123", "number:0")
	f("number", "10000", "number:1")
	f("number", "1e400", "number:100")
	f("number", "1e-9", "number:0")
	f("string", "primary", "token:2")
	f("string", "candidate", "token:2")
	f("string", "ERROR: none", "text:2")
	f("string:uuid", "x", "string:uuid")
	f("text/html x", "x", "text/html_x")
}
