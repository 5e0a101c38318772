-- Counts by edge and minute, time first.
-- Change: new table and its view. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS edges_1m {on_cluster}
(
    time               DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source             LowCardinality(String) CODEC(ZSTD(1)),
    target             LowCardinality(String) CODEC(ZSTD(1)),
    protocol           LowCardinality(String) CODEC(ZSTD(1)),
    layer              LowCardinality(String) CODEC(ZSTD(1)),
    view               UInt8 CODEC(ZSTD(1)),
    reporter           UInt8 CODEC(ZSTD(1)),
    via                LowCardinality(String) CODEC(ZSTD(1)),
    calls              SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    errors             SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    connections        SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    failed_connections SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    bytes_sent         SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    bytes_received     SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    retransmits        SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    latency_us_sum     SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    latency_count      SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    rtt_us_sum         SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    rtt_count          SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS {deduplication_window} = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS edges_1m_view {on_cluster} TO edges_1m AS
SELECT
    toStartOfMinute(time) AS time, source, target, protocol, layer, view, reporter, via,
    sum(calls) AS calls, sum(errors) AS errors,
    sum(connections) AS connections, sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent, sum(bytes_received) AS bytes_received, sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum, sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum, sum(rtt_count) AS rtt_count
FROM observations
GROUP BY time, source, target, protocol, layer, view, reporter, via;
