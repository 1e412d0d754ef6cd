package debeziumtest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Unavailable stands for a value that is as it was and too long for the log.
const Unavailable = "__debezium_unavailable_value"

// typed is a schema of Kafka Connect.
type typed struct {
	Type       string            `json:"type"`
	Optional   bool              `json:"optional"`
	Name       string            `json:"name,omitempty"`
	Field      string            `json:"field,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Fields     []*typed          `json:"fields,omitempty"`
	Items      *typed            `json:"items,omitempty"`
}

// elements are the types of arrays' items.
var elements = map[uint32]uint32{
	pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.TextArrayOID: pgtype.TextOID, pgtype.NumericArrayOID: pgtype.NumericOID,
	pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID, pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.DateArrayOID: pgtype.DateOID,
}

// typed is what Debezium's connector for PostgreSQL makes of a column's type.
func (t *telling) typed(c *column) *typed {
	out := t.typeOf(c)
	out.Field, out.Optional = c.name, !c.required
	return out
}

func (t *telling) typeOf(c *column) *typed {
	iso := t.Style.Times == "isostring"
	switch c.oid {
	case pgtype.BoolOID:
		return &typed{Type: "boolean"}
	case pgtype.Int2OID:
		return &typed{Type: "int16"}
	case pgtype.Int4OID:
		return &typed{Type: "int32"}
	case pgtype.Int8OID, pgtype.OIDOID:
		return &typed{Type: "int64"}
	case pgtype.Float4OID:
		return &typed{Type: "float"}
	case pgtype.Float8OID:
		return &typed{Type: "double"}
	case pgtype.NumericOID:
		return t.decimalType(c)
	case pgtype.ByteaOID:
		if b := t.Style.Binary; b == "" || b == "bytes" {
			return &typed{Type: "bytes"}
		}
		return &typed{Type: "string"}
	case pgtype.DateOID:
		if iso {
			return &typed{Type: "string", Name: "io.debezium.time.IsoDate"}
		}
		return &typed{Type: "int32", Name: "io.debezium.time.Date"}
	case pgtype.TimestampOID:
		switch {
		case iso:
			return &typed{Type: "string", Name: "io.debezium.time.IsoTimestamp"}
		case c.modifier >= 0 && c.modifier <= 3:
			return &typed{Type: "int64", Name: "io.debezium.time.Timestamp"}
		}
		return &typed{Type: "int64", Name: "io.debezium.time.MicroTimestamp"}
	case pgtype.TimestamptzOID:
		return &typed{Type: "string", Name: "io.debezium.time.ZonedTimestamp"}
	case pgtype.TimeOID:
		switch {
		case iso:
			return &typed{Type: "string", Name: "io.debezium.time.IsoTime"}
		case c.modifier >= 0 && c.modifier <= 3:
			return &typed{Type: "int32", Name: "io.debezium.time.Time"}
		}
		return &typed{Type: "int64", Name: "io.debezium.time.MicroTime"}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return &typed{Type: "string", Name: "io.debezium.data.Json"}
	case pgtype.UUIDOID:
		return &typed{Type: "string", Name: "io.debezium.data.Uuid"}
	case pgtype.VarbitOID, pgtype.BitOID:
		return &typed{Type: "bytes", Name: "io.debezium.data.Bits", Parameters: map[string]string{"length": strconv.Itoa(int(c.modifier))}}
	}
	if element, ok := elements[c.oid]; ok {
		return &typed{Type: "array", Items: t.typeOf(&column{oid: element, modifier: c.modifier})}
	}
	if c.enum {
		return &typed{Type: "string", Name: "io.debezium.data.Enum", Parameters: map[string]string{"allowed": ""}}
	}
	return &typed{Type: "string"}
}

func (t *telling) decimalType(c *column) *typed {
	switch t.Style.Decimals {
	case "string":
		return &typed{Type: "string", Parameters: map[string]string{"__debezium.source.column.type": "NUMERIC"}}
	case "double":
		return &typed{Type: "double"}
	}
	if c.modifier < 0 {
		return &typed{Type: "struct", Name: "io.debezium.data.VariableScaleDecimal", Fields: []*typed{{Type: "int32", Field: "scale"}, {Type: "bytes", Field: "value"}}}
	}
	return &typed{Type: "bytes", Name: "org.apache.kafka.connect.data.Decimal", Parameters: map[string]string{"scale": strconv.Itoa(scaleOf(c)), "connect.decimal.precision": "20"}}
}

func scaleOf(c *column) int { return int(c.modifier-4) & 0x7ff }

// value writes a value that PostgreSQL wrote as a text.
func (t *telling) value(c *column, text string) any {
	switch c.oid {
	case pgtype.BoolOID:
		return text == "t"
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		return json.Number(text)
	case pgtype.Float4OID, pgtype.Float8OID:
		return float(text, map[bool]int{true: 32, false: 64}[c.oid == pgtype.Float4OID])
	case pgtype.NumericOID:
		return t.decimal(c, text)
	case pgtype.ByteaOID:
		b, err := hex.DecodeString(strings.TrimPrefix(text, `\x`))
		check(err)
		return t.bytes(b)
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.TimeOID:
		return t.time(c, text)
	case pgtype.BitOID, pgtype.VarbitOID:
		return bits(text)
	}
	if element, ok := elements[c.oid]; ok {
		return t.array(&column{oid: element, modifier: c.modifier}, text)
	}
	return text
}

// float writes a number as Java does, and what is none as a text.
func float(text string, size int) any {
	n, err := strconv.ParseFloat(text, size)
	check(err)
	if text == "NaN" || strings.HasSuffix(text, "Infinity") {
		return text
	}
	return json.Number(strconv.FormatFloat(n, 'E', -1, size))
}

func (t *telling) decimal(c *column, text string) any {
	switch t.Style.Decimals {
	case "string":
		return text
	case "double":
		return float(text, 64)
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, _ := new(big.Int).SetString(whole+fraction, 10)
	unscaled := base64.StdEncoding.EncodeToString(twosComplement(n))
	if c.modifier < 0 {
		return map[string]any{"scale": len(fraction), "value": unscaled}
	}
	return unscaled
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

func (t *telling) bytes(b []byte) string {
	switch t.Style.Binary {
	case "hex":
		return hex.EncodeToString(b)
	case "base64-url-safe":
		return base64.URLEncoding.EncodeToString(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// bits writes a bit string as bytes, the last bit in the first.
func bits(text string) string {
	out := make([]byte, (len(text)+7)/8)
	for i := range text {
		if text[len(text)-1-i] == '1' {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return base64.StdEncoding.EncodeToString(out)
}

var layouts = map[uint32]string{
	pgtype.DateOID: time.DateOnly, pgtype.TimestampOID: "2006-01-02 15:04:05", pgtype.TimestamptzOID: "2006-01-02 15:04:05Z07", pgtype.TimeOID: time.TimeOnly,
}

func (t *telling) time(c *column, text string) any {
	switch text {
	case "infinity":
		return map[uint32]any{pgtype.TimestampOID: int64(9223372036825200000), pgtype.DateOID: 2147483647}[c.oid]
	case "-infinity":
		return map[uint32]any{pgtype.TimestampOID: int64(-9223372036832400000), pgtype.DateOID: -2147483648}[c.oid]
	}
	at, err := time.Parse(layouts[c.oid], text)
	check(err)
	midnight := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second + time.Duration(at.Nanosecond())
	iso := t.Style.Times == "isostring"
	switch {
	case c.oid == pgtype.TimestamptzOID:
		return at.UTC().Format("2006-01-02T15:04:05.000000Z")
	case iso:
		return at.Format(map[uint32]string{pgtype.DateOID: "2006-01-02Z", pgtype.TimestampOID: "2006-01-02T15:04:05.999999999Z", pgtype.TimeOID: "15:04:05.999999999Z"}[c.oid])
	case c.oid == pgtype.DateOID:
		return at.Unix() / 86400
	case c.oid == pgtype.TimeOID && c.modifier >= 0 && c.modifier <= 3:
		return midnight.Milliseconds()
	case c.oid == pgtype.TimeOID:
		return midnight.Microseconds()
	case c.modifier >= 0 && c.modifier <= 3:
		return at.UnixMilli()
	}
	return at.UnixMicro()
}

// array writes an array of one dimension.
func (t *telling) array(item *column, text string) any {
	var texts []*string
	check(pgtype.NewMap().Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(text), &texts))
	out := []any{}
	for _, each := range texts {
		if each == nil {
			out = append(out, nil)
		} else {
			out = append(out, t.value(item, *each))
		}
	}
	return out
}

// unavailable is the placeholder in the form that a column's type has.
func (t *telling) unavailable(c *column) any {
	switch {
	case c.oid == pgtype.ByteaOID:
		return t.bytes([]byte(Unavailable))
	case c.oid == pgtype.TextArrayOID:
		return []string{Unavailable}
	case c.oid == pgtype.Int4ArrayOID:
		out := []int{}
		for _, b := range []byte(Unavailable) {
			out = append(out, int(b))
		}
		return out
	}
	return Unavailable
}

// nothing is what stands in an old tuple for what is not known and may not be null.
func (t *telling) nothing(c *column) any {
	switch t.typeOf(c).Type {
	case "boolean":
		return false
	case "int16", "int32", "int64", "float", "double":
		return 0
	}
	if c.oid == pgtype.NumericOID {
		return t.decimal(c, "0")
	}
	return ""
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	check(err)
	return string(text)
}

// check panics: what is encoded here was written by a server.
func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("debeziumtest: %v", err))
	}
}
