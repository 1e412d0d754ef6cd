package postgres

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare/effects"

	"github.com/google/go-cmp/cmp"
)

// bytesOf writes integers by their width, names with their zero byte, and bytes as
// they are.
func bytesOf(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case rune:
			out = append(out, byte(p))
		case byte:
			out = append(out, p)
		case string:
			out = append(append(out, p...), 0)
		case []byte:
			out = append(out, p...)
		default:
			out, _ = binary.Append(out, binary.BigEndian, p) // its widths are fixed
		}
	}
	return out
}

func values(list ...any) []byte {
	out := bytesOf(uint16(len(list)))
	for _, v := range list {
		switch v := v.(type) {
		case nil:
			out = append(out, 'n')
		case rune: // 'u'
			out = append(out, byte(v))
		case string:
			out = append(bytesOf(out, 't', uint32(len(v))), v...)
		}
	}
	return out
}

var (
	beginning = bytesOf('B', uint64(99), int64(817_041_600_000_000), uint32(7))
	ending    = bytesOf('C', byte(0), uint64(90), uint64(99), int64(0))
	orders    = bytesOf('R', uint32(1), "public", "orders", 'd', uint16(2), byte(1), "id", uint32(23), uint32(0), byte(0), "note", uint32(25), uint32(0))
	others    = bytesOf('R', uint32(2), "", "others", 'n', uint16(0))
	inserted  = bytesOf('I', uint32(1), 'N', values("1", nil))
	updated   = bytesOf('U', uint32(1), 'K', values("1", nil), 'N', values("2", 'u'))
	deleted   = bytesOf('D', uint32(1), 'O', values("2", "note"))
	emptied   = bytesOf('T', uint32(2), byte(1), uint32(1), uint32(2))
	tagged    = bytesOf('M', byte(1), uint64(0), "parallax", uint32(3), []byte("tag"))
	session1  = [][]byte{beginning, bytesOf('O', uint64(1), "origin"), orders, bytesOf('Y', uint32(9), "s", "n"), others, inserted, updated, deleted, tagged, tagged, bytesOf('I', uint32(2), 'N', values()), emptied, ending}
)

func newAssembler() *assembler {
	return &assembler{listed: []name{{"public", "orders"}}, tables: map[uint32]*table{}, resolve: func(m *relation) (*table, error) {
		t := &table{name: m.name, columns: m.columns, types: make([]parallax.ColumnType, len(m.columns)), made: make([]bool, len(m.columns)), refs: make([]string, len(m.columns))}
		for i, c := range m.columns {
			t.types[i] = builtin[c.oid]
			if c.key {
				t.known, t.key = append(t.known, i), append(t.key, i)
			}
		}
		return t, nil
	}}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	a := newAssembler()
	for i, m := range session1 {
		done, tx, err := a.take(m)
		if err != nil || done != (i == len(session1)-1) {
			t.Fatalf("message %d: done %v, %v", i, done, err)
		}
		if !done {
			continue
		}
		one, two, note := "1", "2", "note"
		id := func(v *string) []parallax.Column {
			return []parallax.Column{{Name: "id", Type: parallax.NumberColumn, Value: v}}
		}
		want := effects.Transaction{ID: "7@0/63", Position: 99, At: time.Date(2025, 11, 21, 12, 0, 0, 0, time.UTC), Tags: []string{"tag"}, Changes: []effects.Change{
			{Table: "orders", Op: parallax.Insert, Key: id(&one), After: append(id(&one), parallax.Column{Name: "note"})},
			{Table: "orders", Op: parallax.Update, Key: id(&one), Before: id(&one), After: append(id(&two), parallax.Column{Name: "note", Type: parallax.Unchanged})},
			{Table: "orders", Op: parallax.Delete, Key: id(&two), Before: append(id(&two), parallax.Column{Name: "note", Value: &note})},
			{Table: "orders", Op: parallax.Truncate},
		}}
		if d := cmp.Diff(want, tx); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
}

func TestMessagesThatAreWrong(t *testing.T) {
	t.Parallel()
	f := func(want string, messages ...[]byte) {
		t.Helper()
		a := newAssembler()
		var err error
		for _, m := range messages {
			if _, _, e := a.take(m); e != nil {
				err = e
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	f("ends early", nil)
	f("unknown kind", []byte("?"))
	f("without its beginning", ending)
	f("was not described", beginning, inserted)
	f("outside a transaction", orders, inserted)
	f("unknown part", beginning, orders, bytesOf('I', uint32(1), 'X'))
	f("unknown part", beginning, orders, bytesOf('D', uint32(1), 'N', values("1", nil)))
	f("unknown kind", beginning, orders, bytesOf('I', uint32(1), 'N', uint16(1), '?'))
	f("60000 columns", bytesOf('R', uint32(1), "public", "orders", 'd', uint16(60000)))
	f("without an end", bytesOf('R', uint32(1), []byte(strings.Repeat("x", 5000))))
	f("ends early", bytesOf('T', uint32(1<<31), byte(0)))
	for _, m := range session1 {
		for n := range m {
			if m[0] != 'Y' && m[0] != 'O' {
				f("", m[:n])
			}
		}
	}
}

func TestTagsAreBounded(t *testing.T) {
	t.Parallel()
	a := newAssembler()
	messages := [][]byte{beginning, orders, inserted, bytesOf('M', byte(1), uint64(0), "parallax", uint32(300), []byte(strings.Repeat("x", 300)))}
	for i := range byte(100) {
		messages = append(messages, bytesOf('M', byte(1), uint64(0), "parallax", uint32(1), i))
	}
	for _, m := range append(messages, ending) {
		done, tx, err := a.take(m)
		if err != nil || done && len(tx.Tags) != maxTags {
			t.Errorf("%d tags, %v", len(tx.Tags), err)
		}
	}
}

// FuzzMessages feeds what a server might send: messages one after the other, each
// behind its length. Nothing of it may panic or grow beyond its bounds.
func FuzzMessages(f *testing.F) {
	join := func(list [][]byte) (out []byte) {
		for _, m := range list {
			out = bytesOf(out, uint16(len(m)), m)
		}
		return out
	}
	f.Add(join(session1))
	f.Add(join(append(session1[:0:0], beginning, orders, bytesOf('U', uint32(1), 'N', values("1")), bytesOf('U', uint32(1), 'O', values(), 'N', values("1", "2", "3")), ending)))
	f.Add(join([][]byte{others, {'w'}, {'k', 0}, nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := newAssembler()
		for len(data) >= 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			message := data[2 : 2+n]
			data = data[2+n:]
			_, tx, err := a.take(message)
			if err != nil {
				a = newAssembler() // the connection ends
			}
			for _, c := range tx.Changes {
				if len(c.Key) > len(c.Before)+len(c.After) {
					t.Fatalf("a key that is in no image: %+v", c)
				}
			}
			(&stream{}).take(append([]byte{'w'}, message...), &ignored{})
		}
	})
}

type ignored struct{}

func (*ignored) change([]byte) error      { return nil }
func (*ignored) reached(effects.Position) {}

func TestTableNames(t *testing.T) {
	t.Parallel()
	f := func(in, want, sql string) {
		t.Helper()
		n, err := parseName(in)
		if err != nil || n.String() != want || n.sql() != sql {
			t.Errorf("%s: %s, %s, %v", in, n, n.sql(), err)
		}
		if again, err := TableName(want); err != nil || again != want {
			t.Errorf("%s: %s, %v", want, again, err)
		}
	}
	f("orders", "orders", `"public"."orders"`)
	f("public.orders", "orders", `"public"."orders"`)
	f("OrderItem", "OrderItem", `"public"."OrderItem"`)
	f("billing.Order Item", "billing.Order Item", `"billing"."Order Item"`)
	f(`"orders"`, "orders", `"public"."orders"`)
	f(`"a.b"`, `"a.b"`, `"public"."a.b"`)
	f(`x."say ""hi"""`, `x."say ""hi"""`, `"x"."say ""hi"""`)
	for _, bad := range []string{"", ".", "a.", ".a", "a.b.c", `"a`, `"a"b`, `""`, strings.Repeat("x", 64), "a\x00b"} {
		if got, err := TableName(bad); err == nil {
			t.Errorf("%q is %q", bad, got)
		}
	}
}
