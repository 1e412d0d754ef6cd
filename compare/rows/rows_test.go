package rows_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/rows"
)

// columns writes columns as "name=value"; a value of null is NULL, a name that ends in
// ! is made up by the database, and one that has > refers to a column.
func columns(list ...string) []parallax.Column {
	var out []parallax.Column
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		c := parallax.Column{}
		name, c.Ref, c.Made = strings.Cut(name, ">")
		if c.Name = name; !c.Made {
			c.Name, c.Made = strings.CutSuffix(name, "!")
		}
		if _, err := strconv.Atoi(value); err == nil {
			c.Type = parallax.NumberColumn
		}
		if value != "null" {
			c.Value = &value
		}
		out = append(out, c)
	}
	return out
}

func written(list []rows.Row) []string {
	var out []string
	for _, r := range list {
		text := fmt.Sprintf("%s %s", r.Op, r.Table)
		for _, part := range [][]parallax.Column{r.Key, r.Columns} {
			text += " |"
			for _, c := range part {
				value := "null"
				if c.Value != nil {
					value = *c.Value
				}
				text += " " + c.Name + "=" + value
			}
		}
		out = append(out, text)
	}
	return out
}

func TestNet(t *testing.T) {
	t.Parallel()
	insert := func(values ...string) parallax.Effect {
		return parallax.Effect{Table: "t", Op: parallax.Insert, Key: columns(values[0]), After: columns(values...)}
	}
	update := func(key string, values ...string) parallax.Effect {
		return parallax.Effect{Table: "t", Op: parallax.Update, Key: columns(key), After: columns(values...)}
	}
	knowing := func(e parallax.Effect, before ...string) parallax.Effect {
		e.Before = columns(before...)
		return e
	}
	remove := func(key string) parallax.Effect {
		return parallax.Effect{Table: "t", Op: parallax.Delete, Key: columns(key)}
	}
	truncate := parallax.Effect{Table: "t", Op: parallax.Truncate}
	other := parallax.Effect{Table: "u", Op: parallax.Insert, Key: columns("id=9"), After: columns("id=9")}
	mail := parallax.Effect{Table: "mail", Op: parallax.Emit, After: columns("to=a")}
	for name, c := range map[string]struct {
		effects []parallax.Effect
		want    []string
	}{
		"made and changed":               {[]parallax.Effect{insert("id=1", "n=1"), update("id=1", "id=1", "n=2")}, []string{"insert t | id=1 | id=1 n=2"}},
		"made, and given another key":    {[]parallax.Effect{insert("id=1", "n=1"), update("id=1", "id=2", "n=1"), update("id=2", "id=2", "n=3")}, []string{"insert t | id=2 | id=2 n=3"}},
		"made and deleted":               {[]parallax.Effect{insert("id=1"), remove("id=1")}, nil},
		"made, renamed and deleted":      {[]parallax.Effect{insert("id=1"), update("id=1", "id=2"), remove("id=2")}, nil},
		"changed twice":                  {[]parallax.Effect{update("id=1", "id=1", "n=2"), update("id=1", "id=1", "n=3")}, []string{"update t | id=1 | id=1 n=3"}},
		"a column that is not written":   {[]parallax.Effect{update("id=1", "id=1", "n=2", "long=x"), update("id=1", "id=1", "n=3")}, []string{"update t | id=1 | id=1 n=3 long=x"}},
		"back to what it was":            {[]parallax.Effect{knowing(update("id=1", "id=1", "n=2"), "id=1", "n=1"), update("id=1", "id=1", "n=1")}, nil},
		"back, as far as nobody knows":   {[]parallax.Effect{update("id=1", "id=1", "n=2"), update("id=1", "id=1", "n=1")}, []string{"update t | id=1 | id=1 n=1"}},
		"given another key":              {[]parallax.Effect{update("id=1", "id=5", "n=2")}, []string{"update t | id=1 | id=5 n=2"}},
		"changed and deleted":            {[]parallax.Effect{update("id=1", "id=1", "n=2"), remove("id=1")}, []string{"delete t | id=1 | id=1"}},
		"renamed and deleted":            {[]parallax.Effect{update("id=1", "id=5"), remove("id=5")}, []string{"delete t | id=1 | id=1"}},
		"deleted and made again":         {[]parallax.Effect{remove("id=1"), insert("id=1", "n=4")}, []string{"update t | id=1 | id=1 n=4"}},
		"truncated":                      {[]parallax.Effect{insert("id=1"), other, truncate, insert("id=2")}, []string{"insert u | id=9 | id=9", "truncate t | |", "insert t | id=2 | id=2"}},
		"back, written otherwise":        {[]parallax.Effect{knowing(update("id=1", "id=1", "n=2"), "id=1", "n=0"), update("id=1", "id=1", "n=-0")}, nil},
		"rows without a key, alike":      {[]parallax.Effect{insert("n=1"), insert("n=1"), remove("n=1"), update("n=1", "n=2"), insert("n=2"), remove("n=2")}, []string{"insert t | n=2 | n=2"}},
		"two mails are two":              {[]parallax.Effect{mail, mail}, []string{"emit mail | | to=a", "emit mail | | to=a"}},
		"the same key in another table":  {[]parallax.Effect{insert("id=9"), other, remove("id=9")}, []string{"insert u | id=9 | id=9"}},
		"null and the word are not same": {[]parallax.Effect{knowing(update("id=1", "id=1", "n=null"), "id=1", "n=x"), update("id=1", "id=1", "n=")}, []string{"update t | id=1 | id=1 n="}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, written(rows.Net(c.effects))); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// differing returns how many columns and rows of a matching differ, once what the
// candidate made up is translated.
func differing(m *rows.Matching, p, c []rows.Row) int {
	n := 0
	for _, pair := range m.Pairs {
		if pair.Primary < 0 || pair.Candidate < 0 {
			n++
			continue
		}
		a, b := &p[pair.Primary], &c[pair.Candidate]
		for i := range b.Columns {
			have, standing := m.Primary(b, &b.Columns[i])
			want := a.Column(b.Columns[i].Name)
			if standing == rows.Foreign || (want.Value == nil) != (b.Columns[i].Value == nil) || want.Value != nil && *want.Value != have {
				n++
			}
		}
	}
	return n
}

// shop is orders and their items, of which each may refer to another item. Rows are
// named by their index.
type shop struct {
	notes []int // of the orders
	items []item
}

type item struct{ order, before, sku int } // before: -1 for none

func randomShop(r *rand.Rand, orders, items int) shop {
	s := shop{notes: make([]int, orders), items: make([]item, items)}
	for i := range s.notes {
		s.notes[i] = r.IntN(2)
	}
	for i := range s.items {
		s.items[i] = item{r.IntN(orders), r.IntN(items+1) - 1, r.IntN(2)}
	}
	return s
}

// swapped returns the shop with one reference that leads elsewhere.
func (s shop) swapped(r *rand.Rand) shop {
	s.items = slices.Clone(s.items)
	it := &s.items[r.IntN(len(s.items))]
	if r.IntN(2) == 0 && len(s.notes) > 1 {
		it.order = (it.order + 1 + r.IntN(len(s.notes)-1)) % len(s.notes)
	} else {
		it.before = (it.before+2+r.IntN(len(s.items)))%(len(s.items)+1) - 1
	}
	return s
}

// equal tries every way to pair the rows of two shops of one size.
func (s shop) equal(o shop) bool {
	return permutation(len(s.notes), func(order []int) bool {
		for i, note := range s.notes {
			if o.notes[order[i]] != note {
				return false
			}
		}
		return permutation(len(s.items), func(to []int) bool {
			for i, it := range s.items {
				other := o.items[to[i]]
				before := it.before
				if before >= 0 {
					before = to[before]
				}
				if other != (item{order[it.order], before, it.sku}) {
					return false
				}
			}
			return true
		})
	})
}

// permutation reports whether one of the permutations of n passes a test.
func permutation(n int, passes func([]int) bool) bool {
	list := make([]int, 0, n)
	var try func() bool
	try = func() bool {
		if len(list) == n {
			return passes(list)
		}
		for i := range n {
			if slices.Contains(list, i) {
				continue
			}
			list = append(list, i)
			if try() {
				return true
			}
			list = list[:len(list)-1]
		}
		return false
	}
	return try()
}

// rows writes the shop as a database does that made up its own numbers, in an order of
// its own.
func (s shop) rows(r *rand.Rand, number func() string) []rows.Row {
	name := func(n int) []string {
		out := make([]string, n)
		for _, i := range r.Perm(n) {
			out[i] = number()
		}
		return out
	}
	orders, items := name(len(s.notes)), name(len(s.items))
	var out []rows.Row
	insert := func(table string, values ...string) {
		all := columns(values...)
		out = append(out, rows.Row{Table: table, Op: parallax.Insert, Key: all[:1], Columns: all})
	}
	for i, note := range s.notes {
		insert("orders", "id!="+orders[i], "note="+strconv.Itoa(note))
	}
	for i, it := range s.items {
		before := "null"
		if it.before >= 0 {
			before = items[it.before]
		}
		insert("items", "id!="+items[i], "order_id>orders.id="+orders[it.order], "before>items.id="+before, "sku="+strconv.Itoa(it.sku))
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// counter makes up numbers as a sequence does, so that the numbers of one leg are often
// those of other rows on the other leg.
func counter() func() string {
	n := 0
	return func() string {
		n++
		return strconv.Itoa(n)
	}
}

func matched(r *rand.Rand, a, b shop) int {
	p, c := a.rows(r, counter()), b.rows(r, counter())
	return differing(rows.Match(p, c, rows.Options{}), p, c)
}

// TestMatchFindsWhatTryingEverythingFinds holds the matching against all bijections
// there are: rows are equal if one of them makes them so, and only then.
func TestMatchFindsWhatTryingEverythingFinds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	equal := 0
	for range 4000 {
		a := randomShop(r, 1+r.IntN(4), 1+r.IntN(5))
		b := a.swapped(r)
		want := a.equal(b)
		if want {
			equal++
		}
		if got := matched(r, a, b); (got == 0) != want {
			t.Fatalf("%d differences, equal: %t\n%+v\n%+v", got, want, a, b)
		}
		if got := matched(r, a, a); got != 0 {
			t.Fatalf("%d differences to itself: %+v", got, a)
		}
	}
	if equal < 100 || equal > 3900 {
		t.Errorf("%d of 4 000 pairs are equal; the property tries nothing", equal)
	}
}

// TestMatchLargeGraphs matches row graphs with other numbers and in another order.
func TestMatchLargeGraphs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		a := randomShop(r, 1+r.IntN(20), 1+r.IntN(60))
		if got := matched(r, a, a); got != 0 {
			t.Fatalf("%d differences to itself: %+v", got, a)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(5, 6))
			a := randomShop(r, n/4+1, n-n/4-1)
			p, c := a.rows(r, counter()), a.rows(r, counter())
			for b.Loop() {
				rows.Match(p, c, rows.Options{})
			}
		})
	}
}

// manyLines returns an order with lines of which each has one column that no other leg's has.
func manyLines(n, first int) []rows.Row {
	row := func(table string, id int, list ...string) rows.Row {
		made := columns(fmt.Sprintf("id=%d", id))
		made[0].Made = true
		return rows.Row{Table: table, Op: parallax.Insert, Key: made, Columns: append(made, columns(list...)...)}
	}
	out := []rows.Row{row("orders", first, "note=a")}
	for i := range n {
		line := row("items", first+i, fmt.Sprintf("order_id=%d", first), fmt.Sprintf("sku=%d", i%7), fmt.Sprintf("price=%d", first+i))
		line.Columns[1].Ref, line.Columns[1].Made = "orders.id", true
		out = append(out, line)
	}
	return out
}

// TestManyWrongRows holds that an exchange with as many rows as are compared, all of them
// wrong, keeps nobody busy for long: each is paired, and lines that have most in common.
func TestManyWrongRows(t *testing.T) {
	t.Parallel()
	const n = 10_000
	p, c := manyLines(n, 1), manyLines(n, 1_000_000)
	began := time.Now()
	m := rows.Match(p, c, rows.Options{})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it takes %s", took)
	}
	if len(m.Pairs) != n+1 {
		t.Fatalf("%d pairs, want %d", len(m.Pairs), n+1)
	}
	other := 0
	for _, pair := range m.Pairs {
		if *p[pair.Primary].Column("id").Value != "1" && *p[pair.Primary].Columns[2].Value != *c[pair.Candidate].Columns[2].Value {
			other++
		}
	}
	if other > n/10 {
		t.Errorf("%d lines are paired with one of another product", other)
	}
}
