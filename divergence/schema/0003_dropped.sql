-- What went before its time, to keep the store within its size on disk: how many
-- compared exchanges of a minute have no rows any more, by outcome, and how many
-- legs lost their bodies (what = 'bodies'). One INSERT is one act of dropping, at
-- a time, of everything received before another. Rows of comparisons that were
-- received before the latest "before" of their service and written before its
-- "at" are in here, whether or not they still lie on disk.
CREATE TABLE IF NOT EXISTS dropped
(
    at       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    before   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    minute   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    service  LowCardinality(String),
    endpoint LowCardinality(String),
    what     LowCardinality(String),
    n        UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (service, what, minute, endpoint)
TTL minute + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;
