-- What became of the notices that receivers are owed: with the alerts, the outbox of the delivery.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS notifications {on_cluster}
(
    receiver LowCardinality(String),
    id       String COMMENT 'of alert, beginning and status; empty: since when the receiver is known',
    outcome  Enum8('known' = 0, 'delivered' = 1, 'dropped' = 2),
    at       DateTime64(3, 'UTC') COMMENT 'by the clock'
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (receiver, id)
SETTINGS {deduplication_window} = 10000;
