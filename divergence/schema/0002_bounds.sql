-- What keeps the disk and the time of a verdict within bounds.

-- Of the exchanges that are not comparable, those whose primary gave nothing to
-- compare with. Ticks of before have 0.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS unanswered UInt64 CODEC(ZSTD(1));

-- How many exchanges showed a difference of which no row in divergences is kept,
-- since there are examples enough: by issue, what became of the difference, and
-- the minute of receipt. n, first and last add up when parts merge, so that the
-- table grows with minutes and issues, not with traffic. Read it with GROUP BY.
CREATE TABLE IF NOT EXISTS repeats
(
    minute        DateTime('UTC') CODEC(Delta, ZSTD(1)),
    service       LowCardinality(String),
    endpoint      LowCardinality(String),
    fingerprint   String CODEC(ZSTD(1)),
    cause         String CODEC(ZSTD(1)),
    normal        String CODEC(ZSTD(1)),
    kind          LowCardinality(String),
    class         LowCardinality(String),
    suppressed_by LowCardinality(String),
    first         SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    last          SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    n             SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (service, fingerprint, suppressed_by, minute, endpoint, cause, normal, kind, class)
TTL minute + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Where all exchanges of an instance went that it has stored: a running total,
-- written anew with every batch, of which the largest n counts. A few rows for
-- each start of a process; never removed.
CREATE TABLE IF NOT EXISTS totals
(
    instance LowCardinality(String),
    service  LowCardinality(String),
    place    LowCardinality(String),
    n        UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(n)
ORDER BY (service, instance, place)
SETTINGS non_replicated_deduplication_window = 10000;
