package debezium

import (
	"encoding/json"
	"strings"
)

// extension is the prefix of the attributes that Debezium adds to a CloudEvent: of each
// member of source, and with tx in front of each member of transaction.
const extension = "iodebezium"

// cloudEvent reads a change in a CloudEvent, as CloudEventsConverter writes it.
func cloudEvent(o object) (event, error) {
	if raw := o.get("data"); raw != nil && raw[0] != '{' {
		return event{}, o.fault("data", "is not an object: only JSON is read (data.serializer.type)")
	}
	data, err := o.object("data")
	if err != nil {
		return event{}, err
	}
	var s *schema
	if data.has("schema") && data.has("payload") {
		if s, err = readSchema(join(data.at, "schema"), data.get("schema")); err != nil {
			return event{}, err
		}
		if data, err = data.object("payload"); err != nil {
			return event{}, err
		}
	}
	op, err := o.text(extension + "op")
	if err != nil {
		return event{}, err
	}
	if op == "" {
		return envelope(data, s)
	}
	source, transaction := extensions(o)
	return change{op: op, data: data, schema: s, source: source, transaction: transaction}.read()
}

// members are the names of source that attributes lose the case of.
var members = map[string]string{
	"connector": "connector", "name": "name", "tsms": "ts_ms", "tsus": "ts_us", "db": "db", "schema": "schema", "table": "table",
	"lsn": "lsn", "gtid": "gtid", "file": "file", "pos": "pos", "row": "row", "query": "query", "txId": "txId",
}

// extensions puts source and transaction together again. Without transaction metadata
// iodebeziumtxid is the transaction's number in source.
func extensions(o object) (source, transaction object) {
	source.at, transaction.at = o.at, o.at
	ordered := o.get(extension+"txtotalorder") != nil
	for _, f := range o.fields {
		name, ok := strings.CutPrefix(f.name, extension)
		if !ok {
			continue
		}
		switch name {
		case "txtotalorder":
			transaction.fields = append(transaction.fields, field{"total_order", f.raw})
		case "txid":
			if ordered {
				transaction.fields = append(transaction.fields, field{"id", asText(f.raw)})
			} else {
				source.fields = append(source.fields, field{"txId", f.raw})
			}
		default:
			if member, ok := members[name]; ok && !isNull(f.raw) {
				source.fields = append(source.fields, field{member, f.raw})
			}
		}
	}
	return source, transaction
}

// asText returns a value as a text, where it came as a number.
func asText(raw json.RawMessage) json.RawMessage {
	if raw[0] == '"' || isNull(raw) {
		return raw
	}
	quoted, _ := json.Marshal(string(raw)) // texts always encode
	return quoted
}
