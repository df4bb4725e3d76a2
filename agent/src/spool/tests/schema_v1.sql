-- The spool, schema version 1. Times are milliseconds since the Unix epoch.

-- What is true of the file as a whole: 'spool_id', and 'chain_head', the digest of the last evidence record.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row per lane. Sequences must survive an emptied spool, and how much waits must be known without counting.
CREATE TABLE lane (
    lane            INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    waiting_records INTEGER NOT NULL,
    waiting_bytes   INTEGER NOT NULL
);

-- Sealed chunks. The id is lane << 56 | first sequence, so that one b-tree keeps each lane in order.
CREATE TABLE chunk (
    id              INTEGER PRIMARY KEY,
    last_sequence   INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    oldest_event_ms INTEGER NOT NULL,
    body            BLOB NOT NULL
);
CREATE INDEX chunk_by_event_time ON chunk (oldest_event_ms);

-- Driver captures already accepted, so that one sent twice is stored once.
CREATE TABLE capture (
    reference TEXT PRIMARY KEY,
    digest    BLOB NOT NULL,
    sequence  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX capture_by_sequence ON capture (sequence);

-- Photos and signatures on their way. 'held' counts the bytes from the start without a hole.
CREATE TABLE blob (
    sha256   BLOB PRIMARY KEY,
    held     INTEGER NOT NULL,
    complete INTEGER NOT NULL
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
