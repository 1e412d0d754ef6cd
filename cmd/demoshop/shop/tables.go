package shop

// Table is one table of the old version, and what the new one calls it.
type Table struct {
	Old, New string
	Columns  [][2]string // of the old version and of the new one, where their names differ
	Made     []string    // columns of the old version with values that each version makes up by itself
	Ignore   []string    // columns of the old version whose values say nothing about the other's
}

// Tables lists what orders are written to. Products are written by migrations
// only.
func Tables() []Table {
	return []Table{
		{
			Old: "customers", New: "accounts", Made: []string{"id"}, Ignore: []string{"password", "created_at"},
			Columns: [][2]string{{"id", "account_no"}, {"email", "login"}, {"name", "full_name"}, {"password", "secret"}, {"points", "bonus"}, {"created_at", "opened_at"}},
		},
		{
			Old: "sessions", New: "logins", Made: []string{"token"}, Ignore: []string{"created_at"},
			Columns: [][2]string{{"token", "key"}, {"customer_id", "account_no"}, {"created_at", "opened_at"}},
		},
		{
			Old: "stock", New: "inventory", Ignore: []string{"on_hand"},
			Columns: [][2]string{{"sku", "code"}, {"on_hand", "available"}},
		},
		{
			Old: "orders", New: "purchases", Made: []string{"id"}, Ignore: []string{"placed_at", "updated_at"},
			Columns: [][2]string{{"id", "purchase_no"}, {"customer_id", "account_no"}, {"status", "state"}, {"total_cents", "amount"}, {"vat_cents", "vat"},
				{"note", "remark"}, {"address", "delivery"}, {"tags", "labels"}, {"updated_at", "changed_at"}},
		},
		{
			Old: "order_items", New: "purchase_items", Made: []string{"id"},
			Columns: [][2]string{{"id", "item_no"}, {"order_id", "purchase_no"}, {"sku", "code"}, {"quantity", "pieces"}, {"unit_cents", "unit_price"}, {"line_cents", "line_price"}},
		},
		{
			Old: "stock_moves", New: "inventory_moves", Made: []string{"id"}, Ignore: []string{"moved_at"},
			Columns: [][2]string{{"id", "move_no"}, {"order_item_id", "item_no"}, {"sku", "code"}, {"quantity", "pieces"}},
		},
		{
			Old: "ledger", New: "bookings", Made: []string{"id"}, Ignore: []string{"booked_at"},
			Columns: [][2]string{{"id", "booking_no"}, {"order_id", "purchase_no"}, {"customer_id", "account_no"}, {"amount_cents", "amount"}},
		},
		{
			Old: "audit_log", New: "journal", Made: []string{"id"}, Ignore: []string{"at"},
			Columns: [][2]string{{"id", "entry"}, {"customer_id", "account_no"}, {"order_id", "purchase_no"}, {"action", "event"}},
		},
		{
			Old: "mails", New: "messages", Made: []string{"id"}, Ignore: []string{"created_at", "sent_at"},
			Columns: [][2]string{{"id", "message_no"}, {"order_id", "purchase_no"}, {"status", "state"}},
		},
	}
}
