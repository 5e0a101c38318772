-- When evidence of each ten minutes last came: what the resolution of intermediaries must look at again.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS epoch_arrivals {on_cluster}
(
    epoch      DateTime('UTC') COMMENT 'start of ten minutes',
    arrived_at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY epoch
SETTINGS {deduplication_window} = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS epoch_arrivals_view {on_cluster} TO epoch_arrivals AS
SELECT toStartOfInterval(toDateTime(time, 'UTC'), toIntervalSecond(600)) AS epoch, max(now64(3, 'UTC')) AS arrived_at
FROM observations
WHERE reporter != 3
GROUP BY epoch;
