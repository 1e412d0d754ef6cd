-- The rows that the candidate changed as the live leg, redacted: what somebody has to look
-- at after a way back. leg says whose database it was; key and after are JSON, a list of
-- columns.
CREATE TABLE IF NOT EXISTS written_rows
(
    id          UUID,
    received    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service     LowCardinality(String),
    endpoint    LowCardinality(String),
    leg         UInt8 CODEC(ZSTD(1)),
    table       LowCardinality(String),
    key         String CODEC(ZSTD(1)),
    n           UInt32 CODEC(ZSTD(1)),
    op          LowCardinality(String),
    after       String CODEC(ZSTD(1)),
    correlation LowCardinality(String),
    at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    position    UInt64 CODEC(ZSTD(1)),
    written     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toDate(received)
ORDER BY (service, table, key, position, id, n)
TTL toDateTime(received) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
