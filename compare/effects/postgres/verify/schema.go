package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parallax/compare/effects/postgres"

	"github.com/jackc/pgx/v5"
)

// relation is a table as its database's catalogue describes it.
type relation struct {
	name      string // as a statement needs it
	columns   []column
	keys      [][]string // columns of unique indexes without NULL, the primary key first
	estimated int64      // rows
	pages     int64      // of its largest partition
}

// column is one column of a table.
type column struct {
	name      string
	sort      string // its type, of domains what they are made of, as format_type writes it
	collation string // of texts: what orders them
	made      bool   // the database makes up its value where none is given
	table     string // of a foreign key: the table it leads to, as a statement needs it
	refers    string // and the column of it
}

func (r *relation) column(name string) *column {
	for i := range r.columns {
		if r.columns[i].name == name {
			return &r.columns[i]
		}
	}
	return nil
}

const tableQuery = `
with recursive parts as (
	select t.relid, t.isleaf from pg_class c cross join lateral pg_partition_tree(c.oid) t where c.oid = $1::text::regclass and c.relkind = 'p'
	union all
	select c.oid, true from pg_class c where c.oid = $1::text::regclass and c.relkind <> 'p')
select sum(greatest(c.reltuples, 0))::int8, max(pg_relation_size(c.oid)) / current_setting('block_size')::int8
from parts join pg_class c on c.oid = parts.relid where parts.isleaf`

const columnsQuery = `
select a.attname,
	(with recursive b as (
		select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = a.atttypid
		union all
		select n.oid, n.typtype, n.typbasetype from b join pg_type n on n.oid = b.typbasetype where b.typtype = 'd')
	select format_type(b.oid, null) from b where b.typtype <> 'd'),
	case when a.attcollation = 0 then '' when l.collname = 'default' then
		(select concat_ws(' ', to_jsonb(d) ->> 'datlocprovider', d.datcollate, to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale') from pg_database d where d.datname = current_database())
	else concat_ws(' ', l.collprovider, l.collcollate, to_jsonb(l) ->> 'colliculocale') end,
	a.attidentity <> '' or coalesce(pg_get_expr(f.adbin, f.adrelid) ~ '(nextval|random_uuid|uuid_generate_v[0-9]+|random)\(', false),
	coalesce('"' || replace(rn.nspname, '"', '""') || '"."' || replace(r.relname, '"', '""') || '"', ''), coalesce(ra.attname, '')
from pg_attribute a
left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum and a.attgenerated = ''
left join pg_collation l on l.oid = a.attcollation
left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'f' and k.conkey = array[a.attnum]
left join pg_class r on r.oid = k.confrelid
left join pg_namespace rn on rn.oid = r.relnamespace
left join pg_attribute ra on ra.attrelid = k.confrelid and ra.attnum = k.confkey[1]
where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum`

const keysQuery = `
select array_agg(a.attname::text order by k.n)
from pg_index i
cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, n)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = $1::text::regclass and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null and k.n <= i.indnkeyatts
group by i.indexrelid, i.indisprimary
having bool_and(a.attnotnull)
order by i.indisprimary desc, count(*), min(k.attnum)`

// describe reads a table's description. The name is one that a person wrote.
func describe(ctx context.Context, conn *pgx.Conn, name string) (*relation, error) {
	sql, err := postgres.TableSQL(name)
	if err != nil {
		return nil, err
	}
	var there bool
	if err := conn.QueryRow(ctx, `select exists (select from pg_class where oid = to_regclass($1) and relkind in ('r', 'p'))`, sql).Scan(&there); err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("there is no table %s, or its role may not see it", name)
	}
	r := &relation{name: sql}
	if err := conn.QueryRow(ctx, tableQuery, sql).Scan(&r.estimated, &r.pages); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, columnsQuery, sql)
	if err != nil {
		return nil, err
	}
	var c column
	_, err = pgx.ForEachRow(rows, []any{&c.name, &c.sort, &c.collation, &c.made, &c.table, &c.refers}, func() error {
		if r.column(c.name) == nil { // of two foreign keys the first counts
			r.columns = append(r.columns, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = conn.Query(ctx, keysQuery, sql)
	if err != nil {
		return nil, err
	}
	r.keys, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err == nil && len(r.columns) == 0 {
		err = errors.New(name + " has no columns")
	}
	return r, err
}

// unique reports whether columns, in any order, are a unique key without NULL.
func (r *relation) unique(columns []string) bool {
	return slices.ContainsFunc(r.keys, func(key []string) bool { return sameSet(key, columns) })
}

func sameSet(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(each string) bool { return !slices.Contains(b, each) })
}

// The sorts of values that are written in a form of their own.
func (c *column) whole() bool {
	return slices.Contains([]string{"smallint", "integer", "bigint", "oid"}, c.sort)
}

func (c *column) number() bool { return c.whole() || c.sort == "numeric" || c.floating() }

func (c *column) floating() bool { return c.sort == "real" || c.sort == "double precision" }

func (c *column) json() bool { return c.sort == "json" || c.sort == "jsonb" }

func (c *column) array() bool { return strings.HasSuffix(c.sort, "[]") }

func (c *column) instant() bool { return c.sort == "timestamp with time zone" }

func (c *column) clock() bool { return c.sort == "timestamp without time zone" }

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
