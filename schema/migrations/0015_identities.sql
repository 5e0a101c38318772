-- Who owned an address from when to when.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS identities {on_cluster}
(
    address    String COMMENT 'IP address, CIDR or host name',
    port       UInt16 COMMENT '0: any',
    service    String COMMENT 'service id',
    kind       LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC'),
    attributes Map(String, String)
)
ENGINE = {replicated}ReplacingMergeTree(valid_to)
ORDER BY (address, port, service, kind, valid_from)
SETTINGS {deduplication_window} = 10000;
