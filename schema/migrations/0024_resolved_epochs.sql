-- Which ten minutes were resolved, when, and by which declarations.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS resolved_epochs {on_cluster}
(
    epoch       DateTime('UTC') COMMENT 'start of ten minutes',
    resolved_at DateTime64(3, 'UTC') COMMENT 'all evidence that had come by then was used',
    declared    String COMMENT 'digest of the intermediaries known then'
)
ENGINE = {replicated}ReplacingMergeTree(resolved_at)
ORDER BY epoch
SETTINGS {deduplication_window} = 10000;
