package debezium

import (
	"encoding/json"
	"strings"

	"parallax"
)

// schema is what a Kafka Connect schema says of a value.
type schema struct {
	Type       string            `json:"type"` // int8 to int64, float, double, boolean, string, bytes, array, map, struct
	Name       string            `json:"name"` // what the type stands for, such as io.debezium.time.Date
	Field      string            `json:"field"`
	Parameters map[string]string `json:"parameters"`
	Fields     []*schema         `json:"fields"`
	Items      *schema           `json:"items"`
}

// readSchema reads a schema; nil, which knows nothing, for none.
func readSchema(at string, raw json.RawMessage) (*schema, error) {
	if raw == nil {
		return nil, nil
	}
	s := &schema{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, Fault{Field: at, Text: "is not a schema of Kafka Connect: " + err.Error()}
	}
	return s, nil
}

// field returns the schema of a struct's field, nil if there is none.
func (s *schema) field(name string) *schema {
	if s == nil {
		return nil
	}
	for _, f := range s.Fields {
		if f != nil && f.Field == name {
			return f
		}
	}
	return nil
}

// Names of types. Those that come in several versions or units are told apart by the
// reader of their values.
const (
	decimalType  = "org.apache.kafka.connect.data.Decimal"
	variableType = "io.debezium.data.VariableScaleDecimal"
	bitsType     = "io.debezium.data.Bits"
	jsonType     = "io.debezium.data.Json"
	timeTypes    = "io.debezium.time."
	connectTypes = "org.apache.kafka.connect.data." // Date, Time, Timestamp
	shapeTypes   = "io.debezium.data.geometry."
)

// column returns the type of the columns that a schema describes.
func (s *schema) column() parallax.ColumnType {
	switch {
	case s == nil:
		return parallax.TextColumn
	case s.Name == decimalType, s.Name == variableType:
		return parallax.NumberColumn
	case s.Name == jsonType, strings.HasPrefix(s.Name, shapeTypes):
		return parallax.JSONColumn
	case s.Name == bitsType:
		return parallax.TextColumn
	case s.isClock(): // as the reader of PostgreSQL has it
		return parallax.TextColumn
	case s.isTime():
		return parallax.TimeColumn
	}
	switch s.Type {
	case "int8", "int16", "int32", "int64", "float", "float32", "double", "float64":
		return parallax.NumberColumn
	case "boolean":
		return parallax.BoolColumn
	case "bytes":
		return parallax.BytesColumn
	case "array":
		return parallax.ArrayColumn
	case "map", "struct":
		return parallax.JSONColumn
	}
	if s.isNumberText() {
		return parallax.NumberColumn
	}
	return parallax.TextColumn
}

// isTime reports whether the values are times. Years are numbers, and durations texts.
func (s *schema) isTime() bool {
	name, ok := strings.CutPrefix(s.Name, timeTypes)
	if !ok {
		name, ok = strings.CutPrefix(s.Name, connectTypes)
	}
	return ok && name != "Year" && name != "Decimal" && !strings.HasSuffix(name, "Duration") && name != "Interval"
}

// isClock reports whether the values are times of day.
func (s *schema) isClock() bool { return s.isTime() && strings.HasSuffix(s.Name, "Time") }

// isNumberText reports whether a text is the number of a column whose type the
// connector tells (datatype.propagate.source.type), as decimal.handling.mode=string
// writes them.
func (s *schema) isNumberText() bool {
	if s.Type != "string" {
		return false
	}
	kind, _, _ := strings.Cut(strings.ToUpper(s.Parameters["__debezium.source.column.type"]), "(")
	switch strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kind), "UNSIGNED")) {
	case "NUMERIC", "DECIMAL", "DEC", "FIXED":
		return true
	}
	return false
}
