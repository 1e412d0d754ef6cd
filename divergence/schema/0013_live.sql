-- What callers got from either leg, on endpoints that had some of the candidate.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS live_primary Array(UInt64) CODEC(ZSTD(1));
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS live_candidate Array(UInt64) CODEC(ZSTD(1));
