-- Landing table of edge observations: what every collector writes. It keeps nothing; the views behind it do.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS observations {on_cluster}
(
    time               DateTime('UTC') COMMENT 'start of the 10-second bucket',
    first_at           DateTime64(3, 'UTC') COMMENT 'first evidence in the bucket',
    last_at            DateTime64(3, 'UTC') COMMENT 'last evidence in the bucket',
    layer              LowCardinality(String) COMMENT 'network, ipc or trace',
    source             LowCardinality(String),
    target             LowCardinality(String),
    protocol           LowCardinality(String),
    view               UInt8 COMMENT '0: in both views, 1: only resolved, 2: only hops',
    reporter           UInt8 COMMENT 'which end measured: 0 not said, 1 source, 2 target',
    via                LowCardinality(String) COMMENT 'service ids of intermediaries, joined by U+001F',
    source_kind        LowCardinality(String),
    target_kind        LowCardinality(String),
    calls              Int64 COMMENT 'may be negative: a correction of what was written before',
    errors             Int64,
    connections        Int64,
    failed_connections Int64,
    bytes_sent         Int64,
    bytes_received     Int64,
    retransmits        Int64,
    latency_us_sum     Int64,
    latency_count      Int64,
    rtt_us_sum         Int64,
    rtt_count          Int64,
    latency            Map(UInt8, Int64) COMMENT 'logarithmic bucket → calls, see latency.py',
    source_attributes  Map(String, String),
    target_attributes  Map(String, String)
)
ENGINE = Null;
