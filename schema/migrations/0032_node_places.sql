-- Where each node of the drawn graph is, in drawing units; `grouping` is the attribute that made it, empty for a service.
-- A new generation is a new drawing of everything; within one a place is given once.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS node_places {on_cluster}
(
    grouping   LowCardinality(String),
    node       String,
    generation UInt32,
    x          Float32,
    y          Float32,
    placed_at  DateTime64(3, 'UTC')
)
ENGINE = {replicated}MergeTree
ORDER BY (grouping, generation, node)
SETTINGS {deduplication_window} = 10000;
