-- Spans of the pairing lifetime: halves of calls that wait for their other half, and the memory that counts none twice.
-- A later batch may write a span again (its lone half was released); the newest batch wins.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS spans {on_cluster}
(
    trace_hi    UInt64 CODEC(ZSTD(1)),
    trace_lo    UInt64 CODEC(ZSTD(1)),
    span        UInt64 CODEC(NONE),
    parent      UInt64 CODEC(NONE),
    start_ns    Int64 CODEC(ZSTD(1)),
    duration_ns Int64 CODEC(T64, ZSTD(1)),
    service     LowCardinality(String) CODEC(ZSTD(1)),
    peer        LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'service id of the other side as its attributes say',
    peer_kind   LowCardinality(String) CODEC(ZSTD(1)),
    protocol    LowCardinality(String) CODEC(ZSTD(1)),
    weight      Int32 CODEC(T64, ZSTD(1)),
    kind        UInt8 CODEC(ZSTD(1)),
    flags       UInt8 CODEC(ZSTD(1)),
    side        UInt8 CODEC(ZSTD(1)) COMMENT '1: server or consumer half (may share its id with a client half), else 0',
    batch       UInt64 CODEC(ZSTD(1)) COMMENT 'the batch that wrote this row',
    writer      LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the process that wrote it, when several write to one store',
    rewrite     UInt8 CODEC(ZSTD(1)) COMMENT '1: the row was known before, this batch released it',
    received_at DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(batch)
PARTITION BY toDate(received_at)
ORDER BY (trace_lo, trace_hi, span, side)
SETTINGS {deduplication_window} = 10000, index_granularity = 512;
