-- Exchanges whose requests had been sent too often to be evidence.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS repeated UInt64 CODEC(ZSTD(1));
