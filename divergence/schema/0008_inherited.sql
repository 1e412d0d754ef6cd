-- What the verdict counts of exchanges that differ only in rows that differed before.
-- Rows of before have 0.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS inherited UInt64 CODEC(ZSTD(1));
