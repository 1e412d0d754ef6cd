-- What was known of identifiers when the exchange was compared, as JSON: pairs of
-- values, and the names of those that a shadow request named without a partner. In the
-- row of the primary only; redacted as the bodies are.
ALTER TABLE bodies ADD COLUMN IF NOT EXISTS identifiers String DEFAULT '' CODEC(ZSTD(1));
