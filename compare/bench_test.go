package compare

import (
	"fmt"
	"strings"
	"testing"

	"parallax"
)

// orders makes a JSON document of about size bytes.
func orders(size int) string {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < size-60; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"item number %d","price":%d.95,"tags":["a","b"],"stock":{"here":%d,"there":null}}`, i, i, i%90, i%7)
	}
	b.WriteString(`],"total":1}`)
	return b.String()
}

// BenchmarkCompare is the ladder: equal bytes, the same value written otherwise,
// one difference, and fifty.
func BenchmarkCompare(b *testing.B) {
	for _, kb := range []int{1, 10, 100} {
		text := orders(kb << 10)
		run := func(name, candidate string) {
			x := exchange(jsonAnswer(text), jsonAnswer(candidate))
			b.Run(fmt.Sprintf("%dKB/%s", kb, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text) + len(candidate)))
				for b.Loop() {
					Compare(x, Input{})
				}
			})
		}
		run("equal", text)
		run("respaced", strings.ReplaceAll(text, `,"`, `, "`))
		run("one", strings.Replace(text, `"total":1}`, `"total":2}`, 1))
		run("one_early", strings.Replace(text, `"id":0`, `"id":-1`, 1))
		run("fifty", strings.Replace(text, `"here":3`, `"here":33`, 50))
	}
}

// BenchmarkCompareVolatile is two equal answers whose heads differ in what no two
// answers have in common.
func BenchmarkCompareVolatile(b *testing.B) {
	x := exchange(jsonAnswer(orders(1<<10)), jsonAnswer(orders(1<<10)))
	for i, leg := range x.Legs[:2] {
		for _, name := range []string{"Date", "Server", "X-Request-Id"} {
			leg.Response.Headers = append(leg.Response.Headers, parallax.Field{Name: name, Value: fmt.Sprint(name, i)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if Compare(x, Input{}).Outcome != Match {
			b.Fatal("not a match")
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	text := orders(1 << 10)
	x := exchange(jsonAnswer(text), jsonAnswer(text[:len(text)-2]+"2}"))
	r := redactor(b, RedactConfig{})
	c := Compare(x, Input{})
	b.ReportAllocs()
	for b.Loop() {
		r.Exchange(x)
		r.Comparison(x, c)
	}
}
