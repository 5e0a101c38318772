-- Each service with the kinds it was seen as, and when.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS services {on_cluster}
(
    service    String,
    kind       LowCardinality(String),
    layer      LowCardinality(String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (service, kind, layer)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS services_view {on_cluster} TO services AS
SELECT
    end.1 AS service, end.2 AS kind, layer,
    min(first_at) AS first_seen, max(last_at) AS last_seen
FROM observations
ARRAY JOIN [(toString(source), toString(source_kind)), (toString(target), toString(target_kind))] AS end
WHERE calls > 0 OR connections > 0 OR bytes_sent > 0 OR bytes_received > 0
GROUP BY service, kind, layer;
