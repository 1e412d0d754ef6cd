-- The life of rules.

-- Every set of rules that was in force, append-only: a row each time a process
-- began to compare by it. The first row of a version says since when there is it.
-- Verdicts and reports name the version. Never removed.
CREATE TABLE IF NOT EXISTS rule_sets
(
    at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    service LowCardinality(String),
    version String CODEC(ZSTD(1)),
    by      LowCardinality(String),
    text    String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (service, at, version)
SETTINGS non_replicated_deduplication_window = 10000;

-- What each rule took away, by endpoint and the day of receipt (UTC): in how many
-- exchanges, and how many differences. The sums and the ids of the latest exchange,
-- and of the latest whose bodies are kept, come about when parts merge. Read it
-- with GROUP BY.
CREATE TABLE IF NOT EXISTS rule_uses
(
    day         Date CODEC(Delta, ZSTD(1)),
    service     LowCardinality(String),
    endpoint    LowCardinality(String),
    rule        LowCardinality(String),
    exchanges   SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    differences SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    last        SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    example     SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    kept        SimpleAggregateFunction(max, String) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (service, rule, endpoint, day)
TTL day + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
