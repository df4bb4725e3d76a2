//! What is held of a device, what is missing, and what is lost and why.
//!
//! Promise: every sequence up to the highest one heard of is either held, missing, or reported as lost under one reason,
//! and the answer says which, of one fleet only. An answer is bounded: at most [`SPOOLS_MAX`] spools, [`RANGES_MAX`]
//! ranges of a kind and [`LOSSES_PER_PAGE_MAX`] losses; where something is left out, a count says so, and losses go on
//! on the next page.

use milepost_proto::{DeviceId, FleetId, Lane, SequenceRange, Sha256, SpoolId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::column::{self, count, name, time, whole};
use super::loss::LossReason;
use super::{StoreFault, StoreResult};

/// Most spools of a device in an answer, the last heard ones.
pub const SPOOLS_MAX: u32 = 16;
/// Most ranges of a kind of one lane in an answer, the lowest ones.
pub const RANGES_MAX: usize = 64;
/// Most losses in one answer.
pub const LOSSES_PER_PAGE_MAX: u32 = 200;
/// Most unfinished blobs in an answer, the oldest ones.
pub const BLOBS_MAX: u32 = 64;

/// Custody of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceCustody {
    /// Which device.
    pub device_id: String,
    /// `known` or `revoked`.
    pub state: String,
    /// When it was last heard; absent: never.
    pub last_seen_at: Option<Timestamp>,
    /// Its spools, the last heard first.
    pub spools: Vec<SpoolCustody>,
    /// How many spools there are, those not shown too.
    pub spools_in_all: u64,
    /// Its photos and signatures.
    pub blobs: BlobCustody,
    /// What it reports as lost, in order of arrival, from where the question said.
    pub losses: Vec<LossRow>,
    /// Where to go on reading losses (`after`); absent on the last page.
    pub next: Option<u64>,
}

/// Custody of one spool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpoolCustody {
    /// The spool.
    pub spool_id: String,
    /// Whether its device wrote to it when last heard.
    pub open: bool,
    /// Nothing that is not handed over happened before this; absent: not known.
    pub low_water_mark: Option<Timestamp>,
    /// The agent's version when last heard.
    pub agent_version: String,
    /// When it was first heard of.
    pub first_seen_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// Its lanes, most urgent first; a lane of which nothing came is not there.
    pub lanes: Vec<LaneCustody>,
}

/// Custody of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneCustody {
    /// The lane's word.
    pub lane: &'static str,
    /// Every sequence up to this one is held or reported as lost.
    pub through: u64,
    /// The highest sequence held.
    pub highest: u64,
    /// Ranges held above `through`, as `[first, last]`, the lowest ones.
    pub above: Vec<SequenceRange>,
    /// Holes below `highest`, as `[first, last]`, the lowest ones.
    pub missing: Vec<SequenceRange>,
    /// Sequences in all holes.
    pub missing_records: u64,
    /// Holes there are, those not shown too.
    pub holes_in_all: u64,
    /// What is reported as lost, by reason.
    pub lost: Vec<LossSum>,
    /// Chunks that another chunk contradicts.
    pub contested_chunks: u64,
    /// Records that were held and that retention dropped.
    pub dropped_records: u64,
}

/// What is reported as lost of a lane for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossSum {
    /// The reason's word.
    pub reason: &'static str,
    /// Reports.
    pub reports: u64,
    /// Records.
    pub records: u64,
}

/// One report of a loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossRow {
    /// Its place in the journal.
    pub position: u64,
    /// The spool.
    pub spool_id: String,
    /// The lane's word.
    pub lane: &'static str,
    /// The reason's word.
    pub reason: &'static str,
    /// The sequences it is about, as `[first, last]`.
    pub range: SequenceRange,
    /// Records lost among them.
    pub records: u64,
    /// When the report arrived.
    pub received_at: Timestamp,
}

/// Photos and signatures of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlobCustody {
    /// How many are complete.
    pub complete: u64,
    /// How many are begun and not complete.
    pub incomplete: u64,
    /// The oldest of those.
    pub waiting: Vec<BlobRow>,
}

/// A blob that is begun and not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlobRow {
    /// Its content address.
    pub sha256: String,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Bytes held from the start.
    pub held_bytes: u64,
    /// When it was begun.
    pub begun_at: Timestamp,
}

/// One line about a lane of the fleet in which something is missing or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetLine {
    /// Which device.
    pub device_id: String,
    /// Which spool.
    pub spool_id: String,
    /// The lane.
    #[serde(flatten)]
    pub lane: LaneCustody,
}

/// Custody of `device_id`, with the losses after journal position `after`; nothing for a device the fleet does not have.
///
/// # Errors
/// When the store fails.
pub fn of_device(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    after: u64,
) -> StoreResult<Option<DeviceCustody>> {
    let (fleet, device) = (fleet_id.as_str(), device_id.as_str());
    let sql = "SELECT state, last_seen_at FROM device WHERE fleet_id = ?1 AND device_id = ?2";
    let found = connection.prepare_cached(sql)?.query_row([fleet, device], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((state, last_seen_at)) = found.optional()? else { return Ok(None) };
    let sql = "SELECT count(*) FROM spool WHERE fleet_id = ?1 AND device_id = ?2";
    let spools_in_all = count(connection.prepare_cached(sql)?.query_row([fleet, device], |row| row.get(0))?);
    let losses = losses(connection, fleet_id, device_id, after)?;
    let next = (losses.len() >= LOSSES_PER_PAGE_MAX as usize).then(|| losses.last().map(|last| last.position));
    Ok(Some(DeviceCustody {
        device_id: device.to_owned(),
        state,
        last_seen_at: time(last_seen_at),
        spools: spools(connection, fleet_id, device_id)?,
        spools_in_all,
        blobs: blobs(connection, fleet_id, device_id)?,
        losses,
        next: next.flatten(),
    }))
}

/// The lanes of the fleet in which something is missing, lost or contested, at most `lines_max`, after the device and
/// spool `after` in the order of their names; and whether there are more.
///
/// # Errors
/// When the store fails.
pub fn troubled_lanes(connection: &Connection, fleet_id: &FleetId, lines_max: usize) -> StoreResult<Vec<FleetLine>> {
    let sql = "SELECT device_id, spool_id, lane, lane_id, dropped_records FROM lane WHERE fleet_id = ?1
        ORDER BY device_id, spool_id, lane";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([fleet_id.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() >= lines_max {
            break;
        }
        let (device_id, spool): (String, [u8; 16]) = (row.get(0)?, row.get(1)?);
        let device: DeviceId = name(&device_id)?;
        let spool_id = SpoolId(spool);
        let lane = read_lane(connection, fleet_id, &device, spool_id, row, 2)?;
        if lane.holes_in_all > 0 || !lane.lost.is_empty() || lane.contested_chunks > 0 {
            found.push(FleetLine { device_id, spool_id: spool_id.to_string(), lane });
        }
    }
    Ok(found)
}

/// A hole in an evidence lane, and since when what lies above it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceHole {
    /// `device/spool/lane`, as cases name it.
    pub subject: String,
    /// The sequences missing.
    pub range: SequenceRange,
    /// When the first chunk above it arrived.
    pub since: Timestamp,
}

/// Holes in the fleet's evidence lanes that have been open since before `before`, at most `holes_max`.
///
/// # Errors
/// When the store fails.
pub fn evidence_holes(
    connection: &Connection,
    fleet_id: &FleetId,
    before: Timestamp,
    holes_max: u32,
) -> StoreResult<Vec<EvidenceHole>> {
    // A hole ends where a held range begins that is not the lane's first sequence; it begins after the range before.
    let sql = "SELECT r.device_id, r.spool_id, coalesce((SELECT max(p.last_sequence) FROM lane_range p
                WHERE p.fleet_id = r.fleet_id AND p.device_id = r.device_id AND p.spool_id = r.spool_id
                    AND p.lane = r.lane AND p.first_sequence < r.first_sequence), 0) + 1,
            r.first_sequence - 1, min(c.received_at)
        FROM lane_range r
        JOIN lane l ON l.fleet_id = r.fleet_id AND l.device_id = r.device_id AND l.spool_id = r.spool_id AND l.lane = r.lane
        JOIN chunk c ON c.lane_id = l.lane_id AND c.first_sequence = r.first_sequence
        WHERE r.fleet_id = ?1 AND r.lane = 'evidence' AND r.first_sequence > 1
        GROUP BY r.device_id, r.spool_id, r.first_sequence HAVING min(c.received_at) < ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), before.as_millis(), holes_max])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let device: String = row.get(0)?;
        let spool_id = SpoolId(row.get(1)?);
        found.push(EvidenceHole {
            subject: format!("{device}/{spool_id}/{}", Lane::Evidence),
            range: range(row, 2)?,
            since: Timestamp::from_millis(row.get(4)?),
        });
    }
    Ok(found)
}

fn spools(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<Vec<SpoolCustody>> {
    let sql = "SELECT spool_id, open, low_water_mark, agent_version, first_seen_at, last_seen_at FROM spool
        WHERE fleet_id = ?1 AND device_id = ?2 ORDER BY last_seen_at DESC, spool_id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), device_id.as_str(), SPOOLS_MAX])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let spool_id = SpoolId(row.get(0)?);
        found.push(SpoolCustody {
            spool_id: spool_id.to_string(),
            open: row.get(1)?,
            low_water_mark: time(row.get(2)?),
            agent_version: row.get(3)?,
            first_seen_at: Timestamp::from_millis(row.get(4)?),
            last_seen_at: Timestamp::from_millis(row.get(5)?),
            lanes: lanes(connection, fleet_id, device_id, spool_id)?,
        });
    }
    Ok(found)
}

fn lanes(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    spool_id: SpoolId,
) -> StoreResult<Vec<LaneCustody>> {
    let sql = "SELECT lane, lane_id, dropped_records FROM lane
        WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), device_id.as_str(), spool_id.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_lane(connection, fleet_id, device_id, spool_id, row, 0)?);
    }
    let place = |lane: &LaneCustody| Lane::ALL.iter().position(|one| one.as_str() == lane.lane);
    found.sort_by_key(place);
    Ok(found)
}

/// The lane whose word, number and dropped records are in `row` from `column` on.
fn read_lane(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    spool_id: SpoolId,
    row: &Row<'_>,
    column: usize,
) -> StoreResult<LaneCustody> {
    let lane = column::lane(row.get_ref(column)?.as_str().unwrap_or_default())?;
    let lane_id: i64 = row.get(column + 1)?;
    let mut custody = LaneCustody {
        lane: lane.as_str(),
        through: 0,
        highest: 0,
        above: Vec::new(),
        missing: Vec::new(),
        missing_records: 0,
        holes_in_all: 0,
        lost: loss_sums(connection, lane_id)?,
        contested_chunks: contested(connection, lane_id)?,
        dropped_records: count(row.get(column + 2)?),
    };
    let sql = "SELECT first_sequence, last_sequence FROM lane_range
        WHERE fleet_id = ?1 AND device_id = ?2 AND spool_id = ?3 AND lane = ?4 ORDER BY first_sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![fleet_id.as_str(), device_id.as_str(), spool_id.0, lane.as_str()])?;
    while let Some(row) = rows.next()? {
        custody.add_held(range(row, 0)?);
    }
    Ok(custody)
}

impl LaneCustody {
    /// Takes the next held range, in order.
    fn add_held(&mut self, held: SequenceRange) {
        if let Ok(hole) = SequenceRange::new(self.highest + 1, held.first() - 1) {
            self.holes_in_all += 1;
            self.missing_records += hole.count();
            if self.missing.len() < RANGES_MAX {
                self.missing.push(hole);
            }
        }
        if held.first() == 1 {
            self.through = held.last();
        } else if self.above.len() < RANGES_MAX {
            self.above.push(held);
        }
        self.highest = held.last();
    }
}

fn loss_sums(connection: &Connection, lane_id: i64) -> StoreResult<Vec<LossSum>> {
    let sql = "SELECT loss, count(*), coalesce(sum(lost), 0) FROM chunk WHERE lane_id = ?1 AND loss <> 0
        GROUP BY loss ORDER BY loss";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([lane_id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(LossSum { reason: reason(row, 0)?, reports: count(row.get(1)?), records: count(row.get(2)?) });
    }
    Ok(found)
}

fn contested(connection: &Connection, lane_id: i64) -> StoreResult<u64> {
    let sql = "SELECT count(*) FROM chunk WHERE lane_id = ?1 AND contested <> 0";
    Ok(count(connection.prepare_cached(sql)?.query_row([lane_id], |row| row.get(0))?))
}

fn losses(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId, after: u64) -> StoreResult<Vec<LossRow>> {
    let sql = "SELECT c.position, l.spool_id, l.lane, c.loss, c.first_sequence, c.first_sequence + c.more, c.lost,
            c.received_at
        FROM lane l CROSS JOIN chunk c USING (lane_id)
        WHERE l.fleet_id = ?1 AND l.device_id = ?2 AND c.loss <> 0 AND c.position > ?3 ORDER BY c.position LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let page = params![fleet_id.as_str(), device_id.as_str(), whole(after), LOSSES_PER_PAGE_MAX];
    let mut rows = statement.query(page)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(LossRow {
            position: count(row.get(0)?),
            spool_id: SpoolId(row.get(1)?).to_string(),
            lane: column::lane(row.get_ref(2)?.as_str().unwrap_or_default())?.as_str(),
            reason: reason(row, 3)?,
            range: range(row, 4)?,
            records: count(row.get(6)?),
            received_at: Timestamp::from_millis(row.get(7)?),
        });
    }
    Ok(found)
}

fn blobs(connection: &Connection, fleet_id: &FleetId, device_id: &DeviceId) -> StoreResult<BlobCustody> {
    let key = params![fleet_id.as_str(), device_id.as_str()];
    let sql = "SELECT coalesce(sum(complete), 0), coalesce(sum(1 - complete), 0) FROM blob
        WHERE fleet_id = ?1 AND device_id = ?2";
    let (complete, incomplete): (i64, i64) =
        connection.prepare_cached(sql)?.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT sha256, size, held, created_at FROM blob
        WHERE fleet_id = ?1 AND device_id = ?2 AND complete = 0 ORDER BY created_at LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![fleet_id.as_str(), device_id.as_str(), BLOBS_MAX], |row| {
        Ok(BlobRow {
            sha256: Sha256(row.get(0)?).to_string(),
            size_bytes: count(row.get(1)?),
            held_bytes: count(row.get(2)?),
            begun_at: Timestamp::from_millis(row.get(3)?),
        })
    })?;
    let waiting = rows.collect::<Result<_, _>>()?;
    Ok(BlobCustody { complete: count(complete), incomplete: count(incomplete), waiting })
}

fn reason(row: &Row<'_>, column: usize) -> StoreResult<&'static str> {
    let code = row.get(column)?;
    let reason = LossReason::of_code(code);
    reason.map(LossReason::as_str).ok_or_else(|| StoreFault::Damaged(format!("{code} is no reason of a loss")))
}

fn range(row: &Row<'_>, column: usize) -> StoreResult<SequenceRange> {
    SequenceRange::new(count(row.get(column)?), count(row.get(column + 1)?))
        .map_err(|error| StoreFault::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_held_ranges_lie_holes() {
        let mut lane = LaneCustody {
            lane: "event",
            through: 0,
            highest: 0,
            above: Vec::new(),
            missing: Vec::new(),
            missing_records: 0,
            holes_in_all: 0,
            lost: Vec::new(),
            contested_chunks: 0,
            dropped_records: 0,
        };
        let range = |first, last| SequenceRange::new(first, last).expect("a range");
        for held in [range(1, 4), range(7, 7), range(10, 12)] {
            lane.add_held(held);
        }
        assert_eq!((lane.through, lane.highest, lane.missing_records), (4, 12, 4));
        assert_eq!(lane.missing, [range(5, 6), range(8, 9)]);
        assert_eq!(lane.above, [range(7, 7), range(10, 12)]);
    }
}
