package postgres

import (
	"errors"
	"fmt"
	"strings"
)

// name is a table's name as the catalogue has it.
type name struct{ schema, table string }

// String returns the name as it stands in Change.Table: with the schema where that
// is not public, and quoted as SQL does where a part holds a dot or a quote.
func (n name) String() string {
	if n.schema == "public" {
		return quotedIfNeeded(n.table)
	}
	return quotedIfNeeded(n.schema) + "." + quotedIfNeeded(n.table)
}

// sql returns the name as a statement needs it.
func (n name) sql() string { return quoted(n.schema) + "." + quoted(n.table) }

// TableName returns the name by which changes of a table are known
// ([effects.Change].Table) from one that a person wrote: orders, billing.ledger,
// public.orders, OrderItem. The case counts, as it does in the catalogue. Only a name that
// holds a dot has to be quoted: "orders.2026".
func TableName(s string) (string, error) {
	n, err := parseName(s)
	if err != nil {
		return "", err
	}
	return n.String(), nil
}

func parseName(s string) (name, error) {
	first, rest, err := namePart(s)
	if err != nil {
		return name{}, fmt.Errorf("%q is no table: %w", s, err)
	}
	if rest == "" {
		return name{"public", first}, nil
	}
	second, rest, err := namePart(rest[1:])
	if err == nil && rest != "" {
		err = errors.New("it has more than a schema and a table; quote a name that holds a dot")
	}
	if err != nil {
		return name{}, fmt.Errorf("%q is no table: %w", s, err)
	}
	return name{first, second}, nil
}

// namePart cuts one part of a name off; what is left is empty or begins with a dot.
func namePart(s string) (part, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		part, rest = s[:end], s[end:]
	} else {
		end := 1
		for ; end < len(s); end++ {
			if s[end] != '"' {
				continue
			}
			if end+1 == len(s) || s[end+1] != '"' {
				break
			}
			end++
		}
		if end >= len(s) {
			return "", "", errors.New("a quote is not closed")
		}
		part, rest = strings.ReplaceAll(s[1:end], `""`, `"`), s[end+1:]
		if rest != "" && rest[0] != '.' {
			return "", "", errors.New("something stands behind a closing quote")
		}
	}
	switch {
	case part == "":
		return "", "", errors.New("a part of it is empty")
	case strings.ContainsRune(part, 0):
		return "", "", errors.New("it holds a zero byte")
	case len(part) > 63:
		return "", "", errors.New("PostgreSQL's names have at most 63 bytes")
	}
	return part, rest, nil
}

func quotedIfNeeded(s string) string {
	if strings.ContainsAny(s, `."`) {
		return quoted(s)
	}
	return s
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// plain returns a name as a person would write it in a statement: quoted where it has
// to be, as PostgreSQL's quote_ident does.
func plain(s string) string {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return quoted(s)
		}
	}
	if s == "" || strings.Contains(keywords, " "+s+" ") {
		return quoted(s)
	}
	return s
}

// keywords are the words that mean something else without quotes.
const keywords = " " +
	"all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char " +
	"character check coalesce collate collation column concurrently constraint create cross current_catalog current_date " +
	"current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do " +
	"else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping having ilike " +
	"in initially inner inout int integer intersect interval into is isnull join lateral leading least left like limit " +
	"localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only or order " +
	"out outer overlaps overlay placing position precision primary real references returning right row select session_user " +
	"setof similar smallint some substring symmetric system_user table tablesample then time timestamp to trailing treat trim " +
	"true union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement " +
	"xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable "

// written returns a table's name as a person would write it in a statement.
func (n name) written() string {
	if n.schema == "public" {
		return plain(n.table)
	}
	return plain(n.schema) + "." + plain(n.table)
}
