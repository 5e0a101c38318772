-- Which claims are heartbeats (their end is assumed, and gives way to what is heard of others), and in which order claims
-- became known: flows are attributed anew by what is learnt, exactly once, also over a crash.
-- Change: new columns, one of them in the sorting key. Safe to run again: yes. Rewrites data: no.
ALTER TABLE identities {on_cluster}
    ADD COLUMN IF NOT EXISTS heartbeat UInt8 COMMENT '1: valid_to is assumed' AFTER valid_to,
    ADD COLUMN IF NOT EXISTS batch UInt64 COMMENT 'the batch that wrote this row, Unix nanoseconds' AFTER attributes,
    MODIFY ORDER BY (address, port, service, kind, valid_from, batch);
