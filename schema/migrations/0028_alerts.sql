-- Alerts of rules: since when the condition holds, since when the alert fires, when it was resolved.
-- A row a transition; the latest of a fingerprint and beginning counts, whichever server wrote it.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS alerts {on_cluster}
(
    rule        LowCardinality(String),
    fingerprint String COMMENT 'of the labels, 16 hex digits',
    since       DateTime64(3, 'UTC') COMMENT 'the condition holds since then; in the time of the data, like the others',
    fired_at    DateTime64(3, 'UTC') COMMENT '1970: not yet',
    resolved_at DateTime64(3, 'UTC') COMMENT '1970: not yet',
    step        UInt8 COMMENT '0: holds, 1: fires, 2: resolved; the highest counts',
    source      String,
    target      String,
    protocol    LowCardinality(String),
    services    Array(String) COMMENT 'of a circle, or the one that is the subject',
    labels      Map(String, String),
    annotations Map(String, String)
)
ENGINE = {replicated}ReplacingMergeTree(step)
PARTITION BY toYYYYMM(since)
ORDER BY (rule, fingerprint, since)
SETTINGS {deduplication_window} = 10000;
