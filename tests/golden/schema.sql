CREATE TABLE default.alerts
(
    `rule` LowCardinality(String),
    `fingerprint` String COMMENT 'of the labels, 16 hex digits',
    `since` DateTime64(3, 'UTC') COMMENT 'the condition holds since then; in the time of the data, like the others',
    `fired_at` DateTime64(3, 'UTC') COMMENT '1970: not yet',
    `resolved_at` DateTime64(3, 'UTC') COMMENT '1970: not yet',
    `step` UInt8 COMMENT '0: holds, 1: fires, 2: resolved; the highest counts',
    `source` String,
    `target` String,
    `protocol` LowCardinality(String),
    `services` Array(String) COMMENT 'of a circle, or the one that is the subject',
    `labels` Map(String, String),
    `annotations` Map(String, String)
)
ENGINE = ReplacingMergeTree(step)
PARTITION BY toYYYYMM(since)
ORDER BY (rule, fingerprint, since)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.bucket_arrivals
(
    `time` DateTime('UTC') COMMENT 'start of the bucket' CODEC(Delta(4), ZSTD(1)),
    `arrived_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY time
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.bucket_arrivals_view TO default.bucket_arrivals
(
    `time` DateTime('UTC'),
    `arrived_at` DateTime64(3, 'UTC')
)
AS SELECT
    toDateTime(time, 'UTC') AS time,
    max(now64(3, 'UTC')) AS arrived_at
FROM default.observations
GROUP BY time;

CREATE TABLE default.detector_states
(
    `slot` UInt8 COMMENT 'always 0: the newest state is the one that counts',
    `saved_at` DateTime64(3, 'UTC'),
    `arrived_at` DateTime64(3, 'UTC') COMMENT 'evidence that came before this is in the state',
    `version` UInt32 COMMENT 'of the form of the state',
    `position` DateTime('UTC') COMMENT 'evidence before this time of the data is in the state',
    `state` String CODEC(NONE)
)
ENGINE = ReplacingMergeTree(saved_at)
ORDER BY slot
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.edge_directions
(
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `direction` SimpleAggregateFunction(max, UInt8) COMMENT 'caller and callee known by 0: order alone, 1: ports, 2: SYN'
)
ENGINE = AggregatingMergeTree
ORDER BY (source, target, protocol)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE TABLE default.edge_hours
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `failed_connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_sent` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_received` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `retransmits` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (source, target, protocol, layer, view, reporter, via, time)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.edge_hours_view TO default.edge_hours
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `calls` Int64,
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64
)
AS SELECT
    toStartOfHour(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(connections) AS connections,
    sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum,
    sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum,
    sum(rtt_count) AS rtt_count
FROM default.observations
GROUP BY
    time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via;

CREATE TABLE default.edge_lifetimes
(
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `id` SimpleAggregateFunction(any, String) COMMENT 'the edge id, see names.py',
    `first_seen` SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (source, target, protocol, layer)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW default.edge_lifetimes_view TO default.edge_lifetimes
(
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `id` String,
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC')
)
AS SELECT
    source,
    target,
    protocol,
    layer,
    lower(hex(substring(SHA256(concat(source, '\0', target, '\0', protocol)), 1, 8))) AS id,
    min(first_at) AS first_seen,
    max(last_at) AS last_seen
FROM default.observations
WHERE (calls > 0) OR (connections > 0) OR (bytes_sent > 0) OR (bytes_received > 0)
GROUP BY
    source,
    target,
    protocol,
    layer;

CREATE TABLE default.edge_withdrawals
(
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `first_at` SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    `last_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    `times` SimpleAggregateFunction(sum, UInt64) COMMENT 'how many corrections: another number means look again'
)
ENGINE = AggregatingMergeTree
ORDER BY (source, target, protocol, layer)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW default.edge_withdrawals_view TO default.edge_withdrawals
(
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `first_at` DateTime64(3, 'UTC'),
    `last_at` DateTime64(3, 'UTC'),
    `times` UInt64
)
AS SELECT
    source,
    target,
    protocol,
    layer,
    min(first_at) AS first_at,
    max(last_at) AS last_at,
    count() AS times
FROM default.observations
WHERE (calls < 0) OR (connections < 0) OR (bytes_sent < 0) OR (bytes_received < 0)
GROUP BY
    source,
    target,
    protocol,
    layer;

CREATE TABLE default.edges_10s
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `failed_connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_sent` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_received` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `retransmits` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.edges_10s_view TO default.edges_10s
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `calls` Int64,
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64
)
AS SELECT
    toDateTime(time, 'UTC') AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(connections) AS connections,
    sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum,
    sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum,
    sum(rtt_count) AS rtt_count
FROM default.observations
GROUP BY
    time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via;

CREATE TABLE default.edges_1d
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `failed_connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_sent` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_received` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `retransmits` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.edges_1d_view TO default.edges_1d
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `calls` Int64,
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64
)
AS SELECT
    toStartOfDay(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(connections) AS connections,
    sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum,
    sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum,
    sum(rtt_count) AS rtt_count
FROM default.observations
GROUP BY
    time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via;

CREATE TABLE default.edges_1h
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `failed_connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_sent` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_received` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `retransmits` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.edges_1h_view TO default.edges_1h
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `calls` Int64,
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64
)
AS SELECT
    toStartOfHour(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(connections) AS connections,
    sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum,
    sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum,
    sum(rtt_count) AS rtt_count
FROM default.observations
GROUP BY
    time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via;

CREATE TABLE default.edges_1m
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `failed_connections` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_sent` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `bytes_received` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `retransmits` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `latency_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_us_sum` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1)),
    `rtt_count` SimpleAggregateFunction(sum, Int64) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.edges_1m_view TO default.edges_1m
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `calls` Int64,
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64
)
AS SELECT
    toStartOfMinute(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(connections) AS connections,
    sum(failed_connections) AS failed_connections,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    sum(retransmits) AS retransmits,
    sum(latency_us_sum) AS latency_us_sum,
    sum(latency_count) AS latency_count,
    sum(rtt_us_sum) AS rtt_us_sum,
    sum(rtt_count) AS rtt_count
FROM default.observations
GROUP BY
    time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via;

CREATE TABLE default.epoch_arrivals
(
    `epoch` DateTime('UTC') COMMENT 'start of ten minutes',
    `arrived_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY epoch
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.epoch_arrivals_view TO default.epoch_arrivals
(
    `epoch` DateTime('UTC'),
    `arrived_at` DateTime64(3, 'UTC')
)
AS SELECT
    toStartOfInterval(toDateTime(time, 'UTC'), toIntervalSecond(600)) AS epoch,
    max(now64(3, 'UTC')) AS arrived_at
FROM default.observations
WHERE reporter != 3
GROUP BY epoch;

CREATE TABLE default.events
(
    `time` DateTime64(3, 'UTC') COMMENT 'in the time of the data' CODEC(Delta(8), ZSTD(1)),
    `id` String COMMENT '16 hex digits',
    `type` LowCardinality(String),
    `edge` String COMMENT 'edge id, empty for a change',
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layers` Array(LowCardinality(String)) COMMENT 'those that saw the edge',
    `probability` Nullable(Float64) COMMENT 'of such a silence, had the edge lived on',
    `rule` String COMMENT 'name of the rule that was violated',
    `service` String COMMENT 'what a change is about',
    `title` String,
    `attributes` Map(String, String),
    `url` String,
    `evident_at` DateTime64(3, 'UTC') COMMENT 'end of the data that showed it, in the time of the data',
    `detected_at` DateTime64(3, 'UTC') COMMENT 'when this was written, by the clock',
    `withdrawn` UInt8 COMMENT '1: data that came later took it back',
    `written_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'the row written last is what holds'
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (time, id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.flow_batches
(
    `position` UInt64 COMMENT 'from 1, without gaps' CODEC(Delta(8), ZSTD(1)),
    `kind` UInt8 COMMENT '0: all batches up to this one came before, 1: flows, 2: claims, 3: the observations of this position are written',
    `batch` UInt64 COMMENT 'as in flows and identities' CODEC(Delta(8), ZSTD(1)),
    `writer` LowCardinality(String),
    `written_at` DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    INDEX batches batch TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY position
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.flows
(
    `time` DateTime('UTC') COMMENT 'start of the 10-second bucket' CODEC(Delta(4), LZ4),
    `start` DateTime64(3, 'UTC') COMMENT 'start of the record: whose address it was is asked for then',
    `first_at` DateTime64(3, 'UTC') COMMENT 'first instant of the record in the bucket',
    `last_at` DateTime64(3, 'UTC'),
    `client` LowCardinality(String) COMMENT 'address',
    `server` LowCardinality(String) COMMENT 'address; behind NAT the real one, when it is known',
    `client_port` UInt16 COMMENT '0: several connections are summed',
    `server_port` UInt16,
    `transport` UInt8 COMMENT '0: TCP, 1: UDP',
    `observer` UInt8 COMMENT 'seen on the host of 1: the client, 2: the server',
    `direction` UInt8 COMMENT 'roles are known by 0: the order alone, 1: ports, 2: who sent SYN',
    `own` LowCardinality(String) COMMENT 'service id of the observing side, as its agent says',
    `instance` LowCardinality(String),
    `host` LowCardinality(String),
    `active` UInt32,
    `connections` Int64 CODEC(T64, LZ4),
    `failed_connections` Int64 CODEC(T64, LZ4),
    `bytes_sent` Int64 CODEC(T64, LZ4),
    `bytes_received` Int64 CODEC(T64, LZ4),
    `retransmits` Int64 CODEC(T64, LZ4),
    `rtt_us_sum` Int64 CODEC(T64, LZ4),
    `rtt_count` Int64 CODEC(T64, LZ4),
    `request` UInt64 COMMENT 'digest of the request, by which a repeated one is known; 0: it had no key',
    `batch` UInt64 COMMENT 'the batch that wrote this row',
    `received_at` DateTime('UTC') CODEC(Delta(4), LZ4)
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (time, client)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.identities
(
    `address` String COMMENT 'IP address, CIDR or host name',
    `port` UInt16 COMMENT '0: any',
    `service` String COMMENT 'service id',
    `kind` LowCardinality(String),
    `valid_from` DateTime64(3, 'UTC'),
    `valid_to` DateTime64(3, 'UTC'),
    `heartbeat` UInt8 COMMENT '1: valid_to is assumed',
    `rank` UInt8 COMMENT '0: said of the address itself; 1: by a resource of OpenTelemetry',
    `attributes` Map(String, String),
    `batch` UInt64 COMMENT 'the batch that wrote this row, Unix nanoseconds'
)
ENGINE = ReplacingMergeTree(valid_to)
PRIMARY KEY (address, port, service, kind, valid_from)
ORDER BY (address, port, service, kind, valid_from, batch)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.latency_10s
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `latency` SimpleAggregateFunction(sumMap, Map(UInt8, Int64)) CODEC(T64, ZSTD(1)),
    `codes` SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.latency_10s_view TO default.latency_10s
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `latency` Map(UInt8, Int64),
    `codes` Map(String, Int64)
)
AS SELECT
    toDateTime(time, 'UTC') AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    latency,
    codes
FROM default.observations
WHERE notEmpty(latency) OR notEmpty(codes);

CREATE TABLE default.latency_1d
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `latency` SimpleAggregateFunction(sumMap, Map(UInt8, Int64)) CODEC(T64, ZSTD(1)),
    `codes` SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.latency_1d_view TO default.latency_1d
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `latency` Map(UInt8, Int64),
    `codes` Map(String, Int64)
)
AS SELECT
    toStartOfDay(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    latency,
    codes
FROM default.observations
WHERE notEmpty(latency) OR notEmpty(codes);

CREATE TABLE default.latency_1h
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `latency` SimpleAggregateFunction(sumMap, Map(UInt8, Int64)) CODEC(T64, ZSTD(1)),
    `codes` SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.latency_1h_view TO default.latency_1h
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `latency` Map(UInt8, Int64),
    `codes` Map(String, Int64)
)
AS SELECT
    toStartOfHour(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    latency,
    codes
FROM default.observations
WHERE notEmpty(latency) OR notEmpty(codes);

CREATE TABLE default.latency_1m
(
    `time` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `target` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `layer` LowCardinality(String) CODEC(ZSTD(1)),
    `view` UInt8 CODEC(ZSTD(1)),
    `reporter` UInt8 CODEC(ZSTD(1)),
    `via` LowCardinality(String) CODEC(ZSTD(1)),
    `latency` SimpleAggregateFunction(sumMap, Map(UInt8, Int64)) CODEC(T64, ZSTD(1)),
    `codes` SimpleAggregateFunction(sumMap, Map(String, Int64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, source, target, protocol, layer, view, reporter, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE MATERIALIZED VIEW default.latency_1m_view TO default.latency_1m
(
    `time` DateTime('UTC'),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `layer` LowCardinality(String),
    `view` UInt8,
    `reporter` UInt8,
    `via` LowCardinality(String),
    `latency` Map(UInt8, Int64),
    `codes` Map(String, Int64)
)
AS SELECT
    toStartOfMinute(time) AS time,
    source,
    target,
    protocol,
    layer,
    view,
    reporter,
    via,
    latency,
    codes
FROM default.observations
WHERE notEmpty(latency) OR notEmpty(codes);

CREATE TABLE default.metric_chunks
(
    `source` String COMMENT 'address of the Prometheus',
    `begin_at` DateTime64(3, 'UTC'),
    `end_at` DateTime64(3, 'UTC') COMMENT 'all increases that end in [begin_at, end_at) are in the store'
)
ENGINE = ReplacingMergeTree(end_at)
ORDER BY (source, begin_at)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.metric_counters
(
    `series` String COMMENT 'digest of name and labels; or what else is remembered: see counterstate.py',
    `round` UInt64 COMMENT 'when it was written, Unix milliseconds; the latest wins',
    `value` Float64 COMMENT 'NaN: the series ended',
    `time` Int64 COMMENT 'of the last sample, Unix milliseconds',
    `created` Int64 COMMENT 'when the counter began, Unix milliseconds; the lowest number: not known',
    `body` String COMMENT 'observations under way, as an Arrow stream' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(round)
ORDER BY series
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.node_places
(
    `grouping` LowCardinality(String),
    `node` String,
    `generation` UInt32,
    `x` Float32,
    `y` Float32,
    `placed_at` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (grouping, generation, node)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.notifications
(
    `receiver` LowCardinality(String),
    `id` String COMMENT 'of alert, beginning and status; empty: since when the receiver is known',
    `outcome` Enum8('known' = 0, 'delivered' = 1, 'dropped' = 2),
    `at` DateTime64(3, 'UTC') COMMENT 'by the clock'
)
ENGINE = ReplacingMergeTree
ORDER BY (receiver, id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.observations
(
    `time` DateTime('UTC') COMMENT 'start of the 10-second bucket',
    `first_at` DateTime64(3, 'UTC') COMMENT 'first evidence in the bucket',
    `last_at` DateTime64(3, 'UTC') COMMENT 'last evidence in the bucket',
    `layer` LowCardinality(String) COMMENT 'network, ipc or trace',
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `view` UInt8 COMMENT '0: in both views, 1: only resolved, 2: only hops',
    `reporter` UInt8 COMMENT 'which end measured: 0 not said, 1 source, 2 target',
    `via` LowCardinality(String) COMMENT 'service ids of intermediaries, joined by U+001F',
    `source_kind` LowCardinality(String),
    `target_kind` LowCardinality(String),
    `calls` Int64 COMMENT 'may be negative: a correction of what was written before',
    `errors` Int64,
    `connections` Int64,
    `failed_connections` Int64,
    `bytes_sent` Int64,
    `bytes_received` Int64,
    `retransmits` Int64,
    `latency_us_sum` Int64,
    `latency_count` Int64,
    `rtt_us_sum` Int64,
    `rtt_count` Int64,
    `latency` Map(UInt8, Int64) COMMENT 'logarithmic bucket → calls, see latency.py',
    `codes` Map(String, Int64) COMMENT 'response code → calls',
    `source_attributes` Map(String, String),
    `target_attributes` Map(String, String)
)
ENGINE = `Null`;

CREATE TABLE default.resolutions
(
    `epoch` DateTime('UTC') COMMENT 'start of ten minutes',
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `protocol` LowCardinality(String),
    `via` LowCardinality(String) COMMENT 'service ids of intermediaries, joined by U+001F',
    `confidence` Float32 COMMENT 'probability that the edge is real; 0: resolved no more',
    `inferred` UInt8 COMMENT '1: estimated from volumes',
    `resolved_at` DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(resolved_at)
ORDER BY (epoch, source, target, protocol, via)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.resolved_epochs
(
    `epoch` DateTime('UTC') COMMENT 'start of ten minutes',
    `resolved_at` DateTime64(3, 'UTC') COMMENT 'all evidence that had come by then was used',
    `declared` String COMMENT 'digest of the intermediaries known then'
)
ENGINE = ReplacingMergeTree(resolved_at)
ORDER BY epoch
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192;

CREATE TABLE default.schema_migrations
(
    `version` UInt32,
    `name` String,
    `checksum` String,
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY version
SETTINGS index_granularity = 8192;

CREATE TABLE default.service_attributes
(
    `service` String,
    `key` LowCardinality(String),
    `value` String,
    `first_seen` SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service, key, value)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW default.service_attributes_view TO default.service_attributes
(
    `service` String,
    `key` String,
    `value` String,
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC')
)
AS SELECT
    said.1 AS service,
    (said.2).1 AS key,
    (said.2).2 AS value,
    min(first_at) AS first_seen,
    max(last_at) AS last_seen
FROM default.observations
ARRAY JOIN arrayConcat(arrayMap(pair -> (toString(source), pair), arrayZip(mapKeys(source_attributes), mapValues(source_attributes))), arrayMap(pair -> (toString(target), pair), arrayZip(mapKeys(target_attributes), mapValues(target_attributes)))) AS said
GROUP BY
    service,
    key,
    value;

CREATE TABLE default.services
(
    `service` String,
    `kind` LowCardinality(String),
    `layer` LowCardinality(String),
    `first_seen` SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service, kind, layer)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE MATERIALIZED VIEW default.services_view TO default.services
(
    `service` LowCardinality(String),
    `kind` LowCardinality(String),
    `layer` LowCardinality(String),
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC')
)
AS SELECT
    end.1 AS service,
    end.2 AS kind,
    layer,
    min(first_at) AS first_seen,
    max(last_at) AS last_seen
FROM default.observations
ARRAY JOIN [(toString(source), toString(source_kind)), (toString(target), toString(target_kind))] AS end
WHERE (calls > 0) OR (connections > 0) OR (bytes_sent > 0) OR (bytes_received > 0)
GROUP BY
    service,
    kind,
    layer;

CREATE TABLE default.spans
(
    `trace_hi` UInt64 CODEC(ZSTD(1)),
    `trace_lo` UInt64 CODEC(ZSTD(1)),
    `span` UInt64 CODEC(NONE),
    `parent` UInt64 CODEC(NONE),
    `start_ns` Int64 CODEC(ZSTD(1)),
    `duration_ns` Int64 CODEC(T64, ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `peer` LowCardinality(String) COMMENT 'service id of the other side as its attributes say' CODEC(ZSTD(1)),
    `peer_kind` LowCardinality(String) CODEC(ZSTD(1)),
    `protocol` LowCardinality(String) CODEC(ZSTD(1)),
    `weight` Int32 CODEC(T64, ZSTD(1)),
    `kind` UInt8 CODEC(ZSTD(1)),
    `flags` UInt8 CODEC(ZSTD(1)),
    `side` UInt8 COMMENT '1: server or consumer half (may share its id with a client half), else 0' CODEC(ZSTD(1)),
    `batch` UInt64 COMMENT 'the batch that wrote this row' CODEC(ZSTD(1)),
    `writer` LowCardinality(String) COMMENT 'the process that wrote it, when several write to one store' CODEC(ZSTD(1)),
    `rewrite` UInt8 COMMENT '1: the row was known before, this batch released it' CODEC(ZSTD(1)),
    `received_at` DateTime('UTC') CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplacingMergeTree(batch)
PARTITION BY toDate(received_at)
ORDER BY (trace_lo, trace_hi, span, side)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 512;
