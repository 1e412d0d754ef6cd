package debezium

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// changeWith is a change event with some part put in place of another.
func changeWith(old, with string) string {
	const whole = `{"before":null,"after":{"id":1},"source":{"name":"shop","ts_ms":946684800000,"db":"d","table":"orders","file":"b.1","pos":4,"row":0},"op":"c","transaction":null}`
	return strings.Replace(whole, old, with, 1)
}

func TestFaultsNameEventAndField(t *testing.T) {
	t.Parallel()
	in, err := NewInbox([]Source{{Name: "shop"}, {Name: "billing"}}, []string{"mail"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	f := func(body string, want ...string) {
		t.Helper()
		n, err := in.Take([]byte(body), "")
		var faults Faults
		if !errors.As(err, &faults) || n != 0 {
			t.Errorf("%.60s: %d, %v", body, n, err)
			return
		}
		var got []string
		for _, fault := range faults {
			got = append(got, fault.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.60s (-want +got)\n%s", body, diff)
		}
	}
	f("", "the body is empty: want an event or an array of events")
	f("{", "the body is not JSON: unexpected end of JSON input")
	f("\"\xff\"", "the body is not UTF-8")
	f("{} {}", "the body is not JSON: invalid character '{' after top-level value")
	f("7", "event 0: is not an object")
	f(`[null,{"x":1}]`, "event 1: is none of: a change event (op), the bounds of a transaction (status, id), a heartbeat, a record (key, value), a CloudEvent (specversion), a plain envelope (sink)")
	f(changeWith(`"c"`, `"x"`), "event 0, op: is none of c, u, d, r, t and m")
	f(changeWith(`"c"`, `7`), "event 0, op: is not a text")
	f(changeWith(`"name":"shop",`, ``), "event 0, source.name: is missing: it is the connector's topic.prefix")
	f(changeWith(`"shop"`, `"stock"`), `event 0, source.name: "stock" is not a database of this leg; those with debezium: are shop, billing`)
	f(changeWith(`"orders"`, `""`), "event 0, source.table: is missing")
	f(changeWith(`946684800000`, `"soon"`), "event 0, source.ts_ms: is not a whole number")
	f(changeWith(`946684800000`, `0`), "event 0, source.ts_ms: is missing: it is the time of the commit")
	f(changeWith(`{"id":1}`, `null`), "event 0, after: is missing")
	f(changeWith(`{"id":1}`, `[1]`), "event 0, after: is not an object")
	f(changeWith(`"transaction":null`, `"transaction":{"id":"1","total_order":-1}`), "event 0, transaction.total_order: is negative")
	f(`{"schema":{"type":"struct","fields":[{"field":"after","fields":[{"field":"id","type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}]}]},"payload":`+changeWith("", "")+`}`,
		"event 0, payload.after.id: is a Decimal whose schema has no scale")
	f(`{"schema":{"fields":[{"field":"after","fields":[{"field":"id","type":"bytes"}]}]},"payload":`+changeWith(`:1}`, `:"?"}`)+`}`,
		"event 0, payload.after.id: is not in base64: the schema says that it is bytes")
	f(`{"schema":7,"payload":`+changeWith("", "")+`}`, "event 0, schema: is not a schema of Kafka Connect: json: cannot unmarshal number into Go value of type debezium.schema")
	f(`{"status":"DONE","id":"7"}`, "event 0, status: is neither BEGIN nor END")
	f(`{"status":"END","id":"7","event_count":1}`, "event 0, source.name: the event does not say which database it is from: add ?name= with one of shop, billing to the URL")
	f(`{"specversion":"1.0","iodebeziumop":"c","data":"AAAA"}`, "event 0, data: is not an object: only JSON is read (data.serializer.type)")
	f(`{"sink":""}`, "event 0, sink: is empty: name what it was sent to, such as mail or kafka:orders")
	f(`{"sink":"mail","to":"ann"}`, "event 0: has members besides id, exchange, sink, op, key, value and at")
	f(`{"sink":"mail","exchange":"17"}`, "event 0, exchange: is neither an exchange's id nor a traceparent")
	f(`{"sink":"mail","at":"noon"}`, "event 0, at: is not a time in RFC 3339")
	f(`[{"sink":""},null,`+changeWith(`"c"`, `"x"`)+`]`, "event 0, sink: is empty: name what it was sent to, such as mail or kafka:orders", "event 2, op: is none of c, u, d, r, t and m")
	if n := len(parseFaults("[" + strings.Repeat("7,", 100) + "7]")); n != maxFaults {
		t.Errorf("%d faults are told, want %d", n, maxFaults)
	}
	f("["+strings.Repeat("null,", maxEvents)+"null]", "the body has more than 10000 events")
}

func parseFaults(body string) []Fault {
	_, faults := parse([]byte(body))
	return faults
}

func TestTraceparentOfAStatement(t *testing.T) {
	t.Parallel()
	const id = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
	f := func(statement, want string) {
		t.Helper()
		if got := traceparent(statement); got != want {
			t.Errorf("%s: %q, want %q", statement, got, want)
		}
	}
	f("", "")
	f("insert into t values (1)", "")
	f("insert into t values (1) /*traceparent='"+id+"'*/", id)
	f("/* traceparent='"+id+"' */ insert into t values (1)", id)
	f("update t set a = 1 /*application='x%27y',traceparent='00%2D5bd66ef5095369c7b0d1f8f4bd33716a%2Dc532cb4098ac3dd2%2D01',tracestate='a%3Db'*/", id)
	f("update t set a = a / 2 - 1 /*traceparent='"+id+"'*/", id)
	f("update t set a = '/*traceparent=''"+id+"''*/'", "")
	f(`update t set a = 'it\'s /*traceparent=', b = "`+id+`*/"`, "")
	f("update `/*traceparent='"+id+"'*/` set a = 1", "")
	f("update t set a = 1 -- /*traceparent='"+id+"'*/", "")
	f("# /*traceparent='"+id+"'*/\nupdate t set a = 1 /*traceparent='"+id+"'*/", id)
	f("update t /*x*/ set a = 1 /*traceparent='"+id+"'*/", id)
	f("update t set a = 1 /*traceparent='short'*/", "")
	f("update t set a = 1 /*traceparent='"+strings.ToUpper(id)+"'*/", "")
	f("update t set a = 1 /*traceparent='"+id+"'", id) // a statement that was cut
	f("update t set a = 'open", "")
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	f := func(raw string, scale int, want string) {
		t.Helper()
		got, err := decimal([]byte(raw), scale)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s scale %d: %s, want %s", raw, scale, got, want)
		}
	}
	f(`"AA=="`, 0, "0")
	f(`"AA=="`, 2, "0.00")
	f(`"AA=="`, -2, "0")
	f(`"ew=="`, -2, "12300")
	f(`"ew=="`, 1, "12.3")
	f(`"/w=="`, 2, "-0.01")
	f(`"gA=="`, 0, "-128")
	f(`"AIA="`, 0, "128")
	f(`12.50`, 2, "12.50")
	f(`""`, 2, "error")
	f(`"AA=="`, 1<<20, "error")
	f(`"!"`, 0, "error")
}

// FuzzTake feeds bodies to an inbox: nothing may panic, and what is refused is not
// queued.
func FuzzTake(f *testing.F) {
	for _, body := range corpus(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := NewInbox([]Source{{Name: "shop"}}, []string{"mail"}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		n, err := in.Take(body, "")
		if err != nil && n > 0 {
			t.Errorf("%d events and %v", n, err)
		}
		events := append(in.readers[0].queue.take(), in.outbox.queue.take()...)
		if err != nil && len(events) > 0 {
			t.Errorf("%d events of a body that was refused are queued", len(events))
		}
		now := time.Now()
		for _, r := range []*Reader{in.readers[0], in.outbox} {
			a := newAssembler(&r.source, &collected{t: t})
			for _, e := range events {
				a.add(e, now)
			}
			a.expire(now.Add(time.Hour))
			if len(a.open) != 0 || a.byAge.Len() != 0 || a.bytes != 0 {
				t.Errorf("left open: %d, %d, %d bytes", len(a.open), a.byAge.Len(), a.bytes)
			}
		}
	})
}
