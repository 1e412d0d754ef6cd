-- The same sixty products, and the one that has run out.

INSERT INTO articles (code, title, price)
SELECT 'P-' || lpad(n::text, 3, '0'), 'Product ' || n, n * n * 37 % 9901 + 99
FROM generate_series(1, 60) AS n;

INSERT INTO articles (code, title, price) VALUES ('P-SOLD-OUT', 'Rare product', 4999);

INSERT INTO inventory (code, available)
SELECT code, CASE code WHEN 'P-SOLD-OUT' THEN 0 ELSE 1000000000 END FROM articles;
