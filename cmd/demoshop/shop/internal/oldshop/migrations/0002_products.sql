-- Sixty products that do not run out, and one that has.

INSERT INTO products (sku, name, price_cents)
SELECT 'P-' || lpad(n::text, 3, '0'), 'Product ' || n, n * n * 37 % 9901 + 99
FROM generate_series(1, 60) AS n;

INSERT INTO products (sku, name, price_cents) VALUES ('P-SOLD-OUT', 'Rare product', 4999);

INSERT INTO stock (sku, on_hand)
SELECT sku, CASE sku WHEN 'P-SOLD-OUT' THEN 0 ELSE 1000000000 END FROM products;
