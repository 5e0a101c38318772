-- The one order in which batches of flows and of claims count, when several servers write to one store: whoever inserts
-- a position first has it, for an insert under the token of a position that is taken inserts nothing.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS flow_batches {on_cluster}
(
    position   UInt64 COMMENT 'from 1, without gaps' CODEC(Delta, ZSTD(1)),
    kind       UInt8 COMMENT '0: all batches up to this one came before, 1: flows, 2: claims, 3: the observations of this position are written',
    batch      UInt64 COMMENT 'as in flows and identities' CODEC(Delta, ZSTD(1)),
    writer     LowCardinality(String),
    written_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    INDEX batches batch TYPE minmax
)
ENGINE = {replicated}MergeTree
ORDER BY position
SETTINGS {deduplication_window} = 10000;
