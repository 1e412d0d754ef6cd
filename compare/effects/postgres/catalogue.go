package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parallax"

	"github.com/jackc/pgx/v5"
)

// state is what the catalogue says of the source's tables and publication.
type state struct {
	publication *publication // nil: there is none
	create      bool         // the role may create a publication
	tables      []tableState
}

type publication struct {
	AllTables, Inserts, Updates, Deletes, Truncates, ViaRoot, Owned bool
}

type tableState struct {
	name      name
	there     bool
	kind      string // pg_class.relkind
	unlogged  bool
	bare      string // itself or its first partition, if rows of it cannot be named
	owned     bool
	published bool
	partial   bool     // only some rows or columns are published
	similar   string   // of one that is not there: another that may be meant
	children  []string // tables that inherit from it and are not listed
}

// inspect asks the catalogue.
func (s *source) inspect(ctx context.Context, conn *pgx.Conn) (state, error) {
	var out state
	var pub publication
	row := conn.QueryRow(ctx, `select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, pg_has_role(pubowner, 'USAGE')
		from pg_publication where pubname = $1`, s.publication)
	err := row.Scan(&pub.AllTables, &pub.Inserts, &pub.Updates, &pub.Deletes, &pub.Truncates, &pub.ViaRoot, &pub.Owned)
	switch {
	case err == nil:
		out.publication = &pub
	case !errors.Is(err, pgx.ErrNoRows):
		return out, s.hidden(err)
	}
	if err := conn.QueryRow(ctx, `select has_database_privilege(current_database(), 'CREATE')`).Scan(&out.create); err != nil {
		return out, s.hidden(err)
	}
	out.tables, err = s.inspectTables(ctx, conn)
	return out, s.hidden(err)
}

// A row can be named by its primary key, by the index that was chosen, or by all it
// holds. A partitioned table has no rows: its leaves must have an identity each.
const tablesQuery = `
select l.schema, l.name, c.oid is not null, coalesce(c.relkind::text, ''), coalesce(c.relpersistence = 'u', false),
	coalesce(pg_has_role(c.relowner, 'USAGE'), false),
	coalesce((
		select case n.nspname when 'public' then '' else quote_ident(n.nspname) || '.' end || quote_ident(p.relname)
		from (select c.oid where c.relkind <> 'p' union all select t.relid from pg_partition_tree(c.oid) t where c.relkind = 'p' and t.isleaf) leaf
		join pg_class p on p.oid = leaf.oid
		join pg_namespace n on n.oid = p.relnamespace
		where p.relreplident <> 'f' and not exists (
			select from pg_index i
			where i.indrelid = p.oid and i.indisvalid and i.indimmediate
				and (p.relreplident = 'd' and i.indisprimary or p.relreplident = 'i' and i.indisreplident))
		order by 1 limit 1), ''),
	exists (select from pg_publication_tables t where t.pubname = $3 and t.schemaname = l.schema and t.tablename = l.name),
	exists (
		select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
		where p.pubname = $3 and r.prrelid = c.oid and (to_jsonb(r) ->> 'prqual' is not null or to_jsonb(r) ->> 'prattrs' is not null)),
	coalesce((
		select case sn.nspname when 'public' then '' else sn.nspname || '.' end || sc.relname
		from pg_class sc join pg_namespace sn on sn.oid = sc.relnamespace
		where c.oid is null and sc.relkind in ('r', 'p') and lower(sc.relname) = lower(l.name) and sn.nspname not in ('pg_catalog', 'information_schema')
		order by sn.nspname <> l.schema, sn.nspname limit 1), ''),
	array(
		select case kn.nspname when 'public' then '' else quote_ident(kn.nspname) || '.' end || quote_ident(k.relname)
		from pg_inherits i join pg_class k on k.oid = i.inhrelid join pg_namespace kn on kn.oid = k.relnamespace
		where i.inhparent = c.oid and c.relkind = 'r' and (kn.nspname::text, k.relname::text) not in (select * from unnest($1::text[], $2::text[]))
		order by 1)
from unnest($1::text[], $2::text[]) with ordinality as l(schema, name, n)
left join pg_namespace s on s.nspname = l.schema
left join pg_class c on c.relnamespace = s.oid and c.relname = l.name
order by l.n`

func (s *source) inspectTables(ctx context.Context, conn *pgx.Conn) ([]tableState, error) {
	var schemas, names []string
	for _, each := range s.tables {
		schemas, names = append(schemas, each.schema), append(names, each.table)
	}
	rows, err := conn.Query(ctx, tablesQuery, schemas, names, s.publication)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (tableState, error) {
		var t tableState
		err := row.Scan(&t.name.schema, &t.name.table, &t.there, &t.kind, &t.unlogged, &t.owned, &t.bare, &t.published, &t.partial, &t.similar, &t.children)
		return t, err
	})
}

// mend returns the statements that make the publication hold every listed table,
// as far as the role may. A table whose rows cannot be named is never published:
// updates of it would fail.
func (s *source) mend(st state) []string {
	var missing []string
	for _, t := range st.tables {
		if len(t.faults()) > 0 || !t.published && !t.owned {
			return nil
		}
		if !t.published {
			missing = append(missing, t.name.sql())
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case st.publication == nil && st.create:
		return []string{s.createPublication(missing)}
	case st.publication != nil && st.publication.Owned && st.publication.fits(st.tables):
		return []string{"ALTER PUBLICATION " + quoted(s.publication) + " ADD TABLE " + strings.Join(missing, ", ")}
	}
	return nil
}

func (s *source) createPublication(tables []string) string {
	return "CREATE PUBLICATION " + quoted(s.publication) + " FOR TABLE " + strings.Join(tables, ", ") + " WITH (publish_via_partition_root = true)"
}

// fits says whether a publication holds all kinds of changes, under the names that
// are listed.
func (p *publication) fits(tables []tableState) bool {
	partitioned := slices.ContainsFunc(tables, func(t tableState) bool { return t.kind == "p" })
	return p.Inserts && p.Updates && p.Deletes && p.Truncates && (p.ViaRoot || !partitioned)
}

// describe finds the types of a table's columns, and what names its rows.
func (s *source) describe(ctx context.Context, conn *pgx.Conn, m *relation) (*table, error) {
	n := len(m.columns)
	t := &table{name: name{m.schema, m.name}.String(), columns: m.columns, types: make([]parallax.ColumnType, n), made: make([]bool, n), refs: make([]string, n)}
	var foreign []int64
	for i, c := range m.columns {
		kind, ok := builtin[c.oid]
		if !ok {
			foreign = append(foreign, int64(c.oid))
		}
		t.types[i] = kind
		if c.key {
			t.known = append(t.known, i)
		}
	}
	t.key = t.known
	if len(foreign) > 0 {
		if err := t.lookUpTypes(ctx, conn, foreign); err != nil {
			return nil, fmt.Errorf("cannot read the types of %s: %w", t.name, s.hidden(err))
		}
	}
	if err := t.lookUpValues(ctx, conn, m.id); err != nil {
		return nil, fmt.Errorf("cannot read the columns of %s: %w", t.name, s.hidden(err))
	}
	if m.identity == 'f' {
		if err := t.lookUpKey(ctx, conn, m.id); err != nil {
			return nil, fmt.Errorf("cannot read the key of %s: %w", t.name, s.hidden(err))
		}
	}
	return t, nil
}

// lookUpTypes reads types that are not built in: domains are what they are made of,
// arrays are arrays.
func (t *table) lookUpTypes(ctx context.Context, conn *pgx.Conn, oids []int64) error {
	rows, err := conn.Query(ctx, `
		with recursive base as (
			select oid as asked, oid, typtype, typbasetype, typcategory, typelem from pg_type where oid::int8 = any($1::int8[])
			union all
			select b.asked, t.oid, t.typtype, t.typbasetype, t.typcategory, t.typelem from base b join pg_type t on t.oid = b.typbasetype where b.typtype = 'd')
		select asked::int8, oid::int8, typcategory = 'A' and typelem <> 0 from base where typtype <> 'd'`, oids)
	if err != nil {
		return err
	}
	found := map[uint32]parallax.ColumnType{}
	var asked, base int64
	var array bool
	_, err = pgx.ForEachRow(rows, []any{&asked, &base, &array}, func() error {
		kind, ok := builtin[uint32(base)]
		if !ok && array {
			kind = parallax.ArrayColumn
		}
		found[uint32(asked)] = kind
		return nil
	})
	for i, c := range t.columns {
		if kind, ok := found[c.oid]; ok {
			t.types[i] = kind
		}
	}
	return err
}

// lookUpKey narrows the key of a table whose identity is all columns to its primary
// key, where it has one.
func (t *table) lookUpKey(ctx context.Context, conn *pgx.Conn, id uint32) error {
	rows, err := conn.Query(ctx, `
		select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
		where i.indrelid::int8 = $1::int8 and i.indisprimary`, int64(id))
	if err != nil {
		return err
	}
	primary, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(primary) == 0 {
		return err
	}
	t.key = nil
	for i, c := range t.columns {
		if slices.Contains(primary, c.name) {
			t.key = append(t.key, i)
		}
	}
	return nil
}

// lookUpValues finds columns whose values the database makes up, and those that repeat
// others. Of functions only the name says that what they return is made up, so time is
// none of it. Of several foreign keys the one with the fewest columns counts. One that leads
// to another foreign key, as where tables share a key, leads to where that one does, and
// whether the values are made up is said of that column.
func (t *table) lookUpValues(ctx context.Context, conn *pgx.Conn, id uint32) error {
	rows, err := conn.Query(ctx, `
		with recursive led (of, relation, number, steps) as (
			select attnum, attrelid, attnum, 0 from pg_attribute where attrelid::int8 = $1::int8 and attnum > 0 and not attisdropped
			union all
			select l.of, target.confrelid, target.there, l.steps + 1
			from led l cross join lateral (
				select k.confrelid, pair.there from pg_constraint k cross join unnest(k.conkey, k.confkey) as pair (here, there)
				where k.contype = 'f' and k.conrelid = l.relation and pair.here = l.number
				order by cardinality(k.conkey), k.oid limit 1) target
			where l.steps < 8 and (l.steps = 0 or (target.confrelid, target.there) <> (l.relation, l.number)))
		select a.attname,
			b.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) ~* '(nextval|random|uuid|ulid|nanoid|ksuid|cuid|snowflake)\w*"?\(', false),
			case when steps > 0 then n.nspname else '' end, case when steps > 0 then f.relname else '' end, case when steps > 0 then b.attname else '' end
		from (select distinct on (of) * from led order by of, steps desc) last
		join pg_attribute a on a.attrelid::int8 = $1::int8 and a.attnum = last.of
		join pg_class f on f.oid = last.relation join pg_namespace n on n.oid = f.relnamespace
		join pg_attribute b on b.attrelid = f.oid and b.attnum = last.number
		left join pg_attrdef d on d.adrelid = b.attrelid and d.adnum = b.attnum`, int64(id))
	if err != nil {
		return err
	}
	var of, column string
	var to name
	var made bool
	_, err = pgx.ForEachRow(rows, []any{&of, &made, &to.schema, &to.table, &column}, func() error {
		for i, c := range t.columns {
			if c.name != of {
				continue
			}
			if t.made[i] = made; column != "" {
				t.refs[i] = to.String() + "." + column
			}
		}
		return nil
	})
	return err
}
