-- From version 1 to 2.

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
