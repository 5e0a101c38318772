-- Evidence that corrections took back, by edge and layer: a lifetime only grows, and these say which to look up again.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS edge_withdrawals {on_cluster}
(
    source   LowCardinality(String),
    target   LowCardinality(String),
    protocol LowCardinality(String),
    layer    LowCardinality(String),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at  SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    times    SimpleAggregateFunction(sum, UInt64) COMMENT 'how many corrections: another number means look again'
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (source, target, protocol, layer)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS edge_withdrawals_view {on_cluster} TO edge_withdrawals AS
SELECT source, target, protocol, layer, min(first_at) AS first_at, max(last_at) AS last_at, count() AS times
FROM observations
WHERE calls < 0 OR connections < 0 OR bytes_sent < 0 OR bytes_received < 0
GROUP BY source, target, protocol, layer;
