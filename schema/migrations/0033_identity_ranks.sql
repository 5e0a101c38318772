-- How far a claim is trusted: agents and orchestrators before resources of OpenTelemetry.
-- Change: new column. Safe to run again: yes. Rewrites data: no.
ALTER TABLE identities {on_cluster}
    ADD COLUMN IF NOT EXISTS rank UInt8 COMMENT '0: said of the address itself; 1: by a resource of OpenTelemetry' AFTER heartbeat;
