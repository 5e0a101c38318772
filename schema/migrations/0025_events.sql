-- What happened: dependencies that appeared, vanished or returned, violations of rules, and changes that were reported.
-- An id is made from what the event says, its time too, so that whoever finds it again writes the same row.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS events {on_cluster}
(
    time        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'in the time of the data',
    id          String COMMENT '16 hex digits',
    type        LowCardinality(String),
    edge        String COMMENT 'edge id, empty for a change',
    source      LowCardinality(String),
    target      LowCardinality(String),
    protocol    LowCardinality(String),
    layers      Array(LowCardinality(String)) COMMENT 'those that saw the edge',
    probability Nullable(Float64) COMMENT 'of such a silence, had the edge lived on',
    rule        String COMMENT 'name of the rule that was violated',
    service     String COMMENT 'what a change is about',
    title       String,
    attributes  Map(String, String),
    url         String,
    evident_at  DateTime64(3, 'UTC') COMMENT 'end of the data that showed it, in the time of the data',
    detected_at DateTime64(3, 'UTC') COMMENT 'when this was written, by the clock',
    withdrawn   UInt8 COMMENT '1: data that came later took it back',
    written_at  DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'the row written last is what holds'
)
ENGINE = {replicated}ReplacingMergeTree(written_at)
ORDER BY (time, id)
SETTINGS {deduplication_window} = 10000;
