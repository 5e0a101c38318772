-- Attributes of services (team, version, …) with the time they were seen: what held at a past moment can be asked.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS service_attributes {on_cluster}
(
    service    String,
    key        LowCardinality(String),
    value      String,
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (service, key, value)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS service_attributes_view {on_cluster} TO service_attributes AS
SELECT
    said.1 AS service, said.2.1 AS key, said.2.2 AS value,
    min(first_at) AS first_seen, max(last_at) AS last_seen
FROM observations
ARRAY JOIN arrayConcat(
    arrayMap(pair -> (toString(source), pair),
             arrayZip(mapKeys(source_attributes), mapValues(source_attributes))),
    arrayMap(pair -> (toString(target), pair),
             arrayZip(mapKeys(target_attributes), mapValues(target_attributes)))
) AS said
GROUP BY service, key, value;
