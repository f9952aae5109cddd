"""The tables in ClickHouse. Migrations are appended to, never edited, and can each be run twice."""

TABLE = "log_lines"
ACCESS_RECORDS, ACCESS_TOTALS = "access_records", "access_totals"
MIGRATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, applied DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = MergeTree ORDER BY version"""

MIGRATIONS = (
    # `came` falls with time, so that of two lines with one number a merge keeps the first.
    f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    deployment String CODEC(ZSTD),
    seq UInt64 CODEC(Delta, ZSTD),
    attempt UInt32 CODEC(ZSTD),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    stream LowCardinality(String),
    level LowCardinality(String),
    step LowCardinality(String),
    text String CODEC(ZSTD),
    partial Bool CODEC(ZSTD),
    came UInt64 DEFAULT 18446744073709551615 - toUInt64(toUnixTimestamp64Nano(now64(9))) CODEC(Delta, ZSTD),
    INDEX ngrams lower(text) TYPE ngrambf_v1(3, 32768, 3, 0) GRANULARITY 1,
    INDEX levels level TYPE set(4) GRANULARITY 1,
    INDEX times ts TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(came)
PARTITION BY toYYYYMM(ts)
ORDER BY (deployment, seq)""",
    # Access records: a row that came twice is equal in all columns of its key.
    f"""
CREATE TABLE IF NOT EXISTS {ACCESS_RECORDS} (
    project String CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    spool LowCardinality(String),
    number UInt64 CODEC(Delta, ZSTD),
    place UInt32 CODEC(Delta, ZSTD),
    host LowCardinality(String),
    method LowCardinality(String),
    path String CODEC(ZSTD),
    status UInt16 CODEC(ZSTD),
    cache LowCardinality(String),
    bytes UInt64 CODEC(ZSTD),
    took_us UInt64 CODEC(ZSTD),
    client String CODEC(ZSTD),
    rate Float64 CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (project, at, spool, number, place)""",
    f"""
CREATE TABLE IF NOT EXISTS {ACCESS_TOTALS} (
    project String CODEC(ZSTD),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    status UInt16 CODEC(ZSTD),
    cache LowCardinality(String),
    spool LowCardinality(String),
    number UInt64 CODEC(Delta, ZSTD),
    requests UInt64 CODEC(ZSTD),
    bytes UInt64 CODEC(ZSTD),
    took_us UInt64 CODEC(ZSTD),
    latency Array(UInt64) CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (project, at, status, cache, spool, number)""",
    # Where no index helps, a search is as fast as texts are unpacked: twice as fast as with ZSTD, for twice the disk.
    f"ALTER TABLE {TABLE} MODIFY COLUMN text String CODEC(LZ4)",
)
