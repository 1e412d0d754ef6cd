package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
	"parallax/internal/ids"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

var mutationSeed = flag.Uint64("mutation.seed", 0, "seed of the mutation campaign; 0 is the one that is always used")

// exchangesOfCampaign is how many exchanges a campaign compares, one half of them with a
// mutated candidate.
const exchangesOfCampaign = 400

// TestMutationsAreFoundInTheirPlace runs random work in two databases of other shapes,
// names and numbers, mutates the candidate's, and holds that what changes the data is
// found at its table and column, and that nothing else is found: not by other ids, order,
// spelling, transactions, nor by what was undone.
func TestMutationsAreFoundInTheirPlace(t *testing.T) {
	t.Parallel()
	seed := uint64(20261123)
	if *mutationSeed != 0 {
		seed = *mutationSeed
	}
	c := newCampaign(t, seed)
	for n := range exchangesOfCampaign {
		c.exchange(n)
	}
	c.judge()
	for name, n := range c.tried {
		if n < 2 && *mutationSeed == 0 {
			t.Errorf("%s was tried %d times: the campaign shows nothing of it", name, n)
		}
	}
}

// thing is a row of the campaign, whatever each database calls it.
type thing struct {
	of     *shape
	id     [2]string // literals of what the databases made up
	values map[string]any
	since  int // the exchange that made it
}

// deed is one thing that an exchange does.
type deed struct {
	op    parallax.Op
	row   *thing
	set   map[string]any // literals and things; of an update, or the row of an insert
	undo  bool           // in a savepoint that is rolled back
	split bool           // in a transaction of its own from here on
}

type campaign struct {
	t       *testing.T
	r       *rand.Rand
	conns   [2]*pgx.Conn
	readers [2]*reading
	shapes  []*shape
	rows    []*thing        // that both databases have alike, and that may be used
	held    map[*thing]bool // rows that others refer to, or did
	serial  int
	done    []doneExchange
	tried   map[string]int
}

type doneExchange struct {
	id   parallax.ID
	what string
	log  []string
	want []string
}

func newCampaign(t *testing.T, seed uint64) *campaign {
	server := rig.Postgres(t)
	server.SQL("postgres", "create database old; create database new")
	server.SQL("old", oldTables)
	server.SQL("new", newTables)
	c := &campaign{t: t, r: rand.New(rand.NewPCG(seed, 1)), shapes: shapes(), tried: map[string]int{}, held: map[*thing]bool{}}
	for leg, database := range []string{"old", "new"} {
		c.conns[leg] = connect(t, server.DSN(database))
		exec(t, c.conns[leg], "set standard_conforming_strings = on")
		var tables []string
		for _, table := range campaignTables {
			name := table.Primary
			if leg == 1 {
				name = table.Candidate
			}
			tables = append(tables, name)
		}
		c.readers[leg] = start(t, server, postgres.Source{DSN: server.DSN(database), Tables: tables})
	}
	for _, r := range c.readers {
		r.untilReading(1)
	}
	return c
}

func (c *campaign) shape(name string) *shape {
	i := slices.IndexFunc(c.shapes, func(s *shape) bool { return s.name == name })
	return c.shapes[i]
}

// exchange does the work of one exchange on both databases, every other one with a mutated
// candidate.
func (c *campaign) exchange(n int) {
	work := c.work(n)
	theirs, what, want, spoiled := cloned(work), "", []string(nil), []*thing(nil)
	if n%2 == 1 {
		theirs, what, want, spoiled = c.mutated(work, n/2)
		c.tried[what]++
	}
	d := doneExchange{id: parallax.ID{15: byte(n), 14: byte(n >> 8), 0: 1}, what: what, want: want}
	for leg, deeds := range [][]deed{work, theirs} {
		d.log = append(d.log, c.do(leg, d.id, deeds)...)
	}
	for _, each := range work {
		switch each.op {
		case parallax.Insert:
			if each.undo {
				continue
			}
			c.rows = append(c.rows, each.row)
		case parallax.Delete:
			c.rows = slices.DeleteFunc(c.rows, func(r *thing) bool { return r == each.row })
		default:
			for name, v := range each.set {
				each.row.values[name] = v
			}
		}
	}
	for _, row := range spoiled {
		c.spoil(row)
	}
	c.done = append(c.done, d)
}

// spoil forgets a row that the databases no longer have alike, and all that refer to it.
func (c *campaign) spoil(row *thing) {
	c.rows = slices.DeleteFunc(c.rows, func(r *thing) bool { return r == row })
	for _, r := range slices.Clone(c.rows) {
		for _, v := range r.values {
			if v == row && slices.Contains(c.rows, r) {
				c.spoil(r)
			}
		}
	}
}

// cloned copies deeds; rows that they make are new ones on each leg's side only by their id.
func cloned(work []deed) []deed {
	out := slices.Clone(work)
	for i := range out {
		out[i].set = maps.Clone(out[i].set)
	}
	return out
}

// work makes up what an exchange does.
func (c *campaign) work(n int) []deed {
	var out []deed
	touched := map[*thing]bool{}
	for range 1 + c.r.IntN(5) {
		switch row := c.any(touched); {
		case row != nil && c.r.IntN(4) == 0 && !c.held[row] && row.of.name != "events":
			touched[row] = true
			out = append(out, deed{op: parallax.Delete, row: row})
		case row != nil && c.r.IntN(3) == 0:
			if set := c.change(row); set != nil {
				touched[row] = true
				c.used(set, touched)
				out = append(out, deed{op: parallax.Update, row: row, set: set})
			}
		default:
			out = c.insert(out, c.shapes[c.r.IntN(len(c.shapes))], n, touched)
		}
	}
	if len(out) == 0 {
		out = c.insert(out, c.shapes[0], n, touched)
	}
	return out
}

// any returns a row of an earlier exchange that this one does not use.
func (c *campaign) any(touched map[*thing]bool) *thing {
	if len(c.rows) == 0 {
		return nil
	}
	if row := c.rows[c.r.IntN(len(c.rows))]; !touched[row] {
		return row
	}
	return nil
}

func (c *campaign) used(set map[string]any, touched map[*thing]bool) {
	for _, v := range set {
		if row, ok := v.(*thing); ok {
			touched[row] = true
		}
	}
}

// insert adds a new row, and those that it needs.
func (c *campaign) insert(out []deed, s *shape, n int, touched map[*thing]bool) []deed {
	row := &thing{of: s, values: map[string]any{}, since: n}
	set := map[string]any{}
	for _, column := range s.columns {
		switch {
		case column.to == "":
			set[column.name] = c.value(&column)
		case column.null && c.r.IntN(2) == 0:
			set[column.name] = "null"
		default:
			var to *thing
			if !column.single {
				to = c.partner(out, column.to)
			}
			if to == nil {
				out = c.insert(out, c.shape(column.to), n, touched)
				to = out[len(out)-1].row
			}
			touched[to] = true
			set[column.name] = to
		}
	}
	row.values = maps.Clone(set)
	touched[row] = true
	return append(out, deed{op: parallax.Insert, row: row, set: set})
}

func rowsOf(work []deed) (out []*thing) {
	for _, d := range work {
		if d.op == parallax.Insert {
			out = append(out, d.row)
		}
	}
	return out
}

// partner returns a row of a shape that may be referred to, made earlier or by this exchange.
func (c *campaign) partner(work []deed, name string) *thing {
	var list []*thing
	for _, row := range append(slices.Clone(c.rows), rowsOf(work)...) {
		gone := slices.ContainsFunc(work, func(d deed) bool { return d.op == parallax.Delete && d.row == row })
		if row.of.name == name && !gone {
			list = append(list, row)
		}
	}
	if len(list) == 0 || c.r.IntN(3) == 0 {
		return nil
	}
	return list[c.r.IntN(len(list))]
}

// value makes up a literal.
func (c *campaign) value(column *shapeColumn) string {
	if len(column.values) > 0 {
		return column.values[c.r.IntN(len(column.values))]
	}
	c.serial++
	if column.name == "line" || column.name == "no" {
		return fmt.Sprint(c.serial)
	}
	return fmt.Sprintf("'%s %d'", column.name, c.serial)
}

// other makes up a literal of another value.
func (c *campaign) other(column *shapeColumn, than any) string {
	for {
		if v := c.value(column); v != than {
			return v
		}
	}
}

// change makes up new values for some columns of a row; keys stay.
func (c *campaign) change(row *thing) map[string]any {
	var free []*shapeColumn
	for i := range row.of.columns {
		column := &row.of.columns[i]
		if column.to == "" && !slices.Contains(row.of.key, column.name) && row.of.name != "events" {
			free = append(free, column)
		}
	}
	if len(free) == 0 {
		return nil
	}
	column := free[c.r.IntN(len(free))]
	return map[string]any{column.name: c.other(column, row.values[column.name])}
}

// do runs deeds in a database and returns the statements.
func (c *campaign) do(leg int, id parallax.ID, deeds []deed) (log []string) {
	run := func(sql string) string {
		shown := sql
		if len(shown) > 300 {
			shown = shown[:300] + "..."
		}
		log = append(log, fmt.Sprintf("%s: %s", parallax.Leg(leg), shown))
		rows, err := c.conns[leg].Query(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			c.t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
		}
		out, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			c.t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
		}
		return strings.Join(out, "")
	}
	tag := fmt.Sprintf("select pg_logical_emit_message(true, 'parallax', '%s')::text", id)
	run("begin")
	run(tag)
	for i := range deeds {
		d := &deeds[i]
		c.used(d.set, c.held)
		if d.split {
			run("commit")
			run("begin")
			run(tag)
		}
		if d.undo {
			run("savepoint s")
		}
		table := d.row.of.sql[leg]
		switch d.op {
		case parallax.Insert:
			names, values := d.list(leg)
			sql := fmt.Sprintf("insert into %s (%s) values (%s)", table, strings.Join(names, ", "), strings.Join(values, ", "))
			if made := d.row.of.made[leg]; made != "" {
				if got := "'" + run(sql+" returning "+made+"::text") + "'"; !d.undo {
					d.row.id[leg] = got
				}
			} else {
				run(sql)
			}
		case parallax.Update:
			names, values := d.list(leg)
			var sets []string
			for k := range names {
				sets = append(sets, names[k]+" = "+values[k])
			}
			run(fmt.Sprintf("update %s set %s where %s", table, strings.Join(sets, ", "), d.row.where(leg)))
		case parallax.Delete:
			run(fmt.Sprintf("delete from %s where %s", table, d.row.where(leg)))
		}
		if d.undo {
			run("rollback to s")
		}
	}
	run("commit")
	return log
}

// list returns the columns that a deed sets, and the literals.
func (d *deed) list(leg int) (names, values []string) {
	for _, column := range d.row.of.columns {
		v, ok := d.set[column.name]
		if !ok {
			continue
		}
		if column.name == "account" { // a key of two columns
			to := v.(*thing)
			names, values = append(names, "tenant", "account_no"), append(values, to.values["tenant"].(string), to.values["no"].(string))
			continue
		}
		names, values = append(names, column.sql[leg]), append(values, literal(leg, v))
	}
	return names, values
}

func literal(leg int, v any) string {
	to, ok := v.(*thing)
	switch {
	case !ok:
		return v.(string)
	case to.of.made[leg] != "":
		return to.id[leg]
	}
	return literal(leg, to.values[to.of.key[0]])
}

func (r *thing) where(leg int) string {
	if made := r.of.made[leg]; made != "" {
		return made + " = " + r.id[leg]
	}
	var parts []string
	for _, key := range r.of.key {
		parts = append(parts, r.of.column(key).sql[leg]+" = "+literal(leg, r.values[key]))
	}
	return strings.Join(parts, " and ")
}

// judge compares what was read of both databases, exchange by exchange.
func (c *campaign) judge() {
	var read [2]map[parallax.ID][]parallax.Effect
	for leg, r := range c.readers {
		read[leg] = effectsOf(c.t, r.all())
	}
	tables, faults := compare.CompileEffectTables(campaignTables)
	if len(faults) > 0 {
		c.t.Fatal(faults)
	}
	known := ids.NewMemory(ids.DefaultLimits, time.Now, nil)
	wrong := 0
	for _, d := range c.done {
		x := &parallax.Exchange{ID: d.id, Service: "shop", Endpoint: "POST /orders", Received: time.Now()}
		for leg := range read {
			x.Legs[leg] = &parallax.Call{Response: parallax.Response{Status: 200}, First: 1, Done: 1, Effects: read[leg][d.id]}
		}
		got := placesOf(judged(c.t, known, tables, x))
		if diff := cmp.Diff(d.want, got); diff != "" {
			if wrong++; wrong < 12 {
				c.t.Errorf("%q (-want +got)\n%s\n%s\n", d.what, diff, strings.Join(d.log, "\n"))
			}
		}
	}
	if wrong > 0 {
		c.t.Errorf("%d of %d exchanges are judged wrong", wrong, len(c.done))
	}
}

// judged compares an exchange, and learns from it.
func judged(t *testing.T, known ids.Map, tables *compare.EffectTables, x *parallax.Exchange) compare.Comparison {
	e := &compare.Effects{Tables: tables, Rows: tables.Rows(x)}
	view, _, err := ids.Look(t.Context(), known, e.Rows.Refs())
	if err != nil {
		t.Fatal(err)
	}
	e.View = view
	out := compare.Compare(x, compare.Input{Effects: e})
	if err := known.Learn(t.Context(), e.Born(x)...); err != nil {
		t.Fatal(err)
	}
	return out
}

func effectsOf(t *testing.T, list []effects.Transaction) map[parallax.ID][]parallax.Effect {
	out := map[parallax.ID][]parallax.Effect{}
	for _, tx := range list {
		if len(tx.Tags) != 1 || tx.More {
			t.Fatalf("a transaction with the tags %q", tx.Tags)
		}
		id, err := parallax.ParseID(tx.Tags[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range tx.Changes {
			out[id] = append(out[id], parallax.Effect{Table: ch.Table, Op: ch.Op, Key: ch.Key, Before: ch.Before, After: ch.After, Correlation: parallax.ByTag})
		}
	}
	return out
}

// placesOf lists where a comparison found what, each place once.
func placesOf(c compare.Comparison) (out []string) {
	for _, d := range c.Differences {
		table, path, ok := strings.Cut(d.Normal, " $.")
		switch {
		case ok: // A place inside of the column's value, and what the difference is called, are not looked at here.
			if inside := strings.IndexAny(path, ".["); inside >= 0 {
				path = path[:inside]
			}
			out = append(out, table+" $."+path)
		case strings.Contains(d.Normal, " $"):
			out = append(out, d.Normal)
		default:
			out = append(out, d.Normal+" "+string(d.Kind))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
