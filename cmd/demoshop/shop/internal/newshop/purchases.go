package newshop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// item is a line of a purchase with its number.
type item struct {
	no int64
	api.Item
}

// basket is the lines of a purchase, by code.
type basket []item

func (b basket) amount() (cents int64) {
	for _, i := range b {
		cents += i.LineCents
	}
	return cents
}

// shown is the basket as it is answered.
func (b basket) shown() []api.Item {
	out := make([]api.Item, len(b))
	for n, i := range b {
		out[n] = i.Item
	}
	return out
}

// Place takes an order.
func (s *Shop) Place(ctx context.Context, who api.Visitor, in api.NewOrder) (out api.Order, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		b, err := fillBasket(tx, in.Items)
		if err != nil {
			return err
		}
		if out, err = s.insertPurchase(tx, who, in, b); err != nil {
			return err
		}
		if err := insertItems(tx, out.ID, b); err != nil {
			return err
		}
		moves := make(moves, len(b))
		for n, i := range b {
			moves[n] = move{item: i.no, code: i.SKU, pieces: -i.Quantity}
		}
		if err := s.move(tx, moves); err != nil {
			return err
		}
		note(ctx, tx, event{what: "order.place", account: who.Customer, purchase: out.ID})
		return nil
	})
	return out, err
}

// fillBasket prices what is asked for.
func fillBasket(tx *data.Tx, lines []api.Line) (basket, error) {
	pieces := map[string]int64{}
	for _, l := range lines {
		pieces[l.SKU] = l.Quantity
	}
	rows, err := tx.Query(`SELECT code, price::bigint FROM articles WHERE code = ANY ($1) ORDER BY code`, slices.Sorted(maps.Keys(pieces)))
	if err != nil {
		return nil, err
	}
	var b basket
	var i item
	_, err = pgx.ForEachRow(rows, []any{&i.SKU, &i.UnitCents}, func() error {
		i.Quantity = pieces[i.SKU]
		i.LineCents = i.UnitCents * i.Quantity
		b = append(b, i)
		return nil
	})
	if err == nil && len(b) != len(pieces) {
		err = api.NoProduct
	}
	return b, err
}

func (s *Shop) insertPurchase(tx *data.Tx, who api.Visitor, in api.NewOrder, b basket) (api.Order, error) {
	out := api.Order{
		CustomerID: who.Customer, Status: api.Placed, Currency: s.defects.currency(), TotalCents: b.amount(), Items: b.shown(),
		Note: in.Note, Address: in.Address, Tags: append([]string{}, in.Tags...), // never null
	}
	delivery, err := json.Marshal(in.Address)
	if err != nil {
		return out, err
	}
	err = tx.Insert("purchases", []data.Cell{
		data.Col("purchase_no", tx.NewID("order")), data.Col("account_no", who.Customer),
		data.Col("state", out.Status), data.Col("currency", out.Currency),
		data.Col("amount", out.TotalCents), data.Col("vat", s.defects.vat(out.TotalCents)),
		data.Col("remark", out.Note), data.Col("delivery", string(delivery)), data.Col("labels", out.Tags),
	}, "purchase_no, placed_at", &out.ID, &out.PlacedAt)
	out.PlacedAt = out.PlacedAt.UTC()
	return out, err
}

// insertItems writes the basket, and numbers its items.
func insertItems(tx *data.Tx, purchase int64, b basket) error {
	rows := make([][]data.Cell, len(b))
	for n, i := range b {
		rows[n] = []data.Cell{
			data.Col("item_no", tx.NewID("item")), data.Col("purchase_no", purchase), data.Col("code", i.SKU),
			data.Col("pieces", i.Quantity), data.Col("unit_price", i.UnitCents), data.Col("line_price", i.LineCents),
		}
	}
	numbers, err := tx.InsertAll("purchase_items", "item_no", rows)
	for n := range numbers {
		b[n].no = numbers[n]
	}
	return err
}

// move is pieces of an article that come in, or go out if there are fewer than
// none.
type move struct {
	item   int64
	code   string
	pieces int64
}

type moves []move

// move changes the inventory, in the order of codes, so that no two transactions
// wait for each other.
func (s *Shop) move(tx *data.Tx, list moves) error {
	slices.SortFunc(list, func(a, b move) int { return cmp.Compare(a.code, b.code) })
	var updates [][]any
	var rows [][]data.Cell
	for _, m := range list {
		number := m.item
		if s.defects[WrongKey] {
			number = list[0].item
		}
		updates = append(updates, []any{m.code, m.pieces})
		rows = append(rows, []data.Cell{
			data.Col("move_no", tx.NewID("move")), data.Col("item_no", number), data.Col("code", m.code), data.Col("pieces", m.pieces),
		})
	}
	changed, err := tx.ExecAll(`UPDATE inventory SET available = available + $2 WHERE code = $1 AND available + $2 >= 0`, updates)
	if err != nil {
		return err
	}
	if slices.Contains(changed, 0) {
		return api.SoldOut
	}
	tx.Put("inventory_moves", rows...)
	return nil
}

// querier is the database or a transaction under way.
type querier func(sql string, args ...any) (pgx.Rows, error)

func (s *Shop) reading(ctx context.Context) querier {
	return func(sql string, args ...any) (pgx.Rows, error) { return s.db.Query(ctx, sql, args...) }
}

const selectPurchase = `
	SELECT purchase_no, account_no, state, currency, amount::bigint, remark, delivery, labels, placed_at
	FROM purchases `

func scanPurchase(row pgx.CollectableRow) (o api.Order, err error) {
	err = row.Scan(&o.ID, &o.CustomerID, &o.Status, &o.Currency, &o.TotalCents, &o.Note, &o.Address, &o.Tags, &o.PlacedAt)
	o.PlacedAt = o.PlacedAt.UTC()
	return o, err
}

// Order returns a purchase of the visitor's.
func (s *Shop) Order(ctx context.Context, who api.Visitor, id int64) (api.Order, error) {
	query := s.reading(ctx)
	out, err := purchase(query, `WHERE purchase_no = $1 AND account_no = $2`, id, who.Customer)
	if err != nil {
		return out, err
	}
	b, err := basketOf(query, id)
	out.Items = b.shown()
	return out, err
}

func purchase(query querier, where string, args ...any) (api.Order, error) {
	rows, err := query(selectPurchase+where, args...)
	if err != nil {
		return api.Order{}, err
	}
	out, err := pgx.CollectExactlyOneRow(rows, scanPurchase)
	if errors.Is(err, pgx.ErrNoRows) {
		err = api.NoOrder
	}
	return out, err
}

func basketOf(query querier, purchase int64) (basket, error) {
	rows, err := query(`
		SELECT item_no, code, pieces, unit_price::bigint, line_price::bigint
		FROM purchase_items WHERE purchase_no = $1 ORDER BY code`, purchase)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (i item, err error) {
		err = row.Scan(&i.no, &i.SKU, &i.Quantity, &i.UnitCents, &i.LineCents)
		return i, err
	})
}

const cursorWord = "before="

// List returns a page of the visitor's purchases, the highest numbers first.
func (s *Shop) List(ctx context.Context, who api.Visitor, cursor string, limit int) (page api.Page, err error) {
	before, ok := s.db.ReadCursor(cursorWord, cursor)
	if !ok {
		return page, api.WrongCursor
	}
	query := s.reading(ctx)
	rows, err := query(selectPurchase+`WHERE account_no = $1 AND purchase_no < $2 ORDER BY purchase_no DESC LIMIT $3`, who.Customer, before, limit+1)
	if err != nil {
		return page, err
	}
	if page.Orders, err = pgx.CollectRows(rows, scanPurchase); err != nil {
		return page, err
	}
	if len(page.Orders) > limit {
		page.Orders = page.Orders[:limit]
		page.NextCursor = s.db.WriteCursor(cursorWord, page.Orders[limit-1].ID)
	}
	if s.defects[Slow] {
		return page, fillSlowly(query, page.Orders)
	}
	return page, fill(query, page.Orders)
}

// fill reads the items of purchases with one query.
func fill(query querier, list []api.Order) error {
	at := map[int64]*api.Order{}
	for n := range list {
		at[list[n].ID] = &list[n]
	}
	rows, err := query(`
		SELECT purchase_no, code, pieces, unit_price::bigint, line_price::bigint
		FROM purchase_items WHERE purchase_no = ANY ($1) ORDER BY purchase_no, code`, slices.Sorted(maps.Keys(at)))
	if err != nil {
		return err
	}
	var no int64
	var i api.Item
	_, err = pgx.ForEachRow(rows, []any{&no, &i.SKU, &i.Quantity, &i.UnitCents, &i.LineCents}, func() error {
		at[no].Items = append(at[no].Items, i)
		return nil
	})
	return err
}

// fillSlowly reads the items of each purchase, and the article of each item and what
// there is of it, with a query of their own.
func fillSlowly(query querier, list []api.Order) error {
	for n := range list {
		b, err := basketOf(query, list[n].ID)
		if err != nil {
			return err
		}
		for _, i := range b {
			for _, sql := range []string{`SELECT title FROM articles WHERE code = $1`, `SELECT available FROM inventory WHERE code = $1`} {
				rows, err := query(sql, i.SKU)
				if err != nil {
					return err
				}
				rows.Close()
				if err := rows.Err(); err != nil {
					return err
				}
			}
		}
		list[n].Items = b.shown()
	}
	return nil
}
