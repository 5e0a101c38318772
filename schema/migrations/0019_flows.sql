-- Flow records as agents sent them, one row a record and ten seconds: kept so that what is learnt later of an address's
-- owner, or of the other end of a connection, still reaches the edges.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS flows {on_cluster}
(
    time               DateTime('UTC') COMMENT 'start of the 10-second bucket' CODEC(Delta, LZ4),
    start              DateTime64(3, 'UTC') COMMENT 'start of the record: whose address it was is asked for then',
    first_at           DateTime64(3, 'UTC') COMMENT 'first instant of the record in the bucket',
    last_at            DateTime64(3, 'UTC'),
    client             LowCardinality(String) COMMENT 'address',
    server             LowCardinality(String) COMMENT 'address; behind NAT the real one, when it is known',
    client_port        UInt16 COMMENT '0: several connections are summed',
    server_port        UInt16,
    transport          UInt8 COMMENT '0: TCP, 1: UDP',
    observer           UInt8 COMMENT 'seen on the host of 1: the client, 2: the server',
    direction          UInt8 COMMENT 'roles are known by 0: the order alone, 1: ports, 2: who sent SYN',
    own                LowCardinality(String) COMMENT 'service id of the observing side, as its agent says',
    instance           LowCardinality(String),
    host               LowCardinality(String),
    active             UInt32,
    connections        Int64 CODEC(T64, LZ4),
    failed_connections Int64 CODEC(T64, LZ4),
    bytes_sent         Int64 CODEC(T64, LZ4),
    bytes_received     Int64 CODEC(T64, LZ4),
    retransmits        Int64 CODEC(T64, LZ4),
    rtt_us_sum         Int64 CODEC(T64, LZ4),
    rtt_count          Int64 CODEC(T64, LZ4),
    request            UInt64 COMMENT 'digest of the request, by which a repeated one is known; 0: it had no key',
    batch              UInt64 COMMENT 'the batch that wrote this row',
    received_at        DateTime('UTC') CODEC(Delta, LZ4)
)
ENGINE = {replicated}MergeTree
PARTITION BY toDate(received_at)
ORDER BY (time, client)
SETTINGS {deduplication_window} = 10000;
