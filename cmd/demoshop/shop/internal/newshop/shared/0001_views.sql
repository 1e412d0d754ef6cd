-- The new shop on the old one's tables: they get its names. PostgreSQL writes
-- through such views to the tables below them, whose defaults make up the numbers.

CREATE VIEW accounts AS
SELECT id AS account_no, email AS login, name AS full_name, password AS secret, points AS bonus, created_at AS opened_at FROM customers;

CREATE VIEW logins AS
SELECT token AS key, customer_id AS account_no, created_at AS opened_at FROM sessions;

CREATE VIEW articles AS
SELECT sku AS code, name AS title, price_cents AS price FROM products;

CREATE VIEW inventory AS
SELECT sku AS code, on_hand AS available FROM stock;

CREATE VIEW purchases AS
SELECT id AS purchase_no, customer_id AS account_no, status AS state, currency, total_cents AS amount, vat_cents AS vat,
       note AS remark, address AS delivery, tags AS labels, placed_at, updated_at AS changed_at FROM orders;

CREATE VIEW purchase_items AS
SELECT id AS item_no, order_id AS purchase_no, sku AS code, quantity AS pieces, unit_cents AS unit_price, line_cents AS line_price FROM order_items;

CREATE VIEW inventory_moves AS
SELECT id AS move_no, order_item_id AS item_no, sku AS code, quantity AS pieces, moved_at FROM stock_moves;

CREATE VIEW bookings AS
SELECT id AS booking_no, order_id AS purchase_no, customer_id AS account_no, method, amount_cents AS amount, booked_at FROM ledger;

CREATE VIEW journal AS
SELECT id AS entry, customer_id AS account_no, order_id AS purchase_no, action AS event, request_id, at FROM audit_log;

CREATE VIEW messages AS
SELECT id AS message_no, order_id AS purchase_no, recipient, subject, body, status AS state, created_at, sent_at FROM mails;
