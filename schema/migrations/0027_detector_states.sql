-- How far the detection of events has come, and what it knew there: where it goes on after a restart.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS detector_states {on_cluster}
(
    slot       UInt8 COMMENT 'always 0: the newest state is the one that counts',
    saved_at   DateTime64(3, 'UTC'),
    arrived_at DateTime64(3, 'UTC') COMMENT 'evidence that came before this is in the state',
    version    UInt32 COMMENT 'of the form of the state',
    position   DateTime('UTC') COMMENT 'evidence before this time of the data is in the state',
    state      String CODEC(NONE)
)
ENGINE = {replicated}ReplacingMergeTree(saved_at)
ORDER BY slot
SETTINGS {deduplication_window} = 10000;
