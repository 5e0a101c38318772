-- Which times of which source of metrics are in the store: what a repeated or resumed backfill need not read again.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS metric_chunks {on_cluster}
(
    source   String COMMENT 'address of the Prometheus',
    begin_at DateTime64(3, 'UTC'),
    end_at   DateTime64(3, 'UTC') COMMENT 'all increases that end in [begin_at, end_at) are in the store'
)
ENGINE = {replicated}ReplacingMergeTree(end_at)
ORDER BY (source, begin_at)
SETTINGS {deduplication_window} = 10000;
