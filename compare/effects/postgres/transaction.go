package postgres

import (
	"fmt"
	"slices"

	"parallax"
	"parallax/compare/effects"
)

// What one transaction may hold; what is beyond is left out, and More says so.
const (
	maxChanges = 10_000
	maxBytes   = 16 << 20
	maxTags    = 8   // two already say that it belongs to no single exchange
	maxTag     = 256 // bytes
)

// maxRelations bounds the tables of which a stream may tell. A publication of all
// tables may have many that are not listed.
const maxRelations = 1 << 17

// tagPrefix is the prefix of messages that say which exchange a transaction belongs
// to.
const tagPrefix = "parallax"

// assembler puts the messages of one stream together to transactions.
type assembler struct {
	listed  []name
	resolve func(*relation) (*table, error) // looks into the catalogue
	tables  map[uint32]*table               // nil for those that are not listed

	open  bool
	tx    effects.Transaction
	bytes int
}

// take takes the next message. At the end of a transaction it returns the
// transaction, and where its commit ends; a transaction that changed no listed table
// has no ID.
func (a *assembler) take(data []byte) (done bool, tx effects.Transaction, err error) {
	m, err := parseMessage(data)
	if err != nil {
		return false, tx, err
	}
	switch m := m.(type) {
	case begin:
		a.open, a.bytes = true, 0
		a.tx = effects.Transaction{ID: fmt.Sprint(m.xid), At: m.at}
	case commit:
		if !a.open {
			return false, tx, fmt.Errorf("a commit at %s without its beginning", lsn(m.end))
		}
		tx, a.open, a.tx = a.tx, false, effects.Transaction{}
		tx.Position = m.end
		if len(tx.Changes) == 0 && !tx.More {
			return true, effects.Transaction{Position: m.end}, nil
		}
		tx.ID += "@" + lsn(m.end) // ids of transactions come again after 2^32
		return true, tx, nil
	case *relation:
		return false, tx, a.relation(m)
	case row:
		return false, tx, a.row(m)
	case truncate:
		return false, tx, a.truncate(m)
	case message:
		a.tag(m)
	}
	return false, tx, nil
}

func (a *assembler) relation(m *relation) error {
	if len(a.tables) >= maxRelations {
		return fmt.Errorf("the publication has more than %d tables: list those that are read", maxRelations)
	}
	if !slices.Contains(a.listed, name{m.schema, m.name}) {
		a.tables[m.id] = nil
		return nil
	}
	t, err := a.resolve(m)
	if err != nil {
		return err
	}
	a.tables[m.id] = t
	return nil
}

func (a *assembler) row(m row) error {
	t, err := a.table(m.relation)
	if err != nil || t == nil {
		return err
	}
	if a.full(tupleSize(m.old) + tupleSize(m.new)) {
		return nil
	}
	a.tx.Changes = append(a.tx.Changes, t.change(m))
	return nil
}

func (a *assembler) truncate(m truncate) error {
	for _, id := range m.relations {
		t, err := a.table(id)
		if err != nil {
			return err
		}
		if t != nil && !a.full(0) {
			a.tx.Changes = append(a.tx.Changes, effects.Change{Table: t.name, Op: parallax.Truncate})
		}
	}
	return nil
}

// table finds a table; it is nil for one that is not listed.
func (a *assembler) table(id uint32) (*table, error) {
	t, ok := a.tables[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("a change of a table that was not described (%d)", id)
	case !a.open:
		return nil, fmt.Errorf("a change of %d outside a transaction", id)
	}
	return t, nil
}

// full counts another change, and says whether there is no room for it.
func (a *assembler) full(bytes int) bool {
	if len(a.tx.Changes) >= maxChanges || a.bytes+bytes > maxBytes {
		a.tx.More = true
	}
	a.bytes += bytes
	return a.tx.More
}

// tag notes what a message says of its transaction. Messages outside transactions
// belong to none.
func (a *assembler) tag(m message) {
	if !m.transactional || !a.open || m.prefix != tagPrefix || len(m.content) > maxTag || len(a.tx.Tags) >= maxTags {
		return
	}
	if tag := string(m.content); !slices.Contains(a.tx.Tags, tag) {
		a.tx.Tags = append(a.tx.Tags, tag)
	}
}

// lsn writes a position as PostgreSQL does.
func lsn(p effects.Position) string { return fmt.Sprintf("%X/%X", uint32(p>>32), uint32(p)) }

func parseLSN(s string) (effects.Position, error) {
	var high, low uint32
	if _, err := fmt.Sscanf(s, "%X/%X", &high, &low); err != nil {
		return 0, fmt.Errorf("%q is not a position", s)
	}
	return effects.Position(uint64(high)<<32 | uint64(low)), nil
}
