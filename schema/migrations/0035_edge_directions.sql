-- How the direction of an edge that flows made was known at best, over all history: one row an edge, whatever its age.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS edge_directions {on_cluster}
(
    source    LowCardinality(String),
    target    LowCardinality(String),
    protocol  LowCardinality(String),
    direction SimpleAggregateFunction(max, UInt8) COMMENT 'caller and callee known by 0: order alone, 1: ports, 2: SYN'
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (source, target, protocol)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024;
