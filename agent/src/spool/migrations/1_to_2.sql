-- Chunks of version 1 count as late, whatever their times: no row has to be rewritten, and they leave with their receipts.
DROP INDEX chunk_by_event_time;
ALTER TABLE chunk ADD COLUMN late INTEGER NOT NULL DEFAULT 1;
ALTER TABLE chunk ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX late_chunk ON chunk (oldest_event_ms) WHERE late;
ALTER TABLE lane ADD COLUMN latest_event_ms INTEGER NOT NULL DEFAULT -9223372036854775808;
-- 9223372036854775807 marks a gap, in which nothing happened.
UPDATE lane SET latest_event_ms = coalesce(
    (SELECT max(oldest_event_ms) FROM chunk
     WHERE id >= lane.lane << 56 AND id < (lane.lane + 1) << 56 AND oldest_event_ms < 9223372036854775807),
    latest_event_ms);
