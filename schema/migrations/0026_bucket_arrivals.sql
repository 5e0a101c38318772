-- When evidence of each ten seconds last came: what the detection of events must look at, or look at again.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS bucket_arrivals {on_cluster}
(
    time       DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'start of the bucket',
    arrived_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1))
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY time
SETTINGS {deduplication_window} = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS bucket_arrivals_view {on_cluster} TO bucket_arrivals AS
SELECT toDateTime(time, 'UTC') AS time, max(now64(3, 'UTC')) AS arrived_at
FROM observations
GROUP BY time;
