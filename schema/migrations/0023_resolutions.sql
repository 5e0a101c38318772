-- Edges that were resolved through intermediaries, with how sure that is, by ten minutes.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS resolutions {on_cluster}
(
    epoch       DateTime('UTC') COMMENT 'start of ten minutes',
    source      LowCardinality(String),
    target      LowCardinality(String),
    protocol    LowCardinality(String),
    via         LowCardinality(String) COMMENT 'service ids of intermediaries, joined by U+001F',
    confidence  Float32 COMMENT 'probability that the edge is real; 0: resolved no more',
    inferred    UInt8 COMMENT '1: estimated from volumes',
    resolved_at DateTime64(3, 'UTC')
)
ENGINE = {replicated}ReplacingMergeTree(resolved_at)
ORDER BY (epoch, source, target, protocol, via)
SETTINGS {deduplication_window} = 10000;
