package debezium

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"parallax"
)

// unavailable stands for a value that is as it was and too long for the log (TOAST).
const unavailable = "__debezium_unavailable_value"

// columns reads an image of a row. Absent are the columns that are as they were.
func columns(o object, s *schema) (out []parallax.Column, absent []string, err error) {
	out = make([]parallax.Column, 0, len(o.fields))
	for _, f := range o.fields {
		of := s.field(f.name)
		if isUnavailable(f.raw) {
			absent = append(absent, f.name)
			continue
		}
		c := parallax.Column{Name: f.name, Type: of.column()}
		if of == nil {
			c.Type = bareType(f.raw)
		}
		if !isNull(f.raw) {
			text, err := of.read(f.raw)
			if err != nil {
				return nil, nil, o.fault(f.name, err.Error())
			}
			c.Value = &text
		}
		out = append(out, c)
	}
	return out, absent, nil
}

// isUnavailable recognises the placeholder in the forms it takes by the column's type.
func isUnavailable(raw json.RawMessage) bool {
	switch {
	case len(raw) < len(unavailable):
		return false
	case raw[0] == '"':
		text := string(raw[1 : len(raw)-1])
		return text == unavailable || text == base64.StdEncoding.EncodeToString([]byte(unavailable)) ||
			text == base64.URLEncoding.EncodeToString([]byte(unavailable)) || text == hex.EncodeToString([]byte(unavailable))
	case raw[0] == '[':
		var texts []string
		if json.Unmarshal(raw, &texts) == nil {
			return len(texts) == 1 && texts[0] == unavailable
		}
		var numbers []int64 // of an array of numbers: the placeholder's bytes
		if len(raw) > 8*len(unavailable) || json.Unmarshal(raw, &numbers) != nil || len(numbers) != len(unavailable) {
			return false
		}
		for i, n := range numbers {
			if n != int64(unavailable[i]) {
				return false
			}
		}
		return true
	case raw[0] == '{':
		var texts map[string]string // hstore.handling.mode=map
		return len(raw) < 4*len(unavailable) && json.Unmarshal(raw, &texts) == nil && len(texts) == 1 && texts[unavailable] == unavailable
	}
	return false
}

// bareType tells a column's type from a value without a schema.
func bareType(raw json.RawMessage) parallax.ColumnType {
	switch raw[0] {
	case '"', 'n':
		return parallax.TextColumn
	case 't', 'f':
		return parallax.BoolColumn
	case '{':
		return parallax.JSONColumn
	case '[':
		return parallax.ArrayColumn
	}
	return parallax.NumberColumn
}

// read turns a value that is not null into the text that [parallax.Column] wants.
func (s *schema) read(raw json.RawMessage) (string, error) {
	switch {
	case s == nil:
		return bare(raw)
	case s.Name == decimalType:
		scale, err := strconv.Atoi(s.Parameters["scale"])
		if err != nil {
			return "", errors.New("is a Decimal whose schema has no scale")
		}
		return decimal(raw, scale)
	case s.Name == variableType:
		return variable(raw)
	case s.Name == bitsType:
		return bits(raw, s.Parameters["length"])
	case s.isTime():
		return s.readTime(raw)
	}
	switch s.Type {
	case "bytes":
		b, err := decoded(raw)
		return `\x` + hex.EncodeToString(b), err
	case "array":
		return array(raw, s.Items)
	case "boolean", "map", "struct":
		return bare(raw)
	}
	if raw[0] == '"' {
		return text(raw)
	}
	return bare(raw)
}

// bare reads a value by its JSON type.
func bare(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		return text(raw)
	case 't', 'f':
		return string(raw[:1]), nil
	case '[':
		return array(raw, nil)
	case '{':
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.String(), err
	}
	return string(raw), nil
}

func text(raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", errors.New("is not a text")
	}
	return s, nil
}

func decoded(raw json.RawMessage) ([]byte, error) {
	s, err := text(raw)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("is not in base64: the schema says that it is bytes")
	}
	return b, nil
}

// Bounds of decimals: PostgreSQL's have at most 131 072 digits before the point and
// 16 383 behind it.
const (
	maxDecimal = 64 << 10 // bytes
	maxScale   = 1 << 17
)

// decimal reads a number that was written as the bytes of its digits (two's complement)
// and the place of its point, or in JSON.
func decimal(raw json.RawMessage, scale int) (string, error) {
	if raw[0] != '"' {
		return bare(raw)
	}
	b, err := decoded(raw)
	if err != nil {
		return "", err
	}
	if len(b) == 0 || len(b) > maxDecimal || scale < -maxScale || scale > maxScale {
		return "", fmt.Errorf("is not a decimal of up to %d bytes and a scale of up to %d", maxDecimal, maxScale)
	}
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return point(n, scale), nil
}

// point writes n times 10 to the power of -scale.
func point(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	switch {
	case scale < 0 && n.Sign() != 0:
		digits += strings.Repeat("0", -scale)
	case scale > 0:
		if len(digits) <= scale {
			digits = strings.Repeat("0", scale-len(digits)+1) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

// variable reads a number that carries its own scale.
func variable(raw json.RawMessage) (string, error) {
	if raw[0] != '{' {
		return bare(raw)
	}
	var v struct {
		Scale int             `json:"scale"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(raw, &v); err != nil || len(v.Value) == 0 {
		return "", errors.New("is not a decimal with scale and value")
	}
	return decimal(v.Value, v.Scale)
}

// bits writes a bit string as PostgreSQL does, the first bit first; it comes as bytes,
// the last bit in the first.
func bits(raw json.RawMessage, length string) (string, error) {
	b, err := decoded(raw)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(length)
	if err != nil || n <= 0 || n > 8*len(b) {
		n = 8 * len(b)
	}
	var out strings.Builder
	for i := n - 1; i >= 0; i-- {
		out.WriteByte('0' + b[i/8]>>(i%8)&1)
	}
	return out.String(), nil
}

// array writes an array as PostgreSQL does.
func array(raw json.RawMessage, of *schema) (string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return "", errors.New("is not an array")
	}
	var out strings.Builder
	out.WriteByte('{')
	for i, item := range items {
		if i > 0 {
			out.WriteByte(',')
		}
		switch {
		case isNull(item):
			out.WriteString("NULL")
			continue
		case of == nil && item[0] == '[', of != nil && of.Type == "array":
			inner, err := array(item, of.item())
			if err != nil {
				return "", err
			}
			out.WriteString(inner)
			continue
		}
		text, err := of.read(item)
		if err != nil {
			return "", fmt.Errorf("item %d %w", i, err)
		}
		if of.column() == parallax.TimeColumn {
			text = strings.Replace(text, "T", " ", 1)
			if clock, ok := strings.CutSuffix(text, "Z"); ok {
				text = clock + "+00"
			}
		}
		out.WriteString(quoted(text))
	}
	out.WriteByte('}')
	return out.String(), nil
}

func (s *schema) item() *schema {
	if s == nil {
		return nil
	}
	return s.Items
}

// quoted puts quotes around an array's item where PostgreSQL does.
func quoted(s string) string {
	plain := func(r rune) bool { return !strings.ContainsRune(`{},"\`, r) && !unicode.IsSpace(r) }
	if s != "" && !strings.EqualFold(s, "null") && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
