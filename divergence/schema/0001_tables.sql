-- The tables of Parallax. Times are UTC, durations are seconds where a column
-- does not say ns, and what is not evidence is kept for 30 days.
--
-- Every insert carries insert_deduplication_token, so a batch that is sent
-- again counts once: that needs the deduplication window on each table.
-- Replacing engines make a row that is redelivered in another batch count once
-- too, for who reads with FINAL.

-- One row for each compared exchange.
CREATE TABLE IF NOT EXISTS comparisons
(
    id                UUID,
    received          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service           LowCardinality(String),
    endpoint          LowCardinality(String),
    live              LowCardinality(String),
    source            LowCardinality(String),
    outcome           LowCardinality(String),
    reason            LowCardinality(String),
    divergences       UInt32 CODEC(ZSTD(1)),
    noise             UInt32 CODEC(ZSTD(1)),
    ruled             UInt32 CODEC(ZSTD(1)),
    accepted          UInt32 CODEC(ZSTD(1)),
    truncated         Bool CODEC(ZSTD(1)),
    concurrent        Bool CODEC(ZSTD(1)),
    covered           Bool CODEC(ZSTD(1)),
    kept              Bool CODEC(ZSTD(1)),
    primary_failed    Bool CODEC(ZSTD(1)),
    candidate_failed  Bool CODEC(ZSTD(1)),
    primary_status    UInt16 CODEC(ZSTD(1)),
    candidate_status  UInt16 CODEC(ZSTD(1)),
    secondary_status  UInt16 CODEC(ZSTD(1)),
    primary_error     LowCardinality(String),
    candidate_error   LowCardinality(String),
    secondary_error   LowCardinality(String),
    primary_seconds   Float64 CODEC(ZSTD(1)),
    candidate_seconds Float64 CODEC(ZSTD(1)),
    secondary_seconds Float64 CODEC(ZSTD(1)),
    secondary_asked   Bool CODEC(ZSTD(1)),
    primary_version   LowCardinality(String),
    candidate_version LowCardinality(String),
    secondary_version LowCardinality(String),
    rules_hash        LowCardinality(String),
    policy_hash       LowCardinality(String),
    instance          LowCardinality(String),
    batch             UInt64 CODEC(Delta, ZSTD(1)),
    written           DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toDate(received)
ORDER BY (service, endpoint, received, id)
TTL toDateTime(received) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- One row for each difference of an exchange, suppressed ones included, up to a
-- bound for each issue and hour; the table repeats counts the rest. suppressed_by
-- is empty when it counts.
CREATE TABLE IF NOT EXISTS divergences
(
    id            UUID,
    n             UInt16 CODEC(ZSTD(1)),
    received      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service       LowCardinality(String),
    endpoint      LowCardinality(String),
    fingerprint   String CODEC(ZSTD(1)),
    cause         String CODEC(ZSTD(1)),
    path          String CODEC(ZSTD(1)),
    normal        String CODEC(ZSTD(1)),
    kind          LowCardinality(String),
    class         LowCardinality(String),
    primary       String CODEC(ZSTD(1)),
    candidate     String CODEC(ZSTD(1)),
    suppressed_by LowCardinality(String),
    detail        String CODEC(ZSTD(1)),
    kept          Bool CODEC(ZSTD(1)),
    instance      LowCardinality(String),
    written       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toDate(received)
ORDER BY (service, fingerprint, received, id, n)
TTL toDateTime(received) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- One row for each leg of an exchange whose bodies are kept. Everything in it
-- is redacted. Names and values of headers and trailers are parallel arrays.
CREATE TABLE IF NOT EXISTS bodies
(
    id                     UUID,
    leg                    UInt8 CODEC(ZSTD(1)),
    received               DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    service                LowCardinality(String),
    endpoint               LowCardinality(String),
    version                LowCardinality(String),
    method                 LowCardinality(String),
    target                 String CODEC(ZSTD(1)),
    host                   LowCardinality(String),
    proto                  LowCardinality(String),
    request_header_names   Array(LowCardinality(String)) CODEC(ZSTD(1)),
    request_header_values  Array(String) CODEC(ZSTD(1)),
    request_trailer_names  Array(LowCardinality(String)) CODEC(ZSTD(1)),
    request_trailer_values Array(String) CODEC(ZSTD(1)),
    request_body           String CODEC(ZSTD(1)),
    request_size           Int64 CODEC(ZSTD(1)),
    request_sha256         FixedString(32) CODEC(ZSTD(1)),
    request_cut            Bool CODEC(ZSTD(1)),
    status                 UInt16 CODEC(ZSTD(1)),
    header_names           Array(LowCardinality(String)) CODEC(ZSTD(1)),
    header_values          Array(String) CODEC(ZSTD(1)),
    trailer_names          Array(LowCardinality(String)) CODEC(ZSTD(1)),
    trailer_values         Array(String) CODEC(ZSTD(1)),
    body                   String CODEC(ZSTD(1)),
    size                   Int64 CODEC(ZSTD(1)),
    sha256                 FixedString(32) CODEC(ZSTD(1)),
    cut                    Bool CODEC(ZSTD(1)),
    error                  UInt8 CODEC(ZSTD(1)),
    error_text             String CODEC(ZSTD(1)),
    start_ns               Int64 CODEC(ZSTD(1)),
    first_ns               Int64 CODEC(ZSTD(1)),
    done_ns                Int64 CODEC(ZSTD(1)),
    written                DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
PARTITION BY toDate(received)
ORDER BY (service, endpoint, received, id, leg)
TTL toDateTime(received) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, index_granularity = 256;

-- What happened to exchanges that are not compared, and how many came in, by
-- the minute they were received. n is what one flush added.
CREATE TABLE IF NOT EXISTS counts
(
    instance LowCardinality(String),
    seq      UInt64 CODEC(Delta, ZSTD(1)),
    minute   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    service  LowCardinality(String),
    endpoint LowCardinality(String),
    reason   LowCardinality(String),
    n        Int64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(minute)
ORDER BY (service, minute, endpoint, reason, instance, seq)
TTL minute + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- The evidence: what was counted between two flushes, append-only. A verdict is
-- a fold over it in the order of at, instance, seq. It is kept for a year.
CREATE TABLE IF NOT EXISTS ticks
(
    at                DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    instance          LowCardinality(String),
    seq               UInt64 CODEC(Delta, ZSTD(1)),
    service           LowCardinality(String),
    endpoint          LowCardinality(String),
    rules_hash        LowCardinality(String),
    policy_hash       LowCardinality(String),
    primary_version   LowCardinality(String),
    candidate_version LowCardinality(String),
    received          UInt64 CODEC(ZSTD(1)),
    lost              UInt64 CODEC(ZSTD(1)),
    n                 UInt64 CODEC(ZSTD(1)),
    k                 UInt64 CODEC(ZSTD(1)),
    not_comparable    UInt64 CODEC(ZSTD(1)),
    noise             UInt64 CODEC(ZSTD(1)),
    accepted          UInt64 CODEC(ZSTD(1)),
    b                 UInt64 CODEC(ZSTD(1)),
    c                 UInt64 CODEC(ZSTD(1)),
    timed             UInt64 CODEC(ZSTD(1)),
    slow_b            UInt64 CODEC(ZSTD(1)),
    slow_c            UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (service, at, instance, seq)
TTL toDateTime(at) + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- What people and the policy changed, append-only; never removed.
CREATE TABLE IF NOT EXISTS decisions
(
    at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    service LowCardinality(String),
    kind    LowCardinality(String),
    key     String CODEC(ZSTD(1)),
    value   String CODEC(ZSTD(1)),
    who     String CODEC(ZSTD(1)),
    note    String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (service, kind, key, at)
SETTINGS non_replicated_deduplication_window = 10000;
