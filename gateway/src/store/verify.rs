//! `verify`: whether a store still keeps what it promises.
//!
//! Promise: reads and changes nothing; every promise below that does not hold is a finding with its place and a mend, at
//! most [`FINDINGS_MAX`] of each kind. Nothing is taken from what the gateway remembers: bytes are hashed again.

use milepost_proto::chunk::checksum;
use milepost_proto::{Lane, SequenceRange, SequenceRanges, SpoolId};
use rusqlite::Connection;
use sha2::Digest;

use super::column::{self, count};
use super::{StoreFault, StoreResult};

/// Most findings of one kind.
pub const FINDINGS_MAX: usize = 20;

/// What was looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Lanes looked at.
    pub lanes: u64,
    /// Chunks whose bytes were hashed.
    pub chunks: u64,
    /// Complete blobs whose bytes were hashed.
    pub blobs: u64,
    /// What does not hold, each a sentence with its mend.
    pub findings: Vec<String>,
}

/// Looks at everything in the store behind `connection`.
///
/// # Errors
/// When it cannot be read at all.
pub fn verify(connection: &Connection) -> StoreResult<Report> {
    let mut report = Report::default();
    file(connection, &mut report)?;
    lanes(connection, &mut report)?;
    blobs(connection, &mut report)?;
    effects(connection, &mut report)?;
    cursors(connection, &mut report)?;
    Ok(report)
}

fn file(connection: &Connection, report: &mut Report) -> StoreResult<()> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found != "ok" {
            report.findings.push(format!("file: {found}; check the disk and restore the store from a backup"));
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let strays = statement.query_map([], |_| Ok(()))?.count();
    if strays > 0 {
        report.findings.push(format!("file: {strays} chunks belong to no lane; restore the store from a backup"));
    }
    Ok(())
}

/// One chunk as it is checked.
struct Link {
    range: SequenceRange,
    gap: bool,
    contested: bool,
    chain: [Option<[u8; 32]>; 2],
}

struct LaneRow {
    lane_id: i64,
    fleet: String,
    device: String,
    spool: [u8; 16],
    lane: Lane,
    dropped_through: u64,
}

impl LaneRow {
    fn name(&self) -> String {
        format!("{}/{}/{}/{}", self.fleet, self.device, SpoolId(self.spool), self.lane)
    }
}

fn lanes(connection: &Connection, report: &mut Report) -> StoreResult<()> {
    let mut statement = connection
        .prepare("SELECT lane_id, fleet_id, device_id, spool_id, lane, dropped_through FROM lane ORDER BY lane_id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let lane = LaneRow {
            lane_id: row.get(0)?,
            fleet: row.get(1)?,
            device: row.get(2)?,
            spool: row.get(3)?,
            lane: column::lane(row.get_ref(4)?.as_str().unwrap_or_default())?,
            dropped_through: count(row.get(5)?),
        };
        report.lanes += 1;
        check_lane(connection, &lane, report)?;
    }
    Ok(())
}

fn check_lane(connection: &Connection, lane: &LaneRow, report: &mut Report) -> StoreResult<()> {
    let mut found = Findings::new(lane.name());
    let mut held = SequenceRanges::new();
    let mut before: Option<Link> = None;
    let mut statement = connection.prepare_cached(
        "SELECT first_sequence, first_sequence + more, loss BETWEEN 1 AND 4, contested, chain_begin, chain_end,
            checksum, body FROM chunk WHERE lane_id = ?1 ORDER BY first_sequence, position",
    )?;
    let mut rows = statement.query([lane.lane_id])?;
    while let Some(row) = rows.next()? {
        let link = Link {
            range: range(row.get(0)?, row.get(1)?)?,
            gap: row.get(2)?,
            contested: row.get(3)?,
            chain: [row.get(4)?, row.get(5)?],
        };
        report.chunks += 1;
        let sealed: u32 = row.get(6)?;
        if checksum(row.get_ref(7)?.as_blob().unwrap_or_default()) != sealed {
            found.add(format!("the bytes of {} are not those that arrived; restore from a backup", link.range));
        }
        held.insert(link.range);
        if link.gap {
            continue;
        }
        if let Some(before) = &before {
            check_pair(before, &link, &mut found);
        }
        before = Some(link);
    }
    check_ranges(connection, lane, &held, &mut found)?;
    report.findings.append(&mut found.sentences);
    Ok(())
}

/// Two chunks of records that follow each other in the order of their first sequences.
fn check_pair(before: &Link, after: &Link, found: &mut Findings) {
    if after.range.first() <= before.range.last() {
        if !(before.contested && after.contested) {
            found.add(format!(
                "{} and {} claim the same sequences and are not marked as contested; report this defect",
                before.range, after.range
            ));
        }
    } else if after.range.first() == before.range.last() + 1
        && let (Some(end), Some(begin)) = (before.chain[1], after.chain[0])
        && end != begin
    {
        found.add(format!(
            "the hash chain breaks between {} and {}; compare with the device's own spool before relying on these proofs",
            before.range, after.range
        ));
    }
}

/// What is promised as held must be there, or have been dropped by retention; and what is there must be promised.
fn check_ranges(
    connection: &Connection,
    lane: &LaneRow,
    held: &SequenceRanges,
    found: &mut Findings,
) -> StoreResult<()> {
    let mut statement = connection.prepare_cached(
        "SELECT first_sequence, last_sequence FROM lane_range
            WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 ORDER BY first_sequence",
    )?;
    let mut rows = statement.query(rusqlite::params![lane.fleet, lane.device, lane.spool, lane.lane.as_str()])?;
    let mut promised = SequenceRanges::new();
    while let Some(row) = rows.next()? {
        promised.insert(range(row.get(0)?, row.get(1)?)?);
    }
    for there in held.iter().filter(|there| !promised.covers(*there)) {
        found.add(format!("{there} are in the journal but not counted as held; report this defect"));
    }
    let above_dropped = promised
        .iter()
        .filter_map(|range| SequenceRange::new(range.first().max(lane.dropped_through + 1), range.last()).ok());
    for range in above_dropped.filter(|range| !held.covers(*range)) {
        found.add(format!("{range} were promised to the device and are not in the journal; restore from a backup"));
    }
    Ok(())
}

fn blobs(connection: &Connection, report: &mut Report) -> StoreResult<()> {
    let mut statement = connection.prepare("SELECT fleet_id, sha256, size FROM blob WHERE complete = 1")?;
    let mut parts =
        connection.prepare("SELECT bytes FROM blob_part WHERE fleet_id = ?1 AND sha256 = ?2 ORDER BY at_byte")?;
    let mut rows = statement.query([])?;
    let mut found = Findings::new("blobs".to_owned());
    while let Some(row) = rows.next()? {
        let (fleet, sha256, size): (String, [u8; 32], i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (mut hash, mut length) = (sha2::Sha256::new(), 0_u64);
        let mut pieces = parts.query(rusqlite::params![fleet, sha256])?;
        while let Some(piece) = pieces.next()? {
            let bytes = piece.get_ref(0)?.as_blob().unwrap_or_default();
            hash.update(bytes);
            length += bytes.len() as u64;
        }
        report.blobs += 1;
        if <[u8; 32]>::from(hash.finalize()) != sha256 || length != count(size) {
            let name = milepost_proto::Sha256(sha256);
            found.add(format!("{fleet}/{name} no longer hashes to its name; restore from a backup"));
        }
    }
    report.findings.append(&mut found.sentences);
    Ok(())
}

fn effects(connection: &Connection, report: &mut Report) -> StoreResult<()> {
    let sql =
        "SELECT fleet_id, effect_key, count(*) FROM outbox NOT INDEXED GROUP BY 1, 2 HAVING count(*) > 1 LIMIT ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([FINDINGS_MAX as i64])?;
    while let Some(row) = rows.next()? {
        let (fleet, key, times): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        report.findings.push(format!("outbox: effect {fleet}/{key} is owed {times} times; restore from a backup"));
    }
    Ok(())
}

fn cursors(connection: &Connection, report: &mut Report) -> StoreResult<()> {
    let sql =
        "SELECT fleet_id, position, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'chunk'), 0) FROM cursor";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (fleet, position, end): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if position > end {
            report.findings.push(format!(
                "cursor: {fleet} is folded up to {position} but the journal ends at {end}; restore from a backup"
            ));
        }
    }
    Ok(())
}

/// Findings about one thing, and how many more there were than are kept.
struct Findings {
    about: String,
    sentences: Vec<String>,
}

impl Findings {
    const fn new(about: String) -> Self {
        Self { about, sentences: Vec::new() }
    }

    fn add(&mut self, sentence: String) {
        if self.sentences.len() < FINDINGS_MAX {
            self.sentences.push(format!("{}: {sentence}", self.about));
        }
    }
}

fn range(first: i64, last: i64) -> StoreResult<SequenceRange> {
    SequenceRange::new(count(first), count(last)).map_err(|error| StoreFault::Damaged(error.to_string()))
}
