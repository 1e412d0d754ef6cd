// Package shop is a small order service in two versions, to try Parallax with: the
// same routes, JSON and behaviour over two schemas in PostgreSQL.
//
// The old version writes customers, sessions, orders, order_items, stock,
// stock_moves, ledger, audit_log and mails; the new one accounts, logins,
// purchases, purchase_items, inventory, inventory_moves, bookings, journal and
// messages ([Tables] says which column is which). Each makes up its own ids, session
// tokens and cursors. Without defects both do the same to their tables, row for
// row; each of [Defects] is one way in which the new version does not.
//
// What everybody's orders share is one row for each product, stock.on_hand or
// inventory.available: its value after an order depends on who came first, and two
// databases may see two orders one after the other in different ways. What one
// order did to it is a row of stock_moves or inventory_moves.
package shop
