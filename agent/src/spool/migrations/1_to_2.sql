-- Chunks of version 1 count as late, whatever their times: no row has to be rewritten, and they leave with their receipts.
DROP INDEX chunk_by_event_time;
ALTER TABLE chunk ADD COLUMN late INTEGER NOT NULL DEFAULT 1;
ALTER TABLE chunk ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX late_chunk ON chunk (oldest_event_ms) WHERE late;
ALTER TABLE lane ADD COLUMN latest_event_ms INTEGER NOT NULL DEFAULT -9223372036854775808;
-- 253402200000000 marks a gap, in which nothing happened.
UPDATE lane SET latest_event_ms = coalesce(
    (SELECT max(oldest_event_ms) FROM chunk
     WHERE id >= lane.lane << 56 AND id < (lane.lane + 1) << 56 AND oldest_event_ms < 253402200000000),
    latest_event_ms);
-- Chunks of earlier spool files that were damaged, under their own spool's id; ids as in 'chunk'.
CREATE TABLE salvaged (
    spool_id        BLOB    NOT NULL,
    id              INTEGER NOT NULL,
    last_sequence   INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    oldest_event_ms INTEGER NOT NULL,
    body            BLOB    NOT NULL,
    PRIMARY KEY (spool_id, id)
);
CREATE INDEX salvaged_by_event_time ON salvaged (oldest_event_ms);
