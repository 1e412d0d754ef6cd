-- Where rows of the legs' databases differ, and since which exchange. entity is a keyed hash
-- of a row's name; one of zeros that is gone makes everything with a smaller version void.
CREATE TABLE IF NOT EXISTS drift
(
    service  LowCardinality(String),
    entity   UUID,
    place    String CODEC(ZSTD(1)),
    table    LowCardinality(String),
    since    UUID,
    at       DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    issue    LowCardinality(String),
    only     UInt8 CODEC(ZSTD(1)),
    touched  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    gone     Bool CODEC(ZSTD(1)),
    version  UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (service, entity, place)
TTL toDateTime(touched) + INTERVAL 3 DAY
SETTINGS non_replicated_deduplication_window = 10000;
