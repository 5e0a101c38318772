-- Calls by response code, beside the latency histograms: read only by who asks for more than counts.
-- The views go on projecting; merges add the maps up, as they do the histograms.
-- A view whose query was changed knows repeated inserts by another key until it is loaded anew: so each is, at once.
-- Change: a new column of five tables, and four views that fill it. Safe to run again: yes. Rewrites data: no.
ALTER TABLE observations {on_cluster}
    ADD COLUMN IF NOT EXISTS codes Map(String, Int64) COMMENT 'response code → calls' AFTER latency;

ALTER TABLE latency_10s {on_cluster}
    ADD COLUMN IF NOT EXISTS codes SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1));

ALTER TABLE latency_10s_view {on_cluster} MODIFY QUERY
SELECT toDateTime(time, 'UTC') AS time, source, target, protocol, layer, view, reporter, via, latency, codes
FROM observations
WHERE notEmpty(latency) OR notEmpty(codes);

DETACH TABLE IF EXISTS latency_10s_view {on_cluster} SYNC;

ATTACH TABLE IF NOT EXISTS latency_10s_view {on_cluster};

ALTER TABLE latency_1m {on_cluster}
    ADD COLUMN IF NOT EXISTS codes SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1));

ALTER TABLE latency_1m_view {on_cluster} MODIFY QUERY
SELECT toStartOfMinute(time) AS time, source, target, protocol, layer, view, reporter, via, latency, codes
FROM observations
WHERE notEmpty(latency) OR notEmpty(codes);

DETACH TABLE IF EXISTS latency_1m_view {on_cluster} SYNC;

ATTACH TABLE IF NOT EXISTS latency_1m_view {on_cluster};

ALTER TABLE latency_1h {on_cluster}
    ADD COLUMN IF NOT EXISTS codes SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1));

ALTER TABLE latency_1h_view {on_cluster} MODIFY QUERY
SELECT toStartOfHour(time) AS time, source, target, protocol, layer, view, reporter, via, latency, codes
FROM observations
WHERE notEmpty(latency) OR notEmpty(codes);

DETACH TABLE IF EXISTS latency_1h_view {on_cluster} SYNC;

ATTACH TABLE IF NOT EXISTS latency_1h_view {on_cluster};

ALTER TABLE latency_1d {on_cluster}
    ADD COLUMN IF NOT EXISTS codes SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1));

ALTER TABLE latency_1d_view {on_cluster} MODIFY QUERY
SELECT toStartOfDay(time) AS time, source, target, protocol, layer, view, reporter, via, latency, codes
FROM observations
WHERE notEmpty(latency) OR notEmpty(codes);

DETACH TABLE IF EXISTS latency_1d_view {on_cluster} SYNC;

ATTACH TABLE IF NOT EXISTS latency_1d_view {on_cluster};
