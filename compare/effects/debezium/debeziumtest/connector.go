// Package debeziumtest plays Debezium's connector for PostgreSQL in tests: it reads a real
// server's log through a slot and a decoder of its own, and writes events as Debezium
// documents them.
package debeziumtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Style is how a connector and its converter are configured. The zero value is Debezium's
// default without schemas.
type Style struct {
	Schemas     bool   // format.value.schemas.enable
	CloudEvents bool   // format.value=cloudevents
	Records     bool   // a record's key beside its value
	Tombstones  bool   // tombstones.on.delete
	Metadata    bool   // provide.transaction.metadata
	Counted     bool   // with Metadata: messages have a place in their transaction, as rows have
	Decimals    string // decimal.handling.mode: precise by default, string, double
	Binary      string // binary.handling.mode: bytes by default, base64-url-safe, hex
	Times       string // time.precision.mode: adaptive by default, isostring
}

// Connector reads what one database commits, and tells it as Debezium does.
type Connector struct {
	Style Style

	t         testing.TB
	name      string // topic.prefix, and of publication and slot
	conn      *pgx.Conn
	relations map[uint32]*relation
}

// Open begins to read tables of a database. The name is the topic.prefix, and that of the
// publication and the slot, which go when the test ends.
func Open(t testing.TB, dsn, name string, tables ...string) *Connector {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	c := &Connector{t: t, name: name, conn: conn, relations: map[uint32]*relation{}}
	t.Cleanup(func() {
		c.exec(context.Background(), "select pg_drop_replication_slot('"+name+"')")
		c.exec(context.Background(), "drop publication "+name)
		conn.Close(context.Background())
	})
	for _, sql := range []string{
		"set datestyle to iso", "set timezone to 'UTC'", "set extra_float_digits to 1",
		"create publication " + name + " for table " + strings.Join(tables, ", "),
		"select pg_create_logical_replication_slot('" + name + "', 'pgoutput')",
	} {
		c.exec(t.Context(), sql)
	}
	return c
}

func (c *Connector) exec(ctx context.Context, sql string) {
	c.t.Helper()
	if _, err := c.conn.Exec(ctx, sql); err != nil {
		c.t.Errorf("%s: %v", sql, err)
	}
}

// Poll returns what was committed since it was called last: a list of JSON texts, in the
// order in which a connector would send them.
func (c *Connector) Poll() []string {
	c.t.Helper()
	rows, err := c.conn.Query(c.t.Context(), `select lsn - '0/0'::pg_lsn, data from pg_logical_slot_get_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', $2::text, 'messages', 'true')`, c.name, c.name)
	if err != nil {
		c.t.Fatal(err)
	}
	type sent struct {
		lsn  int64
		data []byte
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s sent, err error) {
		err = row.Scan(&s.lsn, &s.data)
		return s, err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	told := &telling{Connector: c}
	for _, s := range all {
		told.lsn = s.lsn
		told.take(decode(s.data))
	}
	return told.out
}

// describe asks the catalogue for what pgoutput does not say of a table.
func (c *Connector) describe(r *relation) {
	rows, err := c.conn.Query(c.t.Context(), `select a.attname, a.attnotnull, coalesce(a.attnum = any(i.indkey), false), t.typtype = 'e'
		from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
		where a.attrelid = $1 and a.attnum > 0`, r.id)
	if err != nil {
		c.t.Fatal(err)
	}
	var name string
	var required, key, enum bool
	_, err = pgx.ForEachRow(rows, []any{&name, &required, &key, &enum}, func() error {
		for i := range r.columns {
			if column := &r.columns[i]; column.name == name {
				column.required, column.key, column.enum = required, key, enum
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.relations[r.id] = r
}

// telling is one poll.
type telling struct {
	*Connector
	out []string

	lsn   int64
	xid   uint32
	at    time.Time
	order int
	by    map[string]int // events of the transaction by table
}

func (t *telling) take(m message) {
	switch m.kind {
	case 'R':
		t.describe(m.relation)
	case 'B':
		t.xid, t.at, t.order, t.by = m.xid, m.at, 0, map[string]int{}
		t.boundary("BEGIN")
	case 'C':
		t.boundary("END")
	case 'M':
		t.message(m)
	case 'T':
		for _, id := range m.ids {
			t.row("t", t.relations[id], nil, nil)
		}
	case 'I':
		r := t.relations[m.ids[0]]
		t.row("c", r, nil, t.image(r, m.new))
	case 'D':
		t.delete(m)
	case 'U':
		t.update(m)
	}
}

// id is what the transaction is called now: Debezium puts the position of the operation
// behind the transaction's number.
func (t *telling) id() string { return fmt.Sprintf("%d:%d", t.xid, t.lsn) }

func (t *telling) boundary(status string) {
	if !t.Style.Metadata {
		return
	}
	event := map[string]any{"status": status, "id": t.id(), "ts_ms": t.at.UnixMilli(), "event_count": nil, "data_collections": nil}
	if status == "END" {
		list := []any{}
		for name, n := range t.by {
			list = append(list, map[string]any{"data_collection": name, "event_count": n})
		}
		event["event_count"], event["data_collections"] = t.order, list
	}
	t.send(nil, event, &typed{Type: "struct", Name: "io.debezium.connector.common.TransactionMetadataValue"})
}

// source says where an event is from.
func (t *telling) source(r *relation) map[string]any {
	s := map[string]any{
		"version": "3.0.8.Final", "connector": "postgresql", "name": t.name, "ts_ms": t.at.UnixMilli(), "ts_us": t.at.UnixMicro(), "ts_ns": t.at.UnixNano(),
		"snapshot": "false", "db": "postgres", "sequence": fmt.Sprintf(`["%d","%d"]`, t.lsn-1, t.lsn), "schema": "", "table": "", "txId": t.xid, "lsn": t.lsn, "xmin": nil,
	}
	if r != nil {
		s["schema"], s["table"] = r.schema, r.name
	}
	return s
}

// place is an event's place in its transaction, nil without metadata.
func (t *telling) place(of string) any {
	if !t.Style.Metadata {
		return nil
	}
	t.order++
	t.by[of]++
	return map[string]any{"id": t.id(), "total_order": t.order, "data_collection_order": t.by[of]}
}

func (t *telling) message(m message) {
	source := t.source(nil)
	event := map[string]any{"op": "m", "ts_ms": time.Now().UnixMilli(), "source": source,
		"message": map[string]any{"prefix": m.prefix, "content": t.bytes([]byte(m.content))}}
	if !m.transactional {
		source["txId"], source["ts_ms"], source["ts_us"] = nil, time.Now().UnixMilli(), time.Now().UnixMicro()
	} else if t.Style.Counted {
		event["transaction"] = t.place("message")
	}
	t.send(nil, event, &typed{Type: "struct", Name: "io.debezium.connector.postgresql.MessageValue"})
}

// image is a row as it is told.
type image struct {
	values map[string]any
	fields []*typed
}

// image writes a tuple. What an old tuple does not hold is null, or a value that stands for
// nothing where the column may not be null.
func (t *telling) image(r *relation, tuple []datum) *image {
	out := &image{values: map[string]any{}}
	for i := range r.columns {
		c := &r.columns[i]
		field := t.typed(c)
		out.fields = append(out.fields, field)
		switch tuple[i].kind {
		case 'n':
			out.values[c.name] = nil
		case 'u':
			out.values[c.name] = t.unavailable(c)
		case 't':
			out.values[c.name] = t.value(c, tuple[i].text)
		}
	}
	return out
}

func (t *telling) keyOnly(r *relation, tuple []datum) *image {
	out := t.image(r, tuple)
	for i := range r.columns {
		if c := &r.columns[i]; !c.key && c.required {
			out.values[c.name] = t.nothing(c)
		}
	}
	return out
}

func (t *telling) old(r *relation, m message) *image {
	switch m.oldKind {
	case 'K':
		return t.keyOnly(r, m.old)
	case 'O':
		return t.image(r, m.old)
	}
	return nil
}

func (t *telling) delete(m message) {
	r := t.relations[m.ids[0]]
	before := t.old(r, m)
	t.row("d", r, before, nil)
	t.tombstone(r, before)
}

// update tells an update; of a key that changes as a deletion and an insertion.
func (t *telling) update(m message) {
	r := t.relations[m.ids[0]]
	before, after := t.old(r, m), t.image(r, m.new)
	moved := false
	for i := range r.columns {
		moved = moved || m.old != nil && r.columns[i].key && m.old[i] != m.new[i]
	}
	if !moved {
		t.row("u", r, before, after)
		return
	}
	t.row("d", r, before, nil)
	t.tombstone(r, before)
	t.row("c", r, nil, after)
}

func (t *telling) tombstone(r *relation, before *image) {
	switch {
	case !t.Style.Tombstones:
	case t.Style.Records:
		t.out = append(t.out, asJSON(map[string]any{"key": t.key(r, before), "value": nil}))
	default:
		t.out = append(t.out, "null")
	}
}

// key is a record's key; nil of a table without one.
func (t *telling) key(r *relation, of *image) any {
	values, fields := map[string]any{}, []*typed{}
	for i, c := range r.columns {
		if of != nil && c.key {
			values[c.name] = of.values[c.name]
			fields = append(fields, of.fields[i])
		}
	}
	switch {
	case len(values) == 0:
		return nil
	case t.Style.Schemas:
		return map[string]any{"schema": &typed{Type: "struct", Fields: fields}, "payload": values}
	}
	return values
}

func (t *telling) row(op string, r *relation, before, after *image) {
	event := map[string]any{"op": op, "ts_ms": time.Now().UnixMilli(), "source": t.source(r), "transaction": t.place(r.schema + "." + r.name)}
	schema := &typed{Type: "struct", Name: t.name + "." + r.schema + "." + r.name + ".Envelope"}
	for name, image := range map[string]*image{"before": before, "after": after} {
		if event[name] = nil; image != nil {
			event[name] = image.values
			schema.Fields = append(schema.Fields, &typed{Type: "struct", Optional: true, Field: name, Fields: image.fields})
		}
	}
	key := after
	if key == nil {
		key = before
	}
	t.send(t.key(r, key), event, schema)
}

// send writes an event in its wrappings.
func (t *telling) send(key any, event map[string]any, schema *typed) {
	var out any = event
	switch source, _ := event["source"].(map[string]any); {
	case t.Style.CloudEvents && source != nil:
		out = t.cloudEvent(event, source, schema)
	case t.Style.Schemas:
		out = map[string]any{"schema": schema, "payload": event}
	}
	if t.Style.Records && key != nil {
		out = map[string]any{"key": key, "value": out}
	}
	t.out = append(t.out, asJSON(out))
}

// cloudEvent puts what source and transaction say into attributes.
func (t *telling) cloudEvent(event, source map[string]any, schema *typed) any {
	out := map[string]any{
		"id": fmt.Sprintf("name:%s;lsn:%d;txId:%d", t.name, t.lsn, t.xid), "source": "/debezium/postgresql/" + t.name, "specversion": "1.0",
		"type": "io.debezium.connector.postgresql.DataChangeEvent", "time": t.at.Format(time.RFC3339Nano), "datacontenttype": "application/json",
		"iodebeziumop": event["op"],
	}
	data := map[string]any{}
	for name, value := range event {
		if name == "before" || name == "after" || name == "message" {
			data[name] = value
		}
	}
	for name, value := range source {
		if value != nil {
			value = fmt.Sprint(value)
		}
		out["iodebezium"+strings.ToLower(strings.ReplaceAll(name, "_", ""))] = value
	}
	if place, _ := event["transaction"].(map[string]any); place != nil {
		out["iodebeziumtxid"], out["iodebeziumtxtotalorder"] = place["id"], fmt.Sprint(place["total_order"])
		out["iodebeziumtxdatacollectionorder"] = fmt.Sprint(place["data_collection_order"])
	}
	out["data"] = data
	if t.Style.Schemas {
		out["data"] = map[string]any{"schema": schema, "payload": data}
	}
	return out
}
