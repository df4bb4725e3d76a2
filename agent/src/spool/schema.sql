-- The spool, schema version 3. Times are milliseconds since the Unix epoch.

-- What is true of the file as a whole: 'spool_id'; 'chain_head', the digest of the last evidence record; after a farewell
-- 'offered', what had been offered to the gateway until then; and 'doubtful_commits', how many failed and might have turned up.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row per lane. Sequences must survive an emptied spool, and how much waits must be known without counting.
-- 'latest_event_ms' is the greatest oldest_event_ms that any chunk of the lane ever had.
CREATE TABLE lane (
    lane            INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    waiting_records INTEGER NOT NULL,
    waiting_bytes   INTEGER NOT NULL,
    latest_event_ms INTEGER NOT NULL
);

-- Sealed chunks. The id is lane << 56 | first sequence, so that one b-tree keeps each lane in order. 'late' is 1 for a
-- chunk whose oldest event lies before the oldest event of a chunk before it in its lane. 'thinned' counts how often it was.
CREATE TABLE chunk (
    id              INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    oldest_event_ms INTEGER NOT NULL,
    late            INTEGER NOT NULL,
    thinned         INTEGER NOT NULL,
    body            BLOB NOT NULL
);
-- Chunks that are not late are in the order of their event times by their ids: only the late ones, which are few, cost a
-- page of an index with their commit.
CREATE INDEX late_chunk ON chunk (oldest_event_ms) WHERE late;

-- Driver captures already accepted, so that one sent twice is stored once.
CREATE TABLE capture (
    reference TEXT PRIMARY KEY,
    digest    BLOB NOT NULL,
    sequence  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX capture_by_sequence ON capture (sequence);

-- Photos and signatures on their way. 'held' counts the bytes from the start without a hole, 'hash_state' is the SHA-256 of
-- these so far.
CREATE TABLE blob (
    sha256     BLOB PRIMARY KEY,
    held       INTEGER NOT NULL,
    complete   INTEGER NOT NULL,
    hash_state BLOB
) WITHOUT ROWID;
CREATE TABLE blob_part (
    sha256 BLOB NOT NULL,
    start  INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (sha256, start)
);

-- What the gateway sent down, latest version of each item.
CREATE TABLE down_link (
    id      TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    body    BLOB NOT NULL
) WITHOUT ROWID;

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

-- Chunks that no gateway takes, kept for whoever finds out why; a gap stands in 'chunk' for each. Ids as there.
CREATE TABLE poison (
    id              INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    set_aside_ms    INTEGER NOT NULL,
    why             TEXT    NOT NULL,
    body            BLOB    NOT NULL
);
