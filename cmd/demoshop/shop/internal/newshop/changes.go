package newshop

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parallax/cmd/demoshop/shop/internal/api"
	"parallax/cmd/demoshop/shop/internal/data"
)

// open reads a purchase of the visitor's that can still change, and locks it.
func open(tx *data.Tx, who api.Visitor, id int64) (api.Order, basket, error) {
	out, err := purchase(tx.Query, `WHERE purchase_no = $1 AND account_no = $2 FOR UPDATE`, id, who.Customer)
	if err != nil {
		return out, nil, err
	}
	if out.Status != api.Placed {
		return out, nil, api.NotOpen
	}
	b, err := basketOf(tx.Query, id)
	out.Items = b.shown()
	return out, b, err
}

// Change changes a purchase that is neither paid nor cancelled.
func (s *Shop) Change(ctx context.Context, who api.Visitor, id int64, c api.Change) (out api.Order, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		var b basket
		if out, b, err = open(tx, who, id); err != nil {
			return err
		}
		if err := s.repack(tx, b, c.Items); err != nil {
			return err
		}
		out.Items, out.TotalCents = b.shown(), b.amount()
		if c.Note != nil {
			out.Note = *c.Note
		}
		if c.Address != nil {
			out.Address = *c.Address
		}
		delivery, err := json.Marshal(out.Address)
		if err != nil {
			return err
		}
		tx.Later(`UPDATE purchases SET amount = $2, vat = $3, remark = $4, delivery = $5, changed_at = now() WHERE purchase_no = $1`,
			id, out.TotalCents, s.defects.vat(out.TotalCents), out.Note, string(delivery))
		note(ctx, tx, event{what: "order.change", account: who.Customer, purchase: id})
		return nil
	})
	return out, err
}

// repack gives items of a basket new quantities, and the inventory the difference.
func (s *Shop) repack(tx *data.Tx, b basket, lines []api.Line) error {
	var list moves
	var updates [][]any
	for _, l := range lines {
		at := slices.IndexFunc(b, func(i item) bool { return i.SKU == l.SKU })
		if at < 0 {
			return api.NotOnOrder
		}
		i := &b[at]
		if i.Quantity == l.Quantity {
			continue
		}
		list = append(list, move{item: i.no, code: i.SKU, pieces: i.Quantity - l.Quantity})
		i.Quantity, i.LineCents = l.Quantity, l.Quantity*i.UnitCents
		updates = append(updates, []any{i.no, i.Quantity, i.LineCents})
	}
	if len(list) == 0 {
		return nil
	}
	if _, err := tx.ExecAll(`UPDATE purchase_items SET pieces = $2, line_price = $3 WHERE item_no = $1`, updates); err != nil {
		return err
	}
	return s.move(tx, list)
}

// Cancel cancels a purchase that is not paid, and takes its articles back.
func (s *Shop) Cancel(ctx context.Context, who api.Visitor, id int64) (out api.Order, err error) {
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		var b basket
		if out, b, err = open(tx, who, id); err != nil {
			return err
		}
		list := make(moves, len(b))
		for n, i := range b {
			list[n] = move{item: i.no, code: i.SKU, pieces: i.Quantity}
		}
		if err := s.move(tx, list); err != nil {
			return err
		}
		out.Status = setState(tx, id, api.Cancelled)
		if s.defects[MissingAudit] {
			return nil
		}
		note(ctx, tx, event{what: "order.cancel", account: who.Customer, purchase: id})
		return nil
	})
	return out, err
}

// setState gives a purchase a state, and returns it.
func setState(tx *data.Tx, id int64, state string) string {
	tx.Later(`UPDATE purchases SET state = $2, changed_at = now() WHERE purchase_no = $1`, id, state)
	return state
}

// Pay takes the money for a purchase, gives a bonus, and mails a receipt.
func (s *Shop) Pay(ctx context.Context, who api.Visitor, id int64, p api.Payment) (out api.Order, err error) {
	var list []message
	err = s.db.Write(ctx, func(tx *data.Tx) error {
		if out, _, err = open(tx, who, id); err != nil {
			return err
		}
		if p.AmountCents != out.TotalCents {
			return api.WrongAmount
		}
		out.Status = setState(tx, id, api.Paid)
		tx.Put("bookings", []data.Cell{
			data.Col("booking_no", tx.NewID("booking")), data.Col("purchase_no", id), data.Col("account_no", who.Customer),
			data.Col("method", p.Method), data.Col("amount", p.AmountCents),
		})
		s.reward(tx, who.Customer, p.AmountCents/100)
		for range s.defects.mails() {
			m, err := writeMessage(tx, out)
			if err != nil {
				return err
			}
			list = append(list, m)
		}
		note(ctx, tx, event{what: "order.pay", account: who.Customer, purchase: id})
		return nil
	})
	if err != nil {
		return out, err
	}
	return out, s.deliver(ctx, list)
}

// reward adds points to an account's bonus.
func (s *Shop) reward(tx *data.Tx, account, points int64) {
	if s.defects[LostUpdate] {
		if bonus, ok := s.bonuses.of(account); ok {
			tx.Later(`UPDATE accounts SET bonus = $2 WHERE account_no = $1`, account, bonus+points)
			return
		}
	}
	tx.Later(`UPDATE accounts SET bonus = bonus + $2 WHERE account_no = $1`, account, points)
}

// message is a mail to be sent.
type message struct {
	no                       int64
	recipient, subject, body string
}

// writeMessage keeps the mail that says that a purchase is paid.
func writeMessage(tx *data.Tx, o api.Order) (message, error) {
	m := message{subject: "Thank you for your payment", body: "We have received your payment, and pack your order."}
	if err := tx.QueryRow(`SELECT login FROM accounts WHERE account_no = $1`, o.CustomerID).Scan(&m.recipient); err != nil {
		return m, err
	}
	err := tx.Insert("messages", []data.Cell{
		data.Col("message_no", tx.NewID("mail")), data.Col("purchase_no", o.ID), data.Col("recipient", m.recipient),
		data.Col("subject", m.subject), data.Col("body", m.body), data.Col("state", "queued"),
	}, "message_no", &m.no)
	return m, err
}

// deliveryPatience is how long messages and the note of them may take.
const deliveryPatience = 10 * time.Second

// deliver sends messages that are written, and notes whether that worked, also
// when the caller has left: the payment is made.
func (s *Shop) deliver(ctx context.Context, list []message) error {
	if s.post == nil || s.db.Undone(ctx) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryPatience)
	defer cancel()
	var states [][]any
	for _, m := range list {
		state := "sent"
		if err := s.post.Send(ctx, m.recipient, m.subject, m.body); err != nil {
			state = "failed"
		}
		states = append(states, []any{m.no, state})
	}
	return s.db.Write(ctx, func(tx *data.Tx) error {
		_, err := tx.ExecAll(`UPDATE messages SET state = $2, sent_at = now() WHERE message_no = $1`, states)
		return err
	})
}
