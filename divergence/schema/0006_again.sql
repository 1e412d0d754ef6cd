-- Diverging safe exchanges that were asked again, and what the verdict counts of those
-- that are not comparable. Rows of before have 0.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS transient UInt64 CODEC(ZSTD(1));
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS unmapped UInt64 CODEC(ZSTD(1));

-- What came of asking again: same, changed or unknown for each leg, empty where it was
-- not asked. flaky: the candidate changed its answer, and the primary did not.
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS again_primary LowCardinality(String);
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS again_candidate LowCardinality(String);
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS again_primary_status UInt16 CODEC(ZSTD(1));
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS again_candidate_status UInt16 CODEC(ZSTD(1));
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS flaky Bool CODEC(ZSTD(1));
