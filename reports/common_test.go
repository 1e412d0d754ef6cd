package reports

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"parallax"
	"parallax/divergence"
)

// sampledAs is an exchange of an endpoint with a target and a body.
func sampledAs(target, text string) divergence.Sampled {
	call := &parallax.Call{
		Request:  parallax.Request{Method: "POST", Target: target, Body: parallax.Body{Bytes: []byte(text), Size: int64(len(text))}},
		Response: parallax.Response{Status: 200},
	}
	return divergence.Sampled{ExchangeSummary: divergence.ExchangeSummary{Endpoint: "POST /carts/{id}", Live: "primary", Source: "proxy"}, Call: call}
}

func repeat(n int, one func(i int) divergence.Sampled) (out []divergence.Sampled) {
	for i := range n {
		out = append(out, one(i))
	}
	return out
}

func TestInCommon(t *testing.T) {
	t.Parallel()
	f := func(showing, matching func(i int) divergence.Sampled, want Trait) {
		t.Helper()
		c := InCommon(repeat(30, showing), repeat(30, matching))
		if len(c.Traits) == 0 {
			t.Errorf("nothing was found of %d that were tried; want %+v", c.Tried, want)
			return
		}
		if got := c.Traits[0]; got.Text != want.Text || got.Showing != want.Showing || got.Others != want.Others {
			t.Errorf("got %+v, want %+v", c.Traits, want)
		}
	}
	plain := func(i int) divergence.Sampled { return sampledAs(fmt.Sprint("/carts/", i), `{"quantity":1}`) }
	f(func(i int) divergence.Sampled {
		return sampledAs(fmt.Sprint("/carts/", i, "?currency=JPY"), `{"quantity":1}`)
	}, plain,
		Trait{Text: `query currency is "JPY"`, Showing: 30})
	f(func(i int) divergence.Sampled { return sampledAs(fmt.Sprint("/carts/", i, "?currency=JPY"), "") },
		func(i int) divergence.Sampled { return sampledAs(fmt.Sprint("/carts/", i, "?currency=EUR"), "") },
		Trait{Text: `query currency is "JPY"`, Showing: 30})
	f(func(i int) divergence.Sampled { return sampledAs("/carts/1", fmt.Sprintf(`{"quantity":%d}`, 10+i)) },
		func(i int) divergence.Sampled { return sampledAs("/carts/1", fmt.Sprintf(`{"quantity":%d}`, i%10)) },
		Trait{Text: "body $.quantity is at least 10", Showing: 30})
	f(func(i int) divergence.Sampled { return sampledAs(fmt.Sprint("/carts/", i), `{"items":[]}`) },
		func(i int) divergence.Sampled { return sampledAs(fmt.Sprint("/carts/", i), `{"items":[{"sku":"a"}]}`) },
		Trait{Text: "number of elements of body $.items is 0", Showing: 30})
	f(func(i int) divergence.Sampled {
		return sampledAs(fmt.Sprint("/carts/", i), fmt.Sprintf(`{"items":[{"sku":"a"},{"sku":"%d"}]}`, i))
	}, func(i int) divergence.Sampled {
		return sampledAs(fmt.Sprint("/carts/", i), fmt.Sprintf(`{"items":[{"sku":"b"},{"sku":"%d"}]}`, i))
	}, Trait{Text: `body $.items[*].sku is "a"`, Showing: 30})
}

// TestInCommonSaysWhatItLacks: of too few exchanges nothing is said, and why.
func TestInCommonSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	one := func(int) divergence.Sampled { return sampledAs("/carts/1?a=1", "") }
	for _, n := range [][2]int{{4, 30}, {30, 4}, {0, 0}} {
		if c := InCommon(repeat(n[0], one), repeat(n[1], one)); c.Missing == "" || len(c.Traits) > 0 {
			t.Errorf("of %v it says %+v", n, c)
		}
	}
	if c := InCommon(repeat(5, one), repeat(5, one)); c.Missing != "" || len(c.Traits) > 0 {
		t.Errorf("of exchanges that are all alike it says %+v", c)
	}
}

// TestInCommonListsTheSameOnce: what is said of the very same exchanges is one line.
func TestInCommonListsTheSameOnce(t *testing.T) {
	t.Parallel()
	c := InCommon(repeat(20, func(int) divergence.Sampled { return sampledAs("/carts/1?a=1&b=2", "") }), repeat(20, func(int) divergence.Sampled { return sampledAs("/carts/1", "") }))
	if len(c.Traits) != 1 || c.Traits[0].Text != "query a is 1" || !slices.Equal(c.Traits[0].Also, []string{"query b is 2", "query a is there"}) {
		t.Errorf("got %+v", c.Traits)
	}
}

// TestInCommonPrefersTheRequest: of what tells as much, what was asked comes before what was
// answered, but for the status.
func TestInCommonPrefersTheRequest(t *testing.T) {
	t.Parallel()
	answered := func(x divergence.Sampled, status int, text string) divergence.Sampled {
		x.Call.Response.Status, x.Call.Response.Body = status, parallax.Body{Bytes: []byte(text), Size: int64(len(text))}
		return x
	}
	f := func(want string, showing, others func() divergence.Sampled) {
		t.Helper()
		one := func(make func() divergence.Sampled) func(int) divergence.Sampled {
			return func(int) divergence.Sampled { return make() }
		}
		if c := InCommon(repeat(20, one(showing)), repeat(20, one(others))); len(c.Traits) != 1 || c.Traits[0].Text != want {
			t.Errorf("got %+v, want %q alone", c.Traits, want)
		}
	}
	f("query a is 1", func() divergence.Sampled { return answered(sampledAs("/carts/1?a=1", ""), 200, `{"b":1}`) },
		func() divergence.Sampled { return answered(sampledAs("/carts/1", ""), 200, `{}`) })
	f("status of the primary is 200", func() divergence.Sampled { return answered(sampledAs("/carts/1", ""), 200, `{"b":1}`) },
		func() divergence.Sampled { return answered(sampledAs("/carts/1", ""), 404, `{}`) })
	f("answer of the primary $.b is 1", func() divergence.Sampled { return answered(sampledAs("/carts/1", ""), 200, `{"b":1}`) },
		func() divergence.Sampled { return answered(sampledAs("/carts/1", ""), 200, `{"b":2}`) })
}

// TestInCommonGoesOn: what tells the sides apart among those that have the first trait is
// listed, and what merely comes with it is not.
func TestInCommonGoesOn(t *testing.T) {
	t.Parallel()
	showing := repeat(40, func(i int) divergence.Sampled {
		return sampledAs(fmt.Sprintf("/carts/%d?currency=JPY&express=1&with=%d", i, i%20/19), "")
	})
	others := repeat(40, func(i int) divergence.Sampled {
		return sampledAs([]string{"/carts/1?currency=JPY", "/carts/1?express=1", "/carts/1?currency=EUR"}[i%3], "")
	})
	var got []string
	for _, trait := range InCommon(showing, others).Traits {
		got = append(got, trait.Text)
	}
	if want := []string{"query with is there"}; !slices.Equal(got, want) {
		t.Errorf("what only those have that show it says all: got %q, want %q", got, want)
	}
	for i := range showing {
		showing[i] = sampledAs("/carts/1?currency=JPY&express=1", "")
	}
	got = nil
	for _, trait := range InCommon(showing, others).Traits {
		got = append(got, trait.Text)
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "query express") || !strings.HasPrefix(got[1], "query currency") {
		t.Errorf("got %q, want both what is express and what is in yen", got)
	}
}

// TestInCommonMakesNothingUp: where both sides are dealt from one pack, something is
// listed in one case of a hundred at most.
func TestInCommonMakesNothingUp(t *testing.T) {
	t.Parallel()
	const cases = 300
	r := rand.New(rand.NewPCG(7, 7))
	found := 0
	for range cases {
		dealt := repeat(60, func(int) divergence.Sampled {
			target := fmt.Sprintf("/carts/%d?a=%d&b=%d&c=%d&d=%d", r.IntN(9), r.IntN(2), r.IntN(3), r.IntN(2), r.IntN(100))
			return sampledAs(target, fmt.Sprintf(`{"e":%d,"f":%t,"g":[%d],"h":%d}`, r.IntN(5), r.IntN(2) == 0, r.IntN(20), r.IntN(1000)))
		})
		if c := InCommon(dealt[:30], dealt[30:]); len(c.Traits) > 0 {
			found++
		}
	}
	// Of 300 cases with 1 of 100 each, 10 or more come in one of 1 000.
	if found >= 10 {
		t.Errorf("in %d of %d cases something was listed", found, cases)
	}
}

// TestFisher: the lady who tasted tea (Fisher, The Design of Experiments, 1935), and
// sums over all that may come.
func TestFisher(t *testing.T) {
	t.Parallel()
	f := func(a, n, b, m int, want float64) {
		t.Helper()
		if got := fisher(a, n, b, m); math.Abs(got-want) > 1e-12 {
			t.Errorf("fisher(%d of %d, %d of %d) = %v, want %v", a, n, b, m, got, want)
		}
	}
	f(4, 4, 0, 4, 1.0/70)
	f(3, 4, 1, 4, 17.0/70)
	f(2, 4, 2, 4, 53.0/70)
	f(0, 4, 4, 4, 1)
	f(0, 5, 0, 7, 1)
	f(1, 1, 0, 99, 0.01)
}
