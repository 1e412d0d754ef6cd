package oldshop

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// Change changes an order that is neither paid nor cancelled.
func (s *Shop) Change(ctx context.Context, who api.Visitor, id int64, c api.Change) (out api.Order, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		if out, err = open(tx, who, id); err != nil {
			return err
		}
		if err := changeItems(tx, &out, c.Items); err != nil {
			return err
		}
		if c.Note != nil {
			out.Note = *c.Note
		}
		if c.Address != nil {
			out.Address = *c.Address
		}
		address, err := json.Marshal(out.Address)
		if err != nil {
			return err
		}
		out.TotalCents = total(out.Items)
		tx.Later(`UPDATE orders SET total_cents = $2, vat_cents = $3, note = $4, address = $5, updated_at = now() WHERE id = $1`,
			id, out.TotalCents, vat(out.TotalCents), out.Note, string(address))
		audit(ctx, tx, "order.change", who.Customer, &id)
		return nil
	})
	return out, err
}

// changeItems gives items of an order new quantities, and stock the difference.
func changeItems(tx *data.Tx, o *api.Order, lines []api.Line) error {
	if len(lines) == 0 {
		return nil
	}
	ids, err := itemIDs(tx, o.ID)
	if err != nil {
		return err
	}
	var moves []move
	var changes [][]any
	for _, l := range lines {
		at := slices.IndexFunc(o.Items, func(i api.Item) bool { return i.SKU == l.SKU })
		if at < 0 {
			return api.NotOnOrder
		}
		item := &o.Items[at]
		if item.Quantity == l.Quantity {
			continue
		}
		moves = append(moves, move{item: ids[l.SKU], sku: l.SKU, quantity: item.Quantity - l.Quantity})
		item.Quantity, item.LineCents = l.Quantity, l.Quantity*item.UnitCents
		changes = append(changes, []any{ids[l.SKU], item.Quantity, item.LineCents})
	}
	if _, err := tx.ExecAll(`UPDATE order_items SET quantity = $2, line_cents = $3 WHERE id = $1`, changes); err != nil {
		return err
	}
	return moveStock(tx, moves)
}

// itemIDs returns the ids of an order's items by SKU.
func itemIDs(tx *data.Tx, order int64) (map[string]int64, error) {
	rows, err := tx.Query(`SELECT id, sku FROM order_items WHERE order_id = $1`, order)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var id int64
		var sku string
		if err := rows.Scan(&id, &sku); err != nil {
			return nil, err
		}
		out[sku] = id
	}
	return out, rows.Err()
}

// Cancel cancels an order that is not paid, and puts its products back.
func (s *Shop) Cancel(ctx context.Context, who api.Visitor, id int64) (out api.Order, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		if out, err = open(tx, who, id); err != nil {
			return err
		}
		ids, err := itemIDs(tx, id)
		if err != nil {
			return err
		}
		moves := make([]move, len(out.Items))
		for n, i := range out.Items {
			moves[n] = move{item: ids[i.SKU], sku: i.SKU, quantity: i.Quantity}
		}
		if err := moveStock(tx, moves); err != nil {
			return err
		}
		out.Status = api.Cancelled
		tx.Later(`UPDATE orders SET status = $2, updated_at = now() WHERE id = $1`, id, out.Status)
		audit(ctx, tx, "order.cancel", who.Customer, &id)
		return nil
	})
	return out, err
}

// Pay takes the money for an order, gives points for it, and mails a receipt.
func (s *Shop) Pay(ctx context.Context, who api.Visitor, id int64, p api.Payment) (out api.Order, err error) {
	var mail receipt
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		if out, err = open(tx, who, id); err != nil {
			return err
		}
		if p.AmountCents != out.TotalCents {
			return api.WrongAmount
		}
		out.Status = api.Paid
		tx.Later(`UPDATE orders SET status = $2, updated_at = now() WHERE id = $1`, id, out.Status)
		tx.Put("ledger", []data.Cell{
			data.Col("id", tx.NewID("booking")),
			data.Col("order_id", id), data.Col("customer_id", who.Customer),
			data.Col("method", p.Method), data.Col("amount_cents", p.AmountCents),
		})
		tx.Later(`UPDATE customers SET points = points + $2 WHERE id = $1`, who.Customer, p.AmountCents/100)
		if mail, err = writeReceipt(tx, out); err != nil {
			return err
		}
		audit(ctx, tx, "order.pay", who.Customer, &id)
		return nil
	})
	if err != nil {
		return out, err
	}
	return out, s.deliver(ctx, mail)
}

// receipt is a mail to be sent.
type receipt struct {
	id                       int64
	recipient, subject, body string
}

// writeReceipt keeps the mail that says that an order is paid.
func writeReceipt(tx *data.Tx, o api.Order) (receipt, error) {
	r := receipt{subject: "Thank you for your payment", body: "We have received your payment, and pack your order."}
	if err := tx.QueryRow(`SELECT email FROM customers WHERE id = $1`, o.CustomerID).Scan(&r.recipient); err != nil {
		return r, err
	}
	err := tx.Insert("mails", []data.Cell{
		data.Col("id", tx.NewID("mail")), data.Col("order_id", o.ID), data.Col("recipient", r.recipient),
		data.Col("subject", r.subject), data.Col("body", r.body), data.Col("status", "queued"),
	}, "id", &r.id)
	return r, err
}

// deliver sends a mail that is written, and notes whether that worked. It does so
// too when the caller has left: the payment is made.
func (s *Shop) deliver(ctx context.Context, r receipt) error {
	if s.mail == nil || s.db.Undone(ctx) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryPatience)
	defer cancel()
	status := "sent"
	if err := s.mail.Send(ctx, r.recipient, r.subject, r.body); err != nil {
		status = "failed"
	}
	return s.db.Write(ctx, func(tx *data.Tx) error {
		tx.Later(`UPDATE mails SET status = $2, sent_at = now() WHERE id = $1`, r.id, status)
		return nil
	})
}

// deliveryPatience is how long a mail and the note of it may take.
const deliveryPatience = 10 * time.Second
