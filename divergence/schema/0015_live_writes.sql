-- What requests wrote that one leg alone was asked, by kind of change: JSON, empty for nothing.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS live_writes String CODEC(ZSTD(1));
