-- Of the repeated exchanges: those that diverged, and those in which the candidate failed and the primary did not.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS repeated_k UInt64 CODEC(ZSTD(1));
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS repeated_b UInt64 CODEC(ZSTD(1));
