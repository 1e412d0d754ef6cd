package debezium

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/rows"
)

// TestSameWorkGivesSameRows draws transactions as the native reader of PostgreSQL hands
// them over, tells them as Debezium would (with and without schemas, one by one or in
// arrays, out of order, some twice) and compares what is left of both.
func TestSameWorkGivesSameRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWork(rt)
		var native []effects.Transaction
		for range rapid.IntRange(1, 4).Draw(rt, "transactions") {
			native = append(native, w.transaction())
		}
		read, err := throughInbox(t, w.bodies(native))
		if err != nil {
			rt.Fatal(err)
		}
		for _, tx := range native {
			if diff := cmp.Diff(net(tx), net(read[tx.ID])); diff != "" {
				rt.Fatalf("transaction %s (-native +Debezium)\n%s", tx.ID, diff)
			}
			if diff := cmp.Diff(tx.Tags, read[tx.ID].Tags); diff != "" {
				rt.Fatalf("tags of %s (-native +Debezium)\n%s", tx.ID, diff)
			}
		}
		if len(read) != len(native) {
			rt.Fatalf("%d transactions, want %d", len(read), len(native))
		}
	})
}

// throughInbox returns the transactions that come of bodies.
func throughInbox(t *testing.T, bodies []string) (read map[string]effects.Transaction, err error) {
	synctest.Test(t, func(t *testing.T) {
		in := newTestInbox(t, Source{Name: "shop", Silence: -1, Keys: map[string][]string{"orders": {"id"}, "items": {"id"}}})
		got := run(t, in.Reader("shop"))
		for _, body := range bodies {
			if _, err = in.Take([]byte(body), ""); err != nil {
				return
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		read = map[string]effects.Transaction{}
		for _, tx := range got.transactions() {
			read[tx.ID] = tx
		}
	})
	return read, err
}

// net returns what is left of a transaction, columns by name: JSON objects of this test
// have no order.
func net(tx effects.Transaction) []rows.Row {
	var list []parallax.Effect
	for _, c := range tx.Changes {
		list = append(list, parallax.Effect{Table: c.Table, Op: c.Op, Key: c.Key, Before: c.Before, After: c.After})
	}
	out := rows.Net(list)
	for i := range out {
		out[i].Columns = slices.Clone(out[i].Columns)
		slices.SortFunc(out[i].Columns, func(a, b parallax.Column) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// work draws what a service writes into two tables.
type work struct {
	t    *rapid.T
	live map[string]map[int][]parallax.Column // rows by table and id
	next int
	tx   int
}

func newWork(t *rapid.T) *work {
	return &work{t: t, live: map[string]map[int][]parallax.Column{"orders": {}, "items": {}}}
}

func (w *work) transaction() effects.Transaction {
	w.tx++
	tx := effects.Transaction{ID: fmt.Sprintf("%d:%d", w.tx, 1000*w.tx)}
	if rapid.Bool().Draw(w.t, "tagged") {
		tx.Tags = []string{fmt.Sprintf("0193c4a0-0000-7000-8000-%012d", w.tx)}
	}
	for range rapid.IntRange(1, 8).Draw(w.t, "changes") {
		tx.Changes = append(tx.Changes, w.change())
	}
	return tx
}

// change draws a change: of a new row, of one that is there, of its key, or its end.
func (w *work) change() effects.Change {
	name := rapid.SampledFrom([]string{"orders", "items"}).Draw(w.t, "table")
	var ids []int
	for id := range w.next + 1 {
		if w.live[name][id] != nil {
			ids = append(ids, id)
		}
	}
	c := effects.Change{Table: name}
	what := rapid.IntRange(0, 9).Draw(w.t, "what")
	if len(ids) == 0 || what < 4 {
		w.next++
		c.Op, c.After = parallax.Insert, w.row(w.next)
		c.Key = c.After[:1]
		w.live[name][w.next] = c.After
		return c
	}
	id := rapid.SampledFrom(ids).Draw(w.t, "row")
	was := w.live[name][id]
	c.Key, c.Before = was[:1], was[:1] // REPLICA IDENTITY DEFAULT
	delete(w.live[name], id)
	if what == 9 {
		c.Op = parallax.Delete
		return c
	}
	c.Op = parallax.Update
	if what == 8 {
		w.next++
		id = w.next
	}
	c.After = w.row(id)
	w.live[name][id] = c.After
	return c
}

// row draws a row with a column of each type.
func (w *work) row(id int) []parallax.Column {
	at := time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(w.t, "time")).UTC()
	values := []parallax.Column{
		number("id", fmt.Sprint(id)),
		number("total", point(big.NewInt(rapid.Int64().Draw(w.t, "cents")), 2)),
		number("n", fmt.Sprint(rapid.Int32().Draw(w.t, "n"))),
		column("paid", parallax.BoolColumn, rapid.SampledFrom([]string{"t", "f"}).Draw(w.t, "paid")),
		column("placed", parallax.TimeColumn, at.Format("2006-01-02T15:04:05.999999")),
		column("shipped", parallax.TimeColumn, at.Format("2006-01-02T15:04:05.999999")+"Z"),
		column("due", parallax.TimeColumn, at.Format(time.DateOnly)),
		column("meta", parallax.JSONColumn, `{"n": `+fmt.Sprint(rapid.Int().Draw(w.t, "meta"))+`}`),
		column("sum", parallax.BytesColumn, fmt.Sprintf(`\x%x`, rapid.SliceOf(rapid.Byte()).Draw(w.t, "bytes"))),
		column("note", parallax.TextColumn, rapid.String().Draw(w.t, "text")),
	}
	for i := 1; i < len(values); i++ {
		if rapid.IntRange(0, 5).Draw(w.t, "null") == 0 {
			values[i].Value = nil
		}
	}
	return values
}

func number(name, text string) parallax.Column { return column(name, parallax.NumberColumn, text) }

func column(name string, kind parallax.ColumnType, text string) parallax.Column {
	return parallax.Column{Name: name, Type: kind, Value: &text}
}

// bodies tells transactions as Debezium would.
func (w *work) bodies(list []effects.Transaction) []string {
	var events []string
	for i, tx := range list {
		events = append(events, w.events(i, tx)...)
	}
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(w.t, "order"), 1))
	for range random.IntN(5) {
		events = append(events, events[random.IntN(len(events))])
	}
	random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	var out []string
	for len(events) > 0 {
		n := 1 + random.IntN(len(events))
		body := events[0]
		if n > 1 || random.IntN(2) == 0 {
			body = "[" + strings.Join(events[:n], ",") + "]"
		}
		out, events = append(out, body), events[n:]
	}
	return out
}

// events tells one transaction: an update of a key as a deletion and an insertion.
func (w *work) events(at int, tx effects.Transaction) (out []string) {
	order := 0
	tell := func(lsn int, rest map[string]any, types []map[string]any) {
		order++
		rest["transaction"] = map[string]any{"id": tx.ID, "total_order": order, "data_collection_order": 1}
		source := map[string]any{"connector": "postgresql", "name": "shop", "schema": "public", "ts_ms": 946684800000, "txId": at, "lsn": lsn}
		if name, ok := rest["table"]; ok {
			source["table"] = name
			delete(rest, "table")
		}
		rest["source"] = source
		var event any = rest
		if types != nil || rapid.Bool().Draw(w.t, "wrapped") {
			event = map[string]any{"schema": map[string]any{"type": "struct", "fields": types}, "payload": rest}
		}
		out = append(out, asJSON(event))
	}
	for _, tag := range tx.Tags {
		tell(at*1000, map[string]any{"op": "m", "message": map[string]any{"prefix": "parallax", "content": base64.StdEncoding.EncodeToString([]byte(tag))}}, nil)
	}
	for n, c := range tx.Changes {
		lsn := at*1000 + 10*n + 1
		before, after := image(c.Before), image(c.After)
		types := []map[string]any{described("before", c.After), described("after", c.After)}
		if c.Op == parallax.Delete {
			types = []map[string]any{described("before", c.Before)}
		}
		renamed := c.Op == parallax.Update && *c.Key[0].Value != *c.After[0].Value
		switch {
		case c.Op == parallax.Insert:
			tell(lsn, map[string]any{"op": "c", "table": c.Table, "before": nil, "after": after}, types)
		case c.Op == parallax.Delete:
			tell(lsn, map[string]any{"op": "d", "table": c.Table, "before": before, "after": nil}, types)
		case renamed:
			tell(lsn, map[string]any{"op": "d", "table": c.Table, "before": before, "after": nil}, types)
			tell(lsn, map[string]any{"op": "c", "table": c.Table, "before": nil, "after": after}, types)
		default:
			tell(lsn, map[string]any{"op": "u", "table": c.Table, "before": nil, "after": after}, types)
		}
	}
	out = append(out, asJSON(map[string]any{"status": "END", "id": tx.ID, "event_count": order}))
	return out
}

// image writes columns as Kafka Connect's JSON converter does.
func image(list []parallax.Column) map[string]any {
	if list == nil {
		return nil
	}
	out := map[string]any{}
	for _, c := range list {
		if out[c.Name] = nil; c.Value != nil {
			out[c.Name] = wire(c)
		}
	}
	return out
}

func wire(c parallax.Column) any {
	parse := func(layout string) time.Time {
		t, err := time.Parse(layout, *c.Value)
		if err != nil {
			panic(err)
		}
		return t
	}
	switch c.Name {
	case "total":
		n, _ := new(big.Int).SetString(strings.Replace(*c.Value, ".", "", 1), 10)
		return base64.StdEncoding.EncodeToString(twosComplement(n))
	case "paid":
		return *c.Value == "t"
	case "placed":
		return parse("2006-01-02T15:04:05.999999").UnixMicro()
	case "due":
		return parse(time.DateOnly).Unix() / 86400
	case "sum":
		var b []byte
		if _, err := fmt.Sscanf((*c.Value)[2:], "%x", &b); err != nil && len(*c.Value) > 2 {
			panic(err)
		}
		return base64.StdEncoding.EncodeToString(b)
	case "id", "n":
		return json.Number(*c.Value)
	}
	return *c.Value
}

// twosComplement writes a number as Java's BigInteger does.
func twosComplement(n *big.Int) []byte {
	size := n.BitLen()/8 + 1
	m := new(big.Int).Set(n)
	if n.Sign() < 0 {
		m.Add(m, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return m.FillBytes(make([]byte, size))
}

// described is the schema of an image.
func described(field string, list []parallax.Column) map[string]any {
	var fields []map[string]any
	for _, c := range list {
		s := map[string]any{"field": c.Name, "optional": true, "type": "string"}
		switch c.Name {
		case "id", "n":
			s["type"] = "int64"
		case "total":
			s["type"], s["name"], s["parameters"] = "bytes", decimalType, map[string]string{"scale": "2"}
		case "paid":
			s["type"] = "boolean"
		case "placed":
			s["type"], s["name"] = "int64", timeTypes+"MicroTimestamp"
		case "shipped":
			s["name"] = timeTypes + "ZonedTimestamp"
		case "due":
			s["type"], s["name"] = "int32", timeTypes+"Date"
		case "meta":
			s["name"] = jsonType
		case "sum":
			s["type"] = "bytes"
		}
		fields = append(fields, s)
	}
	return map[string]any{"field": field, "type": "struct", "fields": fields}
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
