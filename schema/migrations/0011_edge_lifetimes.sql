-- First and last evidence of each edge in each layer, over all history. Corrections (negative counts) do not count.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS edge_lifetimes {on_cluster}
(
    source     LowCardinality(String),
    target     LowCardinality(String),
    protocol   LowCardinality(String),
    layer      LowCardinality(String),
    id         SimpleAggregateFunction(any, String) COMMENT 'the edge id, see names.py',
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (source, target, protocol, layer)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS edge_lifetimes_view {on_cluster} TO edge_lifetimes AS
SELECT
    source, target, protocol, layer,
    lower(hex(substring(SHA256(concat(source, '\0', target, '\0', protocol)), 1, 8))) AS id,
    min(first_at) AS first_seen, max(last_at) AS last_seen
FROM observations
WHERE calls > 0 OR connections > 0 OR bytes_sent > 0 OR bytes_received > 0
GROUP BY source, target, protocol, layer;
