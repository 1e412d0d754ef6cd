-- What the legs of exchanges did to their databases, redacted: of exchanges whose bodies
-- are kept, and what was committed too late to be compared. Images are JSON, a list of
-- columns. n counts the effects of a leg in the order of its commits; late ones come after.
CREATE TABLE IF NOT EXISTS effects
(
    id          UUID,
    leg         UInt8 CODEC(ZSTD(1)),
    late        Bool CODEC(ZSTD(1)),
    n           UInt32 CODEC(ZSTD(1)),
    received    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service     LowCardinality(String),
    endpoint    LowCardinality(String),
    table       LowCardinality(String),
    op          LowCardinality(String),
    key         String CODEC(ZSTD(1)),
    before      String CODEC(ZSTD(1)),
    after       String CODEC(ZSTD(1)),
    correlation LowCardinality(String),
    at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    position    UInt64 CODEC(ZSTD(1)),
    written     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toDate(received)
ORDER BY (service, endpoint, received, id, leg, late, position, n)
TTL toDateTime(received) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- What became of the changes that the legs' databases committed: found by tag, trace,
-- column or key; late, uncompared, torn, stray or unattributed.
CREATE TABLE IF NOT EXISTS effect_counts
(
    minute   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    service  LowCardinality(String),
    leg      LowCardinality(String),
    table    LowCardinality(String),
    count    LowCardinality(String),
    n        UInt64 CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree(n)
PARTITION BY toYYYYMM(minute)
ORDER BY (service, leg, table, count, minute)
TTL minute + INTERVAL 1 YEAR
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Times in which a leg's database was not read. until is 1970 while one lasts.
CREATE TABLE IF NOT EXISTS effect_gaps
(
    service  LowCardinality(String),
    leg      LowCardinality(String),
    database String CODEC(ZSTD(1)),
    from     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    until    DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    why      String CODEC(ZSTD(1)),
    written  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toYYYYMM(from)
ORDER BY (service, leg, database, from)
TTL toDateTime(from) + INTERVAL 1 YEAR
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Why the effects of a leg may not be all that it did; empty where they are.
ALTER TABLE bodies ADD COLUMN IF NOT EXISTS unread String DEFAULT '' CODEC(ZSTD(1));

-- What the verdict counts of effects. Rows of before have 0.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS effects_unknown UInt64 CODEC(ZSTD(1));
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS effects_by_key UInt64 CODEC(ZSTD(1));
