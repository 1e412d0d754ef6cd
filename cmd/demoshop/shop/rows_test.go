package shop_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/cmd/demoshop/shop"
	"parallax/internal/rig"
)

// TestVersionsWriteTheSame runs the same shoppers through both versions, which
// take ids from the requests: whatever both wrote is the same, row for row.
func TestVersionsWriteTheSame(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	for _, data := range []string{shop.Own, shop.Shared} {
		box := newPostbox(t)
		old := open(t, shop.Options{Version: shop.Old, DSN: database(t, server, "old_"+data), IDs: shop.Given, Mail: box.url})
		next := open(t, shop.Options{Version: shop.New, DSN: database(t, server, "new_"+data), IDs: shop.Given, Data: data, Mail: box.url})
		a, b := old.shop(8, 12, 1), next.shop(8, 12, 1)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("data %s: shoppers did not do the same (-old +new):\n%s", data, diff)
		}
		if different := compareRows(t, old.dsn, next.dsn); len(different) > 0 {
			t.Errorf("data %s: rows differ in %v", data, different)
		}
		stock := "SELECT on_hand::text FROM stock ORDER BY sku"
		inventory := "SELECT available::text FROM inventory ORDER BY code"
		if diff := cmp.Diff(query[string](t, old.dsn, stock), query[string](t, next.dsn, inventory)); diff != "" {
			t.Errorf("data %s: stock differs (-old +new):\n%s", data, diff)
		}
		const balance = "SELECT count(*) FROM stock AS s WHERE on_hand <> CASE sku WHEN 'P-SOLD-OUT' THEN 0 ELSE 1000000000 END + (SELECT coalesce(sum(quantity), 0) FROM stock_moves AS m WHERE m.sku = s.sku)"
		if n := query[int64](t, old.dsn, balance); n[0] != 0 {
			t.Errorf("data %s: %d products have more or less in stock than has moved", data, n[0])
		}
		paid := a.Routes["POST /orders/{id}/pay"]
		if paid == 0 || box.mails.Load() != 2*paid {
			t.Errorf("data %s: %d orders were paid for on either side, %d mails sent in all", data, paid, box.mails.Load())
		}
	}
}

// TestEachDefectShowsWhereItSays: with one defect, both versions write the same but
// what the defect's description says.
func TestEachDefectShowsWhereItSays(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	box := newPostbox(t)
	old := open(t, shop.Options{Version: shop.Old, DSN: database(t, server, "old"), IDs: shop.Given, Mail: box.url})
	was := old.shop(4, 12, 2)
	once := box.mails.Load()
	for _, d := range shop.Defects() {
		before := box.mails.Load()
		next := open(t, shop.Options{Version: shop.New, DSN: database(t, server, "new_"+strings.ReplaceAll(d.Name, "-", "_")),
			IDs: shop.Given, Mail: box.url, Defects: []string{d.Name}})
		is := next.shop(4, 12, 2)
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("%s: shoppers did not do the same (-old +new):\n%s", d.Name, diff)
		}
		want := map[string]bool{}
		switch {
		case d.Column != "":
			want[d.Table+"."+d.Column] = true
		case d.Name == "missing-audit":
			want[d.Table+" missing"] = true
		case d.Table != "":
			want[d.Table+" extra"] = true
		}
		if diff := cmp.Diff(want, compareRows(t, old.dsn, next.dsn)); diff != "" {
			t.Errorf("%s: does not show where it says (-said +seen):\n%s", d.Name, diff)
		}
		mails := once
		if d.Name == "double-mail" {
			mails = 2 * once
		}
		if sent := box.mails.Load() - before; sent != mails {
			t.Errorf("%s: %d mails were sent, want %d", d.Name, sent, mails)
		}
	}
}

// compareRows returns where the rows of both versions differ, by the new version's
// names.
func compareRows(t *testing.T, oldDSN, newDSN string) map[string]bool {
	t.Helper()
	different := map[string]bool{}
	for _, table := range shop.Tables() {
		renamed := map[string]string{}
		for _, pair := range table.Columns {
			renamed[pair[0]] = pair[1]
		}
		name := func(column string) string {
			if to, ok := renamed[column]; ok {
				return to
			}
			return column
		}
		key := "id"
		switch table.Old {
		case "sessions":
			key = "token"
		case "stock":
			key = "sku"
		}
		a, b := rowsOf(t, oldDSN, table.Old, key), rowsOf(t, newDSN, table.New, name(key))
		if len(a) == 0 {
			t.Errorf("nobody wrote to %s", table.Old)
		}
		for id, row := range a {
			other, ok := b[id]
			if !ok {
				different[table.New+" missing"] = true
				continue
			}
			delete(b, id)
			if len(row) != len(other) {
				t.Errorf("%s has columns %v, %s %v", table.Old, slices.Sorted(maps.Keys(row)), table.New, slices.Sorted(maps.Keys(other)))
			}
			for column, value := range row {
				if !slices.Contains(table.Ignore, column) && !reflect.DeepEqual(value, other[name(column)]) {
					different[fmt.Sprintf("%s.%s", table.New, name(column))] = true
				}
			}
		}
		if len(b) > 0 {
			different[table.New+" extra"] = true
		}
	}
	return different
}
