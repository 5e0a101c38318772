-- Last values of the counters of scraped endpoints, so that a restarted collector goes on where the last one was.
-- A round's values and the observations made of them are one insert: what was made, but not seen to be stored, is
-- stored again by the next process under the same tokens.
-- Change: new table. Safe to run again: yes. Rewrites data: no.
CREATE TABLE IF NOT EXISTS metric_counters {on_cluster}
(
    series  String COMMENT 'digest of name and labels; or what else is remembered: see counterstate.py',
    round   UInt64 COMMENT 'when it was written, Unix milliseconds; the latest wins',
    value   Float64 COMMENT 'NaN: the series ended',
    time    Int64 COMMENT 'of the last sample, Unix milliseconds',
    created Int64 COMMENT 'when the counter began, Unix milliseconds; the lowest number: not known',
    body    String COMMENT 'observations under way, as an Arrow stream' CODEC(ZSTD(1))
)
ENGINE = {replicated}ReplacingMergeTree(round)
ORDER BY series
SETTINGS {deduplication_window} = 10000;
