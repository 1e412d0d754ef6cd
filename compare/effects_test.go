package compare_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// effect writes an effect as "insert orders | id!=17 | total=12": what names the row,
// then what it says. A name that ends in ! is made up by the database, one that has >
// refers to a column that is made up, one that has >~ to one that is not; number, time, bool, json and array before a colon are types.
func effect(text string) parallax.Effect {
	parts := strings.Split(text, "|")
	op, table, _ := strings.Cut(strings.TrimSpace(parts[0]), " ")
	e := parallax.Effect{Op: parallax.Op(op), Table: table, Correlation: parallax.ByTag}
	e.Key = effectColumns(parts[1])
	if e.Op != parallax.Delete && e.Op != parallax.Truncate {
		e.After = append(slices.Clone(e.Key), effectColumns(strings.Join(parts[2:], "|"))...)
	}
	return e
}

func effectColumns(text string) []parallax.Column {
	types := map[string]parallax.ColumnType{"number": parallax.NumberColumn, "time": parallax.TimeColumn, "bool": parallax.BoolColumn, "json": parallax.JSONColumn, "array": parallax.ArrayColumn, "unchanged": parallax.Unchanged}
	var out []parallax.Column
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			continue
		}
		var c parallax.Column
		if kind, rest, typed := strings.Cut(name, ":"); typed {
			c.Type, name = types[kind], rest
		}
		name, c.Ref, c.Made = strings.Cut(name, ">")
		if c.Name = name; !c.Made {
			c.Name, c.Made = strings.CutSuffix(name, "!")
		}
		if text, natural := strings.CutPrefix(c.Ref, "~"); natural {
			c.Ref, c.Made = text, false
		}
		if value != "NULL" {
			c.Value = &value
		}
		out = append(out, c)
	}
	return out
}

// wrote returns an exchange whose legs answered alike and had these effects.
func wrote(primary, candidate []string) *parallax.Exchange {
	call := func(list []string) *parallax.Call {
		c := &parallax.Call{Response: parallax.Response{Status: 200}, First: time.Millisecond, Done: time.Millisecond}
		for _, text := range list {
			c.Effects = append(c.Effects, effect(text))
		}
		return c
	}
	return &parallax.Exchange{Service: "shop", Endpoint: "POST /orders", Received: time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC), Legs: [parallax.Legs]*parallax.Call{call(primary), call(candidate)}}
}

// found writes what counts of a comparison.
func found(c compare.Comparison) []string {
	var out []string
	for _, d := range c.Differences {
		line := d.Path + " " + string(d.Kind) + " " + d.Primary + " -> " + d.Candidate
		if d.Suppressed.By != "" {
			line += " (" + d.Suppressed.By + ")"
		}
		out = append(out, line)
	}
	return out
}

func TestEffects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tables             []compare.EffectTable
		rules              []compare.Rule
		pairs              []ids.Fact
		gap                bool
		primary, candidate []string
		want               []string
		reason             string
	}{
		"other numbers are no difference": {
			primary:   []string{"insert orders|number:id!=17|number:total=1200", "insert items|number:id!=31|number:order_id>orders.id=17;sku=a", "insert items|number:id!=32|number:order_id>orders.id=17;sku=b"},
			candidate: []string{"insert orders|number:id!=9017|number:total=1200.00", "insert items|number:id!=9032|number:order_id>orders.id=9017;sku=b", "insert items|number:id!=9031|number:order_id>orders.id=9017;sku=a"},
		},
		"a wrong column": {
			primary:   []string{"insert orders|number:id!=17|number:total=1200", "insert items|number:id!=31|number:order_id>orders.id=17;sku=a"},
			candidate: []string{"insert orders|number:id!=9017|number:total=1201", "insert items|number:id!=9031|number:order_id>orders.id=9017;sku=a"},
			want:      []string{"effects:orders[0] $.total changed 1200 -> 1201"},
		},
		"a wrong foreign key in the exchange": {
			primary:   []string{"insert orders|number:id!=1|note=a", "insert orders|number:id!=2|note=b", "insert items|number:id!=3|number:order_id>orders.id=1"},
			candidate: []string{"insert orders|number:id!=11|note=a", "insert orders|number:id!=12|note=b", "insert items|number:id!=13|number:order_id>orders.id=12"},
			want:      []string{"effects:items[0] $.order_id changed 1 -> 12"},
		},
		"a foreign key to a row that was there before": {
			primary:   []string{"insert items|number:id!=3|number:product_id>products.id=5"},
			candidate: []string{"insert items|number:id!=13|number:product_id>products.id=6"},
			want:      []string{"effects:items[0] $.product_id changed 5 -> 6"},
		},
		"a foreign key to a row of an earlier exchange": {
			pairs:     []ids.Fact{pairOf("orders.id", "17", "9017"), pairOf("orders.id", "18", "9018")},
			primary:   []string{"insert items|number:id!=3|number:order_id>orders.id=17", "update orders|number:id!=17|number:total=5"},
			candidate: []string{"insert items|number:id!=13|number:order_id>orders.id=9017", "update orders|number:id!=9017|number:total=5"},
		},
		"the wrong row of an earlier exchange": {
			pairs:     []ids.Fact{pairOf("orders.id", "17", "9017"), pairOf("orders.id", "18", "9018")},
			primary:   []string{"update orders|number:id!=17|number:total=5"},
			candidate: []string{"update orders|number:id!=9018|number:total=5"},
			want:      []string{"effects:orders[0] $.id changed 17 -> 9018"},
		},
		"a row that the primary calls otherwise": {
			pairs:     []ids.Fact{pairOf("orders.id", "17", "9017")},
			primary:   []string{"insert items|number:id!=3|number:order_id>orders.id=17"},
			candidate: []string{"insert items|number:id!=13|number:order_id>orders.id=17"},
			want:      []string{`effects:items[0] $.order_id changed 17 -> 17`},
		},
		"a change of a row that the primary calls otherwise": {
			gap:       true,
			pairs:     []ids.Fact{pairOf("orders.id", "17", "9017")},
			primary:   []string{"update orders|number:id!=17|number:total=5"},
			candidate: []string{"update orders|number:id!=17|number:total=5"},
			want:      []string{`effects:orders[0] $.id changed 17 -> 17`},
		},
		"a row deleted that the primary calls otherwise": {
			pairs:     []ids.Fact{pairOf("orders.id", "17", "9017")},
			primary:   []string{"delete orders|number:id!=17"},
			candidate: []string{"delete orders|number:id!=17"},
			want:      []string{`effects:orders[0] $.id changed 17 -> 17`},
		},
		"made up with what was never compared": {
			pairs:     []ids.Fact{lostOf("orders.id", parallax.Candidate, "9018")},
			primary:   []string{"insert items|number:id!=3|number:order_id>orders.id=17"},
			candidate: []string{"insert items|number:id!=13|number:order_id>orders.id=9018"},
			want:      []string{"effects:items[0] $.order_id changed 17 -> 9018 (identifier)"},
			reason:    compare.ReasonUnmapped,
		},
		"made up with what was never compared, and the primary's has a partner": {
			pairs:     []ids.Fact{lostOf("orders.id", parallax.Candidate, "9018"), pairOf("orders.id", "17", "9017")},
			primary:   []string{"insert items|number:id!=3|number:order_id>orders.id=17"},
			candidate: []string{"insert items|number:id!=13|number:order_id>orders.id=9018"},
			want:      []string{"effects:items[0] $.order_id changed 17 -> 9018"},
		},
		"nobody read when it was made": {
			gap:       true,
			primary:   []string{"update orders|number:id!=17|number:total=5"},
			candidate: []string{"update orders|number:id!=9018|number:total=5"},
			want:      []string{"effects:orders[0] $.id changed 17 -> 9018 (identifier)"},
			reason:    compare.ReasonUnmapped,
		},
		"another country, and somebody may not have read": {
			gap:       true,
			primary:   []string{"insert users|login=a|country>~countries.code=DE"},
			candidate: []string{"insert users|login=a|country>~countries.code=FR"},
			want:      []string{`effects:users[0] $.country changed "DE" -> "FR"`},
		},
		"a foreign key to what is generated as the configuration says": {
			tables:    []compare.EffectTable{{Primary: "orders", Candidate: "purchases", Columns: map[string]string{"no": "number"}, Generated: []string{"no"}}},
			pairs:     []ids.Fact{pairOf("orders.no", "A17", "B9")},
			primary:   []string{"insert items|number:id!=3|order_no>~orders.no=A17"},
			candidate: []string{"insert items|number:id!=13|order_no>~purchases.number=B9"},
		},
		"a row too few, and another too many": {
			primary:   []string{"insert orders|number:id!=1|note=a", "insert audit|number:id!=5|what=made"},
			candidate: []string{"insert orders|number:id!=7|note=a", "insert log|text=made"},
			want:      []string{`effects:audit[0] missing {"id":5,"what":"made"} -> `, `effects:log[0] extra  -> {"text":"made"}`},
		},
		"one row in place of two": {
			primary:   []string{"insert mail|number:id!=1|to=a", "insert mail|number:id!=2|to=a"},
			candidate: []string{"insert mail|number:id!=1|to=a"},
			want:      []string{`effects:mail[1] missing {"id":2,"to":"a"} -> `},
		},
		"tables and columns have other names": {
			tables:    []compare.EffectTable{{Primary: "orders", Candidate: "purchases", Columns: map[string]string{"total_cents": "amount"}, Ignore: []string{"updated_at"}}, {Primary: "order_items", Candidate: "purchase_items", Columns: map[string]string{"order_id": "purchase_id"}}},
			primary:   []string{"insert orders|number:id!=1|number:total_cents=5;updated_at=now", "insert order_items|number:id!=2|number:order_id>orders.id=1"},
			candidate: []string{"insert purchases|number:id!=9|number:amount=5", "insert purchase_items|number:id!=8|number:purchase_id>purchases.id=9"},
		},
		"references that no foreign key tells": {
			tables:    []compare.EffectTable{{Primary: "items", References: map[string]string{"order_id": "orders.id"}}, {Primary: "orders", Generated: []string{"id"}}},
			primary:   []string{"insert orders|id=17|note=a", "insert items|id!=3|order_id=17;n=17"},
			candidate: []string{"insert orders|id=18|note=a", "insert items|id!=4|order_id=18;n=18"},
			want:      []string{`effects:items[0] $.n changed "17" -> "18"`},
		},
		"rules hold for columns": {
			rules:     []compare.Rule{{Path: "effects:orders $.at", Time: &compare.Time{Within: 5 * time.Second}}, {Path: "effects:* $.note", Ignore: true}, {Path: "effects:orders $.meta.tags", Array: compare.Array{Mode: compare.Set}}},
			primary:   []string{`insert orders|id!=1|time:at=2026-11-23 04:00:00.5+00;note=a;json:meta={"tags": ["x", "y"]}`},
			candidate: []string{`insert orders|id!=2|time:at=2026-11-23 04:00:03+00;note=b;json:meta={"tags":["y","x"]}`},
			want:      []string{`effects:orders[0] $.at changed "2026-11-23T04:00:00.5Z" -> "2026-11-23T04:00:03Z" (rule)`, `effects:orders[0] $.note changed "a" -> "b" (rule)`},
		},
		"a rule for answers does not hold": {
			rules:     []compare.Rule{{Path: "$.note", Ignore: true}},
			primary:   []string{"insert orders|id!=1|note=a"},
			candidate: []string{"insert orders|id!=2|note=b"},
			want:      []string{`effects:orders[0] $.note changed "a" -> "b"`},
		},
		"a new table that is meant": {
			rules:     []compare.Rule{{Path: "effects:audit", Expect: "extra"}},
			primary:   []string{"insert orders|id!=1|note=a"},
			candidate: []string{"insert orders|id!=2|note=a", "insert audit|id!=1|what=made"},
			want:      []string{`effects:audit[0] extra  -> {"id":"1","what":"made"} (rule)`},
		},
		"a new table that is meant and not written": {
			rules:     []compare.Rule{{Path: "effects:audit", Expect: "extra"}},
			primary:   []string{"insert orders|id!=1|note=a"},
			candidate: []string{"insert orders|id!=2|note=a"},
			want:      []string{"effects:audit[0] unmet  -> "},
		},
		"documents, numbers, truths and lists by what they say": {
			primary:   []string{`insert t|id!=1|json:doc={"a": 1, "b": 2};number:n=1.50;bool:ok=t;array:tags={a,"b c",NULL}`},
			candidate: []string{`insert t|id!=1|json:doc={"b": 2, "a": 1.0};number:n=1.5;bool:ok=true;array:tags={a,"b c","x"}`},
			want:      []string{`effects:t[0] $.tags[2] type null -> "x"`},
		},
		"deleted and changed": {
			primary:   []string{"delete orders|number:id!=1"},
			candidate: []string{"update orders|number:id!=1|gone=t"},
			want:      []string{`effects:orders[0] type {"id":1} -> {"gone":"t","id":1}`},
		},
		"what an update did not write is not known": {
			primary:   []string{"update orders|number:id!=1|note=a;long=x"},
			candidate: []string{"update orders|number:id!=1|note=a;unchanged:long=NULL"},
		},
		"a column that only one leg's updates have": {
			primary:   []string{"update orders|number:id!=1|note=a;status=paid"},
			candidate: []string{"update orders|number:id!=1|note=a;state=new"},
			want:      []string{`effects:orders[0] $.state extra  -> "new"`, `effects:orders[0] $.status missing "paid" -> `},
		},
		"NULL is not the document null": {
			primary:   []string{"insert orders|number:id!=1|json:meta=null;json:other=NULL", "update users|login=a|json:meta=NULL"},
			candidate: []string{"insert orders|number:id!=1|json:meta=NULL;json:other=NULL", "update users|login=a|json:meta=null"},
			want:      []string{`effects:orders[0] $.meta type null -> NULL`, `effects:users[0] $.meta type NULL -> null`},
		},
		"a table whose key got another column": {
			primary:   []string{"delete orders|number:id=1|", "update orders|number:id=2|day=monday;note=a", "delete orders|number:id=3|"},
			candidate: []string{"delete orders|number:id=1;day=monday|", "update orders|number:id=2;day=monday|note=b", "delete orders|number:id=4;day=monday|"},
			want:      []string{`effects:orders[1] $.note changed "a" -> "b"`, `effects:orders[2] $.id changed 3 -> 4`},
		},
		"a deleted row of an earlier exchange, whose number became a UUID": {
			pairs:     []ids.Fact{pairOf("orders.id", "17", "0b4c2f0e-6a43-4a8e-9d2b-1c8ef2a97c11")},
			primary:   []string{"delete orders|number:id!=17|"},
			candidate: []string{"delete orders|id!=0b4c2f0e-6a43-4a8e-9d2b-1c8ef2a97c11|"},
		},
		"a key that nobody says is made up": {
			primary:   []string{"insert users|login=shopper-17-2026@example.com|points=1"},
			candidate: []string{"insert users|login=shopper-18-2026@example.com|points=1"},
			want:      []string{`effects:users[0] $.login changed "shopper-17-2026@example.com" -> "shopper-18-2026@example.com"`},
		},
		"an order number that became a UUID": {
			tables:    []compare.EffectTable{{Primary: "orders", Generated: []string{"id"}}, {Primary: "items", Generated: []string{"id"}}},
			primary:   []string{"insert orders|number:id!=1|note=a", "insert items|number:id!=2|number:order_id>orders.id=1"},
			candidate: []string{"insert orders|id=0b4c2f0e-6a43-4a8e-9d2b-1c8ef2a97c11|note=a", "insert items|id=7d9e7d52-0b8a-4c36-8f0a-50f3d1e2c9aa|order_id=0b4c2f0e-6a43-4a8e-9d2b-1c8ef2a97c11"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables, faults := compare.CompileEffectTables(c.tables)
			rules, wrong := compare.Compile(c.rules)
			if len(faults)+len(wrong) > 0 {
				t.Fatal(faults, wrong)
			}
			x := wrote(c.primary, c.candidate)
			in := compare.Input{Rules: rules, Effects: &compare.Effects{Tables: tables, View: viewOf(c.pairs), Gap: c.gap}}
			got := compare.Compare(x, in)
			if d := cmp.Diff(c.want, found(got)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if got.Reason != c.reason {
				t.Errorf("reason %q, want %q", got.Reason, c.reason)
			}
		})
	}
}

func lostOf(in string, leg parallax.Leg, value string) ids.Fact {
	return ids.Fact{Ref: ids.Ref{Name: "effects:" + in, Leg: leg, Value: value}, To: parallax.Candidate - leg, State: ids.Failed}
}

func pairOf(in, primary, candidate string) ids.Fact {
	return ids.Fact{Ref: ids.Ref{Name: "effects:" + in, Leg: parallax.Primary, Value: primary}, To: parallax.Candidate, State: ids.Paired, Partner: candidate}
}

func viewOf(facts []ids.Fact) *ids.View {
	var known []ids.Known
	for _, f := range facts {
		known = append(known, ids.Known{Name: f.Name, Leg: f.Leg, Value: f.Value, To: f.To, State: f.State, Partner: f.Partner})
		if f.State == ids.Failed {
			continue
		}
		known = append(known, ids.Known{Name: f.Name, Leg: f.To, Value: f.Partner, To: f.Leg, State: f.State, Partner: f.Value})
	}
	return ids.NewView(known)
}

// TestEffectsUnknown holds that what nobody read is never judged, whatever was answered.
func TestEffectsUnknown(t *testing.T) {
	t.Parallel()
	x := wrote(nil, nil)
	x.Legs[parallax.Candidate].Unread = "no connection"
	x.Legs[parallax.Candidate].Response.Status = 500
	in := compare.Input{Effects: &compare.Effects{}}
	if got := compare.Compare(x, in); got.Outcome != compare.NotComparable || got.Reason != compare.ReasonEffects {
		t.Errorf("%v %q", got.Outcome, got.Reason)
	}
	in.Effects = nil
	if got := compare.Compare(x, in); got.Outcome != compare.Diverged {
		t.Errorf("without effects: %v %q", got.Outcome, got.Reason)
	}
}

// TestEffectsBorn holds that what both databases made up for a row is learnt, and is
// what a later exchange asks for.
func TestEffectsBorn(t *testing.T) {
	t.Parallel()
	e := &compare.Effects{}
	made := wrote([]string{"insert orders|number:id!=17|note=a"}, []string{"insert orders|number:id!=9017|note=a"})
	if d := cmp.Diff([]ids.Fact{pairOf("orders.id", "17", "9017")}, e.Born(made)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	later := wrote(nil, []string{"insert items|number:id!=1|number:order_id>orders.id=9017"})
	want := ids.Ref{Name: "effects:orders.id", Leg: parallax.Candidate, Value: "9017"}
	if refs := e.Tables.Rows(later).Refs(); !slices.Contains(refs, want) {
		t.Errorf("%v is not asked for: %v", want, refs)
	}
}

func TestCompileEffectTablesFaults(t *testing.T) {
	t.Parallel()
	_, faults := compare.CompileEffectTables([]compare.EffectTable{
		{},
		{Primary: "orders", Columns: map[string]string{"a": "x", "b": "x"}},
		{Primary: "orders", Candidate: "purchases", References: map[string]string{"c": "id"}},
	})
	var got []string
	for _, f := range faults {
		got = append(got, f.Path)
	}
	want := []string{"[0].primary", "[1].columns.b", "[2].references.c", "[2]"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s\n%v", d, faults)
	}
}

// TestEffectsAreRedacted holds that columns are redacted as members of a document are, in
// the effects and in the differences between them.
func TestEffectsAreRedacted(t *testing.T) {
	t.Parallel()
	redactor, faults := compare.NewRedactor([]byte("key"), compare.RedactConfig{Paths: []string{"$..email"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	x := wrote(
		[]string{`insert users|id!=1|password=canary-1;email=canary-2;json:meta={"email": "canary-3", "by": {"api_key":"canary-4"}};number:pin=4929123`},
		[]string{`insert users|id!=2|password=canary-5;email=canary-6;json:meta={"email": "canary-7", "by": {"api_key":"canary-8"}};number:pin=4929124`, `insert audit|id!=1|token=canary-9;text=Bearer canary-10`},
	)
	c := compare.Compare(x, compare.Input{Effects: &compare.Effects{}})
	kept, c := redactor.Both(x, c)
	var texts []string
	for _, call := range kept.Legs[:2] {
		for _, e := range call.Effects {
			for _, column := range append(e.Key, e.After...) {
				texts = append(texts, *column.Value)
			}
		}
	}
	for _, d := range c.Differences {
		texts = append(texts, d.Path+" "+d.Primary+" "+d.Candidate+" "+d.Suppressed.Detail)
	}
	if len(c.Differences) < 5 {
		t.Errorf("%d differences: %v", len(c.Differences), found(c))
	}
	for _, text := range texts {
		if strings.Contains(text, "canary") || strings.Contains(text, "492912") {
			t.Errorf("a secret is shown: %s", text)
		}
	}
}
