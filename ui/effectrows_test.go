package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
	"parallax/divergence"
)

// columns writes the columns of a row, such as: total=1, note=NULL.
func columns(text string) (out []divergence.ColumnLine) {
	for part := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(part, "=")
		c := divergence.ColumnLine{Name: name}
		if value != "NULL" {
			c.Value = &value
		}
		out = append(out, c)
	}
	return out
}

func TestNewEffectRow(t *testing.T) {
	t.Parallel()
	got := newEffectRow(divergence.EffectLine{Leg: "primary", Table: "orders", Op: "update", Correlation: "tag", Key: columns("id=17 part=NULL"), Before: columns("total=1 note=a"), After: columns("total=2 note=a by=NULL")})
	want := effectRow{Leg: "primary", Table: "orders", Op: "update", Key: "id 17, part NULL", How: "tag", Columns: []effectColumn{
		{Name: "total", Before: "1", After: "2", Was: true}, {Name: "note", After: "a"}, {Name: "by", After: "NULL"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	got = newEffectRow(divergence.EffectLine{Leg: "candidate", Table: "orders", Op: "delete", Correlation: "key", Late: true, Before: columns("id=17")})
	want = effectRow{Leg: "candidate", Table: "orders", Op: "delete", How: "key", Late: true, Columns: []effectColumn{{Name: "id", After: "17"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestEffectPairs: rows stand beside those with their key or its partner, then beside
// what is left of their table; marked is what differs, and no name of the same thing.
func TestEffectPairs(t *testing.T) {
	t.Parallel()
	line := func(leg, table, key, after string) divergence.EffectLine {
		return divergence.EffectLine{Leg: leg, Table: table, Op: "insert", Key: columns(key), After: columns(after)}
	}
	tables, faults := compare.CompileEffectTables([]compare.EffectTable{{Primary: "sessions", Candidate: "logins", Columns: map[string]string{"token": "key", "customer": "account"}}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	pairs := effectPairs([]divergence.EffectLine{
		line("primary", "sessions", "token=s1", "token=s1 customer=8 at=1"),
		line("candidate", "logins", "key=s2", "key=s2 account=8 at=2"),
		line("primary", "orders", "id=17", "id=17 total=10 note=a"),
		line("primary", "items", "id=1", "order=17 sku=a"),
		line("primary", "items", "id=2", "order=17 sku=b"),
		line("primary", "log", "id=1", "text=x"),
		line("candidate", "items", "id=92", "order=41 sku=b"),
		line("candidate", "items", "id=91", "order=41 sku=c"),
		line("candidate", "orders", "id=41", "id=41 total=11"),
		line("candidate", "mails", "id=1", "to=x"),
		line("secondary", "log", "id=1", "text=x"),
	}, []divergence.IdentifierPair{{Name: "order", Primary: "17", Leg: "candidate", Value: "41"}, {Name: "item", Primary: "2", Leg: "candidate", Value: "92"}, {Name: "token", Primary: "s1", Leg: "candidate", Value: "s2"}}, tables, "candidate")
	side := func(r *effectRow) string {
		if r == nil {
			return "nothing"
		}
		text := r.Table + " " + r.Key
		for _, c := range r.Columns {
			mark := map[bool]string{true: "!"}[c.Differs] + map[bool]string{true: "="}[c.Partner]
			text += fmt.Sprintf(" %s%s", c.Name, mark)
		}
		return text
	}
	var got []string
	for _, p := range pairs {
		got = append(got, side(p.Left)+" | "+side(p.Right))
	}
	if pairs[0].Alias() != "logins" || pairs[1].Alias() != "" {
		t.Errorf("aliases %q and %q", pairs[0].Alias(), pairs[1].Alias())
	}
	want := []string{
		"sessions token s1 token= customer at! | logins key s2 key= account at!",
		"orders id 17 id= total! note! | orders id 41 id= total!",
		"items id 1 order= sku! | items id 91 order= sku!",
		"items id 2 order= sku | items id 92 order= sku",
		"log id 1 text | nothing",
		"nothing | mails id 1 to",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestFirstEffects: a page holds the first changes of each leg that it shows, and counts the others.
func TestFirstEffects(t *testing.T) {
	t.Parallel()
	var lines []divergence.EffectLine
	for i := range maxShownEffects + 10 {
		for _, leg := range []string{"primary", "candidate", "secondary"} {
			if leg != "candidate" || i < 3 {
				lines = append(lines, divergence.EffectLine{Leg: leg, Table: "t", Op: "insert", Key: columns(fmt.Sprintf("id=%d", i))})
			}
		}
	}
	shown, more := firstEffects(lines, "candidate")
	if len(shown) != maxShownEffects+3 || more != 10 {
		t.Errorf("%d are shown and %d are not", len(shown), more)
	}
	if pairs := effectPairs(shown, nil, nil, "candidate"); len(pairs) != maxShownEffects || pairs[2].Right == nil || pairs[3].Right != nil {
		t.Errorf("%d pairs", len(pairs))
	}
	r := newRig(t)
	detail := r.store.details[firstID]
	detail.Effects = lines
	r.store.details[firstID] = detail
	if page := r.call("GET", "/services/shop/exchanges/"+firstID, "").Body.String(); !strings.Contains(page, "10 further changes are not shown") || !strings.Contains(page, "<h2 id=\"body\">") {
		t.Errorf("the page does not say what it leaves out: %.300s", page)
	}
}
