-- From version 2 to 3.

ALTER TABLE blob ADD COLUMN hash_state BLOB;

-- Chunks that no gateway takes, kept for whoever finds out why; a gap stands in 'chunk' for each. Ids as there.
CREATE TABLE poison (
    id              INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    set_aside_ms    INTEGER NOT NULL,
    why             TEXT    NOT NULL,
    body            BLOB    NOT NULL
);
