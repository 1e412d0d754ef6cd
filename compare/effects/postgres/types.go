package postgres

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"parallax"
)

// builtin holds the types that need no look into the catalogue. What is in it as
// text is there because its category would say otherwise.
var builtin = map[uint32]parallax.ColumnType{
	16: parallax.BoolColumn,                                                         // bool
	17: parallax.BytesColumn,                                                        // bytea
	18: parallax.TextColumn,                                                         // "char"
	19: parallax.TextColumn,                                                         // name
	20: parallax.NumberColumn, 21: parallax.NumberColumn, 23: parallax.NumberColumn, // int8, int2, int4
	22: parallax.TextColumn, 30: parallax.TextColumn, // int2vector, oidvector: no braces
	25:  parallax.TextColumn,                            // text
	26:  parallax.NumberColumn,                          // oid
	114: parallax.JSONColumn, 3802: parallax.JSONColumn, // json, jsonb
	700: parallax.NumberColumn, 701: parallax.NumberColumn, 1700: parallax.NumberColumn, // float4, float8, numeric
	1042: parallax.TextColumn, 1043: parallax.TextColumn, // char(n), varchar
	1082: parallax.TimeColumn, 1114: parallax.TimeColumn, 1184: parallax.TimeColumn, // date, timestamp, timestamptz
	2950: parallax.TextColumn, // uuid
}

// readable turns a value as PostgreSQL wrote it into what parallax.ColumnType says:
// a time such as 2026-11-21 12:00:00.5+00 into ISO 8601. The connection asks for
// UTC and ISO dates. What has no form in ISO 8601 (infinity, years before 1) stays.
func readable(kind parallax.ColumnType, s string) string {
	if kind != parallax.TimeColumn || len(s) < len("2026-11-21 12:00:00") || s[10] != ' ' || s[13] != ':' || strings.HasSuffix(s, "BC") {
		return s
	}
	s = s[:10] + "T" + s[11:]
	if clock, ok := strings.CutSuffix(s, "+00"); ok {
		s = clock + "Z"
	}
	return s
}

// escaped writes the bytes of a text that are no UTF-8 as \xff, so that texts stay
// apart and can be shown.
func escaped(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
