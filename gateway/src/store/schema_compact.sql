-- The journal, compact: what a chunk has in common with its whole lane is written once, in `lane`. What reads the
-- journal with its names reads the view of the old name.

CREATE TABLE lane (
    lane_id         INTEGER PRIMARY KEY,
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    spool_id        BLOB    NOT NULL,
    lane            TEXT    NOT NULL CHECK (lane IN ('evidence', 'event', 'telemetry')),
    dropped_through INTEGER NOT NULL DEFAULT 0, -- no sequence above this was ever dropped by retention
    dropped_records INTEGER NOT NULL DEFAULT 0, -- how many records retention dropped
    UNIQUE (fleet_id, device_id, spool_id, lane)
);

-- Chunks exactly as they arrived. Rows are never changed except for `contested`; only retention deletes any.
CREATE TABLE chunk (
    position        INTEGER PRIMARY KEY AUTOINCREMENT,
    lane_id         INTEGER NOT NULL REFERENCES lane (lane_id),
    first_sequence  INTEGER NOT NULL CHECK (first_sequence >= 1),
    more            INTEGER NOT NULL CHECK (more >= 0), -- sequences after the first
    checksum        INTEGER NOT NULL,
    loss            INTEGER NOT NULL,           -- 0: none; why something is missing: 1 evicted, 2 refused, 3 quarantined,
                                                -- 4 damaged (these four hold no records), 5 thinned (holds some)
    lost            INTEGER,                    -- records missing; absent when none are
    history         INTEGER NOT NULL,           -- 1: newer records of the lane were handed over before these
    first_event_time INTEGER,                   -- of the records inside; absent for a gap
    span_ms         INTEGER,                    -- from the first to the last event time
    age_ms          INTEGER,                    -- age of the oldest record at receipt, by the device's monotonic clock
    seal            INTEGER NOT NULL,           -- 0 none, 1 ok, 2 broken, 3 absent
    chain_begin     BLOB,                       -- evidence: prev_hash of the first record
    chain_end       BLOB,                       -- evidence: digest of the last record
    contested       INTEGER NOT NULL DEFAULT 0, -- 1: another chunk claims some of the same sequences differently
    received_at     INTEGER NOT NULL,
    body            BLOB    NOT NULL
);

INSERT INTO lane (fleet_id, device_id, spool_id, lane)
    SELECT DISTINCT fleet_id, device_id, spool_id, lane FROM journal ORDER BY fleet_id, device_id, spool_id, lane;

-- A gap's body is a postcard enum: its second byte is the reason.
INSERT INTO chunk
    SELECT j.position, l.lane_id, j.first_sequence, j.last_sequence - j.first_sequence, j.checksum,
        CASE WHEN j.gap = 0 THEN 0
            ELSE CASE hex(substr(j.body, 2, 1)) WHEN '00' THEN 1 WHEN '01' THEN 2 WHEN '02' THEN 3 ELSE 4 END END,
        CASE WHEN j.gap = 0 THEN NULL ELSE j.last_sequence - j.first_sequence + 1 END,
        j.history, j.first_event_time, j.last_event_time - j.first_event_time, j.age_ms,
        CASE j.seal WHEN 'none' THEN 0 WHEN 'ok' THEN 1 WHEN 'broken' THEN 2 ELSE 3 END, j.chain_begin, j.chain_end, j.contested, j.received_at, j.body
    FROM journal j JOIN lane l USING (fleet_id, device_id, spool_id, lane) ORDER BY j.position;

DROP TABLE journal;

CREATE INDEX chunk_sequence ON chunk (lane_id, first_sequence);
CREATE INDEX chunk_loss ON chunk (lane_id, position) WHERE loss <> 0;
CREATE INDEX chunk_contested ON chunk (lane_id) WHERE contested <> 0;

CREATE VIEW journal AS
    SELECT c.position, l.fleet_id, l.device_id, l.spool_id, l.lane, c.first_sequence,
        c.first_sequence + c.more AS last_sequence, c.checksum, c.loss BETWEEN 1 AND 4 AS gap, c.loss, c.lost, c.history,
        c.first_event_time, c.first_event_time + c.span_ms AS last_event_time, c.age_ms, c.seal, c.chain_begin,
        c.chain_end, c.contested, c.received_at, c.body
    FROM chunk c JOIN lane l USING (lane_id);

-- What retention gave up of a vehicle: everything up to `floor_time` is folded into `state` and is not folded again.
CREATE TABLE fold_floor (
    fleet_id        TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    floor_time      INTEGER NOT NULL,           -- event time
    state           BLOB    NOT NULL,           -- the engine's state at it, in postcard
    raised_at       INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, vehicle_id)
) WITHOUT ROWID;
