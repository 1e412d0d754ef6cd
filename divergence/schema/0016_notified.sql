-- What each receiver of notifications was told of a service: a mark as JSON, of which the last
-- counts. A row for each receiver and service.
CREATE TABLE IF NOT EXISTS notified
(
    service  LowCardinality(String),
    receiver LowCardinality(String),
    at       DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    mark     String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (service, receiver)
SETTINGS non_replicated_deduplication_window = 10000;
