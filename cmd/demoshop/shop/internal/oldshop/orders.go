package oldshop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// Place takes an order: it takes its products out of stock, and keeps it.
func (s *Shop) Place(ctx context.Context, who api.Visitor, in api.NewOrder) (api.Order, error) {
	out := api.Order{CustomerID: who.Customer, Status: api.Placed, Currency: "EUR", Note: in.Note, Address: in.Address, Tags: in.Tags}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	err := s.db.Write(ctx, func(tx *data.Tx) (err error) {
		if out.Items, err = priced(tx, in.Items); err != nil {
			return err
		}
		out.TotalCents = total(out.Items)
		if err := keep(tx, &out); err != nil {
			return err
		}
		if err := ship(tx, &out); err != nil {
			return err
		}
		audit(ctx, tx, "order.place", who.Customer, &out.ID)
		return nil
	})
	return out, err
}

// priced turns lines into items by SKU, with the prices of today.
func priced(tx *data.Tx, lines []api.Line) ([]api.Item, error) {
	skus := make([]string, len(lines))
	quantity := map[string]int64{}
	for i, l := range lines {
		skus[i], quantity[l.SKU] = l.SKU, l.Quantity
	}
	rows, err := tx.Query(`SELECT sku, price_cents FROM products WHERE sku = ANY ($1) ORDER BY sku`, skus)
	if err != nil {
		return nil, err
	}
	items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i api.Item, err error) {
		err = row.Scan(&i.SKU, &i.UnitCents)
		i.Quantity = quantity[i.SKU]
		i.LineCents = i.Quantity * i.UnitCents
		return i, err
	})
	if err == nil && len(items) < len(lines) {
		err = api.NoProduct
	}
	return items, err
}

func total(items []api.Item) (cents int64) {
	for _, i := range items {
		cents += i.LineCents
	}
	return cents
}

// vat is the tax of 19 % that a total contains, rounded to the nearest cent.
func vat(totalCents int64) int64 { return (totalCents*19*2 + 119) / (119 * 2) }

// keep writes a new order, and sets its id and time.
func keep(tx *data.Tx, o *api.Order) error {
	address, err := json.Marshal(o.Address)
	if err != nil {
		return err
	}
	err = tx.Insert("orders", []data.Cell{
		data.Col("id", tx.NewID("order")),
		data.Col("customer_id", o.CustomerID), data.Col("status", o.Status), data.Col("currency", o.Currency),
		data.Col("total_cents", o.TotalCents), data.Col("vat_cents", vat(o.TotalCents)),
		data.Col("note", o.Note), data.Col("address", string(address)), data.Col("tags", o.Tags),
	}, "id, placed_at", &o.ID, &o.PlacedAt)
	o.PlacedAt = o.PlacedAt.UTC()
	return err
}

// ship writes the items of a new order, and takes them out of stock.
func ship(tx *data.Tx, o *api.Order) error {
	rows := make([][]data.Cell, len(o.Items))
	for n, i := range o.Items {
		rows[n] = []data.Cell{
			data.Col("id", tx.NewID("item")),
			data.Col("order_id", o.ID), data.Col("sku", i.SKU), data.Col("quantity", i.Quantity),
			data.Col("unit_cents", i.UnitCents), data.Col("line_cents", i.LineCents),
		}
	}
	ids, err := tx.InsertAll("order_items", "id", rows)
	if err != nil {
		return err
	}
	moves := make([]move, len(ids))
	for n, i := range o.Items {
		moves[n] = move{item: ids[n], sku: i.SKU, quantity: -i.Quantity}
	}
	return moveStock(tx, moves)
}

// move is a quantity of a product that comes into stock, or goes if it is
// negative.
type move struct {
	item     int64
	sku      string
	quantity int64
}

// moveStock changes what is on hand, always in the order of SKUs, so that
// transactions do not wait for each other in a circle.
func moveStock(tx *data.Tx, moves []move) error {
	slices.SortFunc(moves, func(a, b move) int { return cmp.Compare(a.sku, b.sku) })
	args, rows := make([][]any, len(moves)), make([][]data.Cell, len(moves))
	for n, m := range moves {
		args[n] = []any{m.sku, m.quantity}
		rows[n] = []data.Cell{
			data.Col("id", tx.NewID("move")),
			data.Col("order_item_id", m.item), data.Col("sku", m.sku), data.Col("quantity", m.quantity),
		}
	}
	changed, err := tx.ExecAll(`UPDATE stock SET on_hand = on_hand + $2 WHERE sku = $1 AND on_hand + $2 >= 0`, args)
	if err != nil {
		return err
	}
	if slices.Contains(changed, 0) {
		return api.SoldOut
	}
	tx.Put("stock_moves", rows...)
	return nil
}

const selectOrder = `SELECT id, customer_id, status, currency, total_cents, note, address, tags, placed_at FROM orders`

func scanOrder(row pgx.CollectableRow) (o api.Order, err error) {
	err = row.Scan(&o.ID, &o.CustomerID, &o.Status, &o.Currency, &o.TotalCents, &o.Note, &o.Address, &o.Tags, &o.PlacedAt)
	o.PlacedAt = o.PlacedAt.UTC()
	return o, err
}

// querier is the database or a transaction under way.
type querier func(sql string, args ...any) (pgx.Rows, error)

func (s *Shop) reading(ctx context.Context) querier {
	return func(sql string, args ...any) (pgx.Rows, error) { return s.db.Query(ctx, sql, args...) }
}

// Order returns an order of the visitor's.
func (s *Shop) Order(ctx context.Context, who api.Visitor, id int64) (api.Order, error) {
	return find(s.reading(ctx), who, id, "")
}

// find reads an order with its items. How says whether it is locked.
func find(query querier, who api.Visitor, id int64, how string) (api.Order, error) {
	rows, err := query(selectOrder+` WHERE id = $1 AND customer_id = $2`+how, id, who.Customer)
	if err != nil {
		return api.Order{}, err
	}
	order, err := pgx.CollectExactlyOneRow(rows, scanOrder)
	if errors.Is(err, pgx.ErrNoRows) {
		return order, api.NoOrder
	}
	if err != nil {
		return order, err
	}
	items, err := itemsOf(query, id)
	order.Items = items[id]
	return order, err
}

// open reads an order of the visitor's that can still change, and locks it.
func open(tx *data.Tx, who api.Visitor, id int64) (api.Order, error) {
	order, err := find(tx.Query, who, id, ` FOR UPDATE`)
	if err == nil && order.Status != api.Placed {
		err = api.NotOpen
	}
	return order, err
}

// itemsOf reads the items of orders.
func itemsOf(query querier, orders ...int64) (map[int64][]api.Item, error) {
	rows, err := query(`SELECT order_id, sku, quantity, unit_cents, line_cents FROM order_items WHERE order_id = ANY ($1) ORDER BY order_id, sku`, orders)
	if err != nil {
		return nil, err
	}
	out := map[int64][]api.Item{}
	var order int64
	var i api.Item
	_, err = pgx.ForEachRow(rows, []any{&order, &i.SKU, &i.Quantity, &i.UnitCents, &i.LineCents}, func() error {
		out[order] = append(out[order], i)
		return nil
	})
	return out, err
}

const cursorWord = "below:"

// List returns a page of the visitor's orders, the highest ids first.
func (s *Shop) List(ctx context.Context, who api.Visitor, cursor string, limit int) (api.Page, error) {
	below, ok := s.db.ReadCursor(cursorWord, cursor)
	if !ok {
		return api.Page{}, api.WrongCursor
	}
	query := s.reading(ctx)
	rows, err := query(selectOrder+` WHERE customer_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, who.Customer, below, limit+1)
	if err != nil {
		return api.Page{}, err
	}
	page := api.Page{}
	if page.Orders, err = pgx.CollectRows(rows, scanOrder); err != nil {
		return api.Page{}, err
	}
	if len(page.Orders) > limit {
		page.Orders = page.Orders[:limit]
		page.NextCursor = s.db.WriteCursor(cursorWord, page.Orders[limit-1].ID)
	}
	ids := make([]int64, len(page.Orders))
	for i, o := range page.Orders {
		ids[i] = o.ID
	}
	items, err := itemsOf(query, ids...)
	for i := range page.Orders {
		page.Orders[i].Items = items[page.Orders[i].ID]
	}
	return page, err
}
