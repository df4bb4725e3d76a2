-- The gateway's tables. Every key begins with fleet_id. Times are milliseconds since the Unix epoch, UTC; lanes and
-- states are the words of the design; blobs named *_id are the 16 raw bytes of a random id (`hex()` reads them).

-- Custody: what devices handed over ---------------------------------------------------------------------------------

-- Chunks exactly as they arrived. Rows are never changed except for `contested`, and never deleted.
CREATE TABLE journal (
    position        INTEGER PRIMARY KEY AUTOINCREMENT,
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    spool_id        BLOB    NOT NULL,
    lane            TEXT    NOT NULL CHECK (lane IN ('evidence', 'event', 'telemetry')),
    first_sequence  INTEGER NOT NULL CHECK (first_sequence >= 1),
    last_sequence   INTEGER NOT NULL CHECK (last_sequence >= first_sequence),
    checksum        INTEGER NOT NULL,
    boot_id         BLOB,                       -- absent for a gap
    gap             INTEGER NOT NULL,           -- 1: counted loss, holds no records
    history         INTEGER NOT NULL,           -- 1: newer records of the lane were handed over before these
    first_event_time INTEGER,                   -- of the records inside; absent for a gap
    last_event_time  INTEGER,
    age_ms          INTEGER,                    -- age of the oldest record at receipt, by the device's monotonic clock
    seal            TEXT    NOT NULL CHECK (seal IN ('none', 'ok', 'broken', 'absent')),
    chain_begin     BLOB,                       -- evidence: prev_hash of the first record
    chain_end       BLOB,                       -- evidence: digest of the last record
    contested       INTEGER NOT NULL DEFAULT 0, -- 1: another chunk claims some of the same sequences differently
    received_at     INTEGER NOT NULL,
    body            BLOB    NOT NULL
);
CREATE UNIQUE INDEX journal_chunk ON journal (fleet_id, device_id, spool_id, lane, first_sequence, last_sequence, checksum);
CREATE INDEX journal_fleet ON journal (fleet_id, position);
CREATE INDEX journal_device_time ON journal (fleet_id, device_id, last_event_time);

-- The sequences durably held, merged: one row per run without holes.
CREATE TABLE lane_range (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    spool_id        BLOB    NOT NULL,
    lane            TEXT    NOT NULL,
    first_sequence  INTEGER NOT NULL,
    last_sequence   INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, device_id, spool_id, lane, first_sequence)
) WITHOUT ROWID;

CREATE TABLE spool (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    spool_id        BLOB    NOT NULL,
    open            INTEGER NOT NULL,           -- 1: the spool its device wrote to when last heard
    low_water_mark  INTEGER,                    -- absent: not known
    mark_change     INTEGER NOT NULL,           -- rises fleet-wide whenever a mark moves; the projector follows it
    agent_version   TEXT    NOT NULL,
    boot_id         BLOB    NOT NULL,
    first_seen_at   INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, device_id, spool_id)
) WITHOUT ROWID;
CREATE INDEX spool_mark_change ON spool (fleet_id, mark_change);

CREATE TABLE blob (
    fleet_id        TEXT    NOT NULL,
    sha256          BLOB    NOT NULL,
    size            INTEGER NOT NULL,
    held            INTEGER NOT NULL,           -- bytes held from the start
    complete        INTEGER NOT NULL,           -- 1: all bytes durable and the hash verified
    device_id       TEXT    NOT NULL,           -- who began it
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, sha256)
) WITHOUT ROWID;

CREATE TABLE blob_part (
    fleet_id        TEXT    NOT NULL,
    sha256          BLOB    NOT NULL,
    at_byte         INTEGER NOT NULL,
    bytes           BLOB    NOT NULL,
    PRIMARY KEY (fleet_id, sha256, at_byte)
);

-- Who and what there is --------------------------------------------------------------------------------------------

CREATE TABLE device (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('known', 'revoked')),
    added_at        INTEGER NOT NULL,
    first_seen_at   INTEGER,
    last_seen_at    INTEGER,
    PRIMARY KEY (fleet_id, device_id)
) WITHOUT ROWID;

-- Every key that the fleet's CA has certified for a device and that was seen: evidence may be older than the certificate.
CREATE TABLE device_key (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    public_key      BLOB    NOT NULL,
    first_seen_at   INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, device_id, public_key)
) WITHOUT ROWID;

CREATE TABLE vehicle (
    fleet_id        TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    license_plate   TEXT,
    odoo_vehicle_id INTEGER,
    PRIMARY KEY (fleet_id, vehicle_id)
) WITHOUT ROWID;

-- A device serves a vehicle, or a site, from (inclusive) to (exclusive) in event time.
CREATE TABLE assignment (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    valid_from      INTEGER NOT NULL,           -- the least time there is, when it has always been so
    valid_to        INTEGER,                    -- absent: until further notice
    vehicle_id      TEXT,
    site_id         TEXT,
    PRIMARY KEY (fleet_id, device_id, valid_from),
    CHECK ((vehicle_id IS NULL) <> (site_id IS NULL))
) WITHOUT ROWID;
CREATE INDEX assignment_vehicle ON assignment (fleet_id, vehicle_id);

-- The planned work -------------------------------------------------------------------------------------------------

CREATE TABLE trip (
    fleet_id        TEXT    NOT NULL,
    trip_id         TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    starts_at       INTEGER,                    -- earliest agreed time of its stops
    plan            TEXT    NOT NULL,           -- the Trip as JSON, as sent to the vehicle
    sha256          BLOB    NOT NULL,           -- of `plan`
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, trip_id)
) WITHOUT ROWID;
CREATE INDEX trip_vehicle ON trip (fleet_id, vehicle_id, state);

CREATE TABLE stop (
    fleet_id        TEXT    NOT NULL,
    trip_id         TEXT    NOT NULL,
    stop_id         TEXT    NOT NULL,
    position        INTEGER NOT NULL,           -- place in the trip, from 1
    kind            TEXT    NOT NULL CHECK (kind IN ('pickup', 'delivery', 'depot')),
    shipment_id     TEXT,
    name            TEXT,
    address         TEXT,
    lat             REAL    NOT NULL,
    lon             REAL    NOT NULL,
    window_from     INTEGER,
    window_to       INTEGER,
    PRIMARY KEY (fleet_id, trip_id, stop_id)
) WITHOUT ROWID;
CREATE INDEX stop_shipment ON stop (fleet_id, shipment_id);

CREATE TABLE shipment (
    fleet_id        TEXT    NOT NULL,
    shipment_id     TEXT    NOT NULL,
    reference       TEXT,                       -- what people call it (WH/OUT/00042)
    odoo_picking_id INTEGER,
    odoo_sale_id    INTEGER,
    partner         TEXT,
    state           TEXT    NOT NULL,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, shipment_id)
) WITHOUT ROWID;

-- The newest version of each thing a device should hold.
CREATE TABLE down_link (
    fleet_id        TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    item_id         TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    sha256          BLOB    NOT NULL,
    body            BLOB    NOT NULL,
    changed_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, device_id, item_id)
) WITHOUT ROWID;

-- Where reading orders from Odoo goes on.
CREATE TABLE order_cursor (
    fleet_id        TEXT    NOT NULL PRIMARY KEY,
    cursor          TEXT    NOT NULL            -- JSON of the connector
) WITHOUT ROWID;

-- What follows from it: moved by the projector in one transaction ------------------------------------------------------

CREATE TABLE cursor (
    fleet_id        TEXT    NOT NULL PRIMARY KEY,
    position        INTEGER NOT NULL,           -- journal rows up to here are folded
    mark_change     INTEGER NOT NULL,           -- spool marks up to this change are applied
    rules           TEXT    NOT NULL            -- the rules everything was folded with
) WITHOUT ROWID;

-- Vehicles to fold again from the journal: a plan or an assignment changed.
CREATE TABLE refold_due (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    fleet_id        TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    why             TEXT    NOT NULL
);

CREATE TABLE vehicle_state (
    fleet_id        TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    state           BLOB    NOT NULL,           -- the engine's state, in postcard
    head_time       INTEGER,                    -- event time of the last fact applied
    low_water_mark  INTEGER,
    lat             REAL,                       -- last known place, for the board
    lon             REAL,
    position_time   INTEGER,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, vehicle_id)
) WITHOUT ROWID;

-- Milestones as they stand now.
CREATE TABLE milestone (
    fleet_id        TEXT    NOT NULL,
    milestone_id    TEXT    NOT NULL,
    vehicle_id      TEXT    NOT NULL,
    revision        INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    trip_id         TEXT    NOT NULL,
    stop_id         TEXT,
    shipment_id     TEXT,
    visit_no        INTEGER NOT NULL,
    event_time      INTEGER NOT NULL,           -- when it happened
    known_at        INTEGER NOT NULL,           -- when this revision became known
    body            TEXT    NOT NULL,           -- the Milestone as JSON
    PRIMARY KEY (fleet_id, milestone_id)
) WITHOUT ROWID;
CREATE INDEX milestone_vehicle ON milestone (fleet_id, vehicle_id, event_time);
CREATE INDEX milestone_shipment ON milestone (fleet_id, shipment_id, event_time);
CREATE INDEX milestone_known ON milestone (fleet_id, known_at);

-- Every revision that ever stood: what happened when, and what was known when.
CREATE TABLE milestone_history (
    fleet_id        TEXT    NOT NULL,
    milestone_id    TEXT    NOT NULL,
    revision        INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    event_time      INTEGER NOT NULL,
    known_at        INTEGER NOT NULL,
    body            TEXT    NOT NULL,
    PRIMARY KEY (fleet_id, milestone_id, revision)
) WITHOUT ROWID;

CREATE TABLE outbox (
    position        INTEGER PRIMARY KEY AUTOINCREMENT,
    fleet_id        TEXT    NOT NULL,
    effect_key      TEXT    NOT NULL,
    shipment_id     TEXT    NOT NULL,
    body            TEXT    NOT NULL,           -- the Effect as JSON
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'sending', 'unknown', 'done', 'parked')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_at         INTEGER NOT NULL,           -- not before
    sending_since   INTEGER,                    -- when the last attempt began
    reference       TEXT,                       -- where it can be seen once done (Odoo `model,id`)
    why             TEXT,                       -- what was in the way last
    created_at      INTEGER NOT NULL,
    settled_at      INTEGER,                    -- when it became done or parked
    UNIQUE (fleet_id, effect_key)
);
CREATE INDEX outbox_open ON outbox (fleet_id, state, next_at) WHERE state <> 'done';
CREATE INDEX outbox_shipment ON outbox (fleet_id, shipment_id, position);

-- Something a person must decide or should know. The same trouble opens one case, however often it is met.
CREATE TABLE exception_case (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    fleet_id        TEXT    NOT NULL,
    case_key        TEXT    NOT NULL,
    kind            TEXT    NOT NULL,           -- conflict, seal_broken, refused, parked_effect, unassigned, …
    subject         TEXT    NOT NULL,           -- what it is about: a device, a shipment, an effect key
    detail          TEXT    NOT NULL,           -- a sentence with its mend
    opened_at       INTEGER NOT NULL,
    last_met_at     INTEGER NOT NULL,
    times_met       INTEGER NOT NULL DEFAULT 1,
    closed_at       INTEGER,
    closed_by       TEXT,
    UNIQUE (fleet_id, case_key)
);
CREATE INDEX exception_case_open ON exception_case (fleet_id, closed_at, opened_at);

-- Who may look -----------------------------------------------------------------------------------------------------

CREATE TABLE user (
    fleet_id        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    password_hash   TEXT    NOT NULL,           -- argon2
    role            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (fleet_id, name)
) WITHOUT ROWID;

CREATE TABLE session (
    token_hash      BLOB    NOT NULL PRIMARY KEY,
    fleet_id        TEXT    NOT NULL,
    user_name       TEXT    NOT NULL,
    expires_at      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE api_key (
    key_hash        BLOB    NOT NULL PRIMARY KEY,
    fleet_id        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    scopes          TEXT    NOT NULL,           -- separated by spaces
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    UNIQUE (fleet_id, name)
) WITHOUT ROWID;
