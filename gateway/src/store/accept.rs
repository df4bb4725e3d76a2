//! Custody: takes chunks as they arrived and says which sequences are now durable.
//!
//! Promise: once [`accept`] is committed, every chunk it was given is on the disk, opaque and unchanged, and what it
//! answers may be promised in a receipt. The same chunk again changes nothing. Chunks that claim the same sequences
//! differently are all kept and marked as contested, and a case is opened; which copy stands follows from their
//! checksums alone, so it does not matter which came first. What would make a lane too ragged is not kept and not
//! promised: it stays in the device, which may offer it again once it has sent what is missing.

use milepost_proto::chunk::CHUNK_RECORDS_MAX;
use milepost_proto::uplink::{BlobOffer, BlobState};
use milepost_proto::{BootId, DeviceId, DownLinkItem, FleetId, Lane, SequenceRange, Sha256, SpoolId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::case::{self, Trouble, TroubleKind};
use super::column::{count, millis, whole};
use super::lane::{self, LaneId};
use super::lane_range::{self, Held, LaneKey, RANGES_PER_LANE_MAX};
use super::loss::Loss;
use super::{StoreResult, blob, chain, device_key, down_link, retention, spool};

/// One request of a device, checked and ready to be kept.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Whose, by the certificate.
    pub fleet_id: FleetId,
    /// Which device, by the certificate.
    pub device_id: DeviceId,
    /// The public key of its certificate.
    pub public_key: Vec<u8>,
    /// The spool it writes to.
    pub spool_id: SpoolId,
    /// The boot it is in.
    pub boot_id: BootId,
    /// Its software.
    pub agent_version: String,
    /// Nothing it has not handed over happened before this.
    pub low_water_mark: Option<Timestamp>,
    /// The lanes it speaks of; each gets a receipt.
    pub lanes: Vec<Lane>,
    /// The chunks that open.
    pub chunks: Vec<ArrivedChunk>,
    /// What was met while checking them.
    pub troubles: Vec<Trouble>,
    /// Down-link items it holds.
    pub down_link_held: Vec<(String, u64)>,
    /// Blobs it offers.
    pub blob_offers: Vec<BlobOffer>,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// One chunk with what is known of its content.
#[derive(Debug, Clone)]
pub struct ArrivedChunk {
    /// Its lane.
    pub lane: Lane,
    /// Whether newer records went before it.
    pub history: bool,
    /// Its sequences.
    pub range: SequenceRange,
    /// Its checksum.
    pub checksum: u32,
    /// Its bytes.
    pub body: Vec<u8>,
    /// What is inside; absent for a gap.
    pub content: Option<Content>,
    /// What it reports as lost.
    pub loss: Option<Loss>,
}

/// What is inside a chunk of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The boot its records were recorded in.
    pub boot_id: BootId,
    /// The earliest and latest event time inside.
    pub event_times: [Timestamp; 2],
    /// Age of the oldest record when the request was made, milliseconds, where the device's clock can tell.
    pub age_ms: Option<u64>,
    /// Whether the evidence holds.
    pub seal: SealState,
    /// The first record's `prev_hash` and the last record's digest, for evidence that is sealed.
    pub chain: Option<[Sha256; 2]>,
}

/// Whether the evidence of a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealState {
    /// Not in the evidence lane.
    None,
    /// Signed by the device, and an unbroken chain inside the chunk.
    Ok,
    /// A signature or the chain does not hold.
    Broken,
    /// Evidence without a seal.
    Absent,
}

impl SealState {
    /// The state's word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Broken => "broken",
            Self::Absent => "absent",
        }
    }

    /// The state's number in SQL.
    const fn code(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Ok => 1,
            Self::Broken => 2,
            Self::Absent => 3,
        }
    }
}

/// What may be promised once the change is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What is held of each lane the arrival spoke of.
    pub lanes: Vec<(Lane, Held)>,
    /// Down-link items the device should take.
    pub down_link: Vec<DownLinkItem>,
    /// The state of each blob it offered.
    pub blobs: Vec<BlobState>,
    /// How the chunks fared.
    pub tally: Tally,
    /// What was newly reported as lost, by lane.
    pub losses: Vec<(Lane, Loss)>,
}

/// How the chunks of an arrival fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Chunks never seen before.
    pub new: u64,
    /// Records in them.
    pub new_records: u64,
    /// Chunks held already.
    pub duplicate: u64,
    /// Chunks that contradict ones held already.
    pub conflicting: u64,
    /// Chunks that are not kept until holes before them are filled.
    pub held_back: u64,
}

/// Keeps `arrival`.
///
/// # Errors
/// When the store fails; nothing is then kept.
pub fn accept(connection: &Connection, arrival: &Arrival) -> StoreResult<Accepted> {
    let mut kept = Kept::default();
    for chunk in &arrival.chunks {
        keep_chunk(connection, arrival, chunk, &mut kept)?;
    }
    for trouble in &arrival.troubles {
        case::meet(connection, &arrival.fleet_id, trouble, arrival.received_at)?;
    }
    spool::note(connection, arrival)?;
    if arrival.lanes.contains(&Lane::Evidence) {
        let Arrival { fleet_id, device_id, public_key, received_at, .. } = arrival;
        device_key::note(connection, fleet_id, device_id, public_key, *received_at)?;
    }
    let lanes = arrival.lanes.iter().map(|&lane| held_after(connection, arrival, lane)).collect::<StoreResult<_>>()?;
    let Arrival { fleet_id, device_id, down_link_held, received_at, .. } = arrival;
    let down_link = down_link::newer_than(connection, fleet_id, device_id, down_link_held, *received_at)?;
    let offers = arrival.blob_offers.iter();
    let blobs = offers.map(|offer| blob::state(connection, fleet_id, offer.sha256)).collect::<StoreResult<_>>()?;
    Ok(Accepted { lanes, down_link, blobs, tally: kept.tally, losses: kept.losses })
}

/// What became of the chunks so far.
#[derive(Default)]
struct Kept {
    tally: Tally,
    losses: Vec<(Lane, Loss)>,
}

fn held_after(connection: &Connection, arrival: &Arrival, lane: Lane) -> StoreResult<(Lane, Held)> {
    let sent: Vec<SequenceRange> =
        arrival.chunks.iter().filter(|chunk| chunk.lane == lane).map(|chunk| chunk.range).collect();
    Ok((lane, lane_range::held(connection, &lane_key(arrival, lane), &sent)?))
}

fn lane_key(arrival: &Arrival, lane: Lane) -> LaneKey {
    LaneKey {
        fleet_id: arrival.fleet_id.clone(),
        device_id: arrival.device_id.clone(),
        spool_id: arrival.spool_id,
        lane,
    }
}

fn keep_chunk(connection: &Connection, arrival: &Arrival, chunk: &ArrivedChunk, kept: &mut Kept) -> StoreResult<()> {
    let key = lane_key(arrival, chunk.lane);
    let lane_id = lane::find_or_add(connection, &key)?;
    let seen = lane_range::overlaps(connection, &key, chunk.range)?;
    if seen && is_held(connection, lane_id, &key, chunk)? {
        kept.tally.duplicate += 1;
        return Ok(());
    }
    if !lane_range::has_room(connection, &key, chunk.range)? {
        kept.tally.held_back += 1;
        let detail = format!(
            "sequences {} are not kept: {RANGES_PER_LANE_MAX} separate runs of this lane are held already and what lies \
             between them never came. Look at the agent on this device: a sound one sends what is missing",
            chunk.range
        );
        return meet(connection, arrival, &key, TroubleKind::Refused, detail);
    }
    let rivals = if seen && chunk.content.is_some() { contest(connection, lane_id, chunk.range)? } else { 0 };
    insert(connection, arrival, lane_id, chunk, rivals > 0)?;
    lane_range::mark(connection, &key, chunk.range)?;
    check_chain(connection, arrival, lane_id, &key, chunk)?;
    kept.tally.new += 1;
    kept.tally.new_records += chunk.range.count().saturating_sub(chunk.loss.map_or(0, |loss| loss.records));
    if let Some(loss) = chunk.loss {
        kept.losses.push((chunk.lane, loss));
        note_loss(connection, arrival, &key, chunk.range, loss)?;
    }
    if rivals > 0 {
        kept.tally.conflicting += 1;
        let detail = format!(
            "sequences {} arrived again with other content; both copies are kept and the lowest checksum stands. \
             Look whether two devices use one spool or identity",
            chunk.range
        );
        meet(connection, arrival, &key, TroubleKind::Conflict, detail)?;
    }
    Ok(())
}

fn meet(
    connection: &Connection,
    arrival: &Arrival,
    key: &LaneKey,
    kind: TroubleKind,
    detail: String,
) -> StoreResult<()> {
    let trouble = Trouble { kind, subject: key.to_string(), detail };
    case::meet(connection, &arrival.fleet_id, &trouble, arrival.received_at)
}

/// Evidence is never given up by a sound vehicle: that some is lost is for a person to know.
fn note_loss(
    connection: &Connection,
    arrival: &Arrival,
    key: &LaneKey,
    range: SequenceRange,
    loss: Loss,
) -> StoreResult<()> {
    if key.lane != Lane::Evidence {
        return Ok(());
    }
    let detail = format!(
        "{} records of evidence, in sequences {range}, are reported as lost ({}). Ask the driver for what is missing \
         and look at the device's disk; its own spool may still be readable with `milepost-agent spool`",
        loss.records,
        loss.reason.as_str()
    );
    meet(connection, arrival, key, TroubleKind::EvidenceLost, detail)
}

/// Whether this very chunk is held, or was held until retention dropped it.
fn is_held(connection: &Connection, lane_id: LaneId, key: &LaneKey, chunk: &ArrivedChunk) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM chunk WHERE lane_id = ?1 AND first_sequence = ?2 AND more = ?3 AND checksum = ?4";
    let (first, last) = (chunk.range.first(), chunk.range.last());
    let row = params![lane_id.0, whole(first), whole(last - first), chunk.checksum];
    if connection.prepare_cached(sql)?.exists(row)? {
        return Ok(true);
    }
    Ok(retention::was_dropped(connection, lane_id, chunk.range)? && lane_range::covers(connection, key, chunk.range)?)
}

/// Marks the chunks of records that share a sequence with `range`; answers how many there are. Gaps contradict nobody:
/// a record that is held stands whatever a gap says of it.
fn contest(connection: &Connection, lane_id: LaneId, range: SequenceRange) -> StoreResult<usize> {
    let sql = "UPDATE chunk SET contested = 1 WHERE lane_id = ?1 AND loss NOT BETWEEN 1 AND 4
        AND first_sequence BETWEEN ?2 AND ?4 AND first_sequence + more >= ?3";
    let reach = range.first().saturating_sub(CHUNK_RECORDS_MAX as u64);
    let row = params![lane_id.0, whole(reach), whole(range.first()), whole(range.last())];
    Ok(connection.prepare_cached(sql)?.execute(row)?)
}

fn insert(
    connection: &Connection,
    arrival: &Arrival,
    lane_id: LaneId,
    chunk: &ArrivedChunk,
    contested: bool,
) -> StoreResult<()> {
    let sql = "INSERT INTO chunk (lane_id, first_sequence, more, checksum, loss, lost, history, first_event_time,
            span_ms, age_ms, seal, chain_begin, chain_end, contested, received_at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let content = chunk.content.as_ref();
    let [first_time, last_time] = content.map_or([None; 2], |content| content.event_times.map(Some));
    let span_ms = first_time.zip(last_time).map(|(first, last)| last.millis_since(first));
    let chain = content.and_then(|content| content.chain);
    connection.prepare_cached(sql)?.execute(params![
        lane_id.0,
        whole(chunk.range.first()),
        whole(chunk.range.last() - chunk.range.first()),
        chunk.checksum,
        chunk.loss.map_or(0, |loss| loss.reason.code()),
        chunk.loss.map(|loss| whole(loss.records)),
        chunk.history,
        millis(first_time),
        span_ms,
        content.and_then(|content| content.age_ms).map(whole),
        content.map_or(SealState::None, |content| content.seal).code(),
        chain.map(|[begin, _]| begin.0),
        chain.map(|[_, end]| end.0),
        contested,
        arrival.received_at.as_millis(),
        chunk.body
    ])?;
    Ok(())
}

/// Opens a case when the chunk before or after `chunk` is linked to something else than it.
fn check_chain(
    connection: &Connection,
    arrival: &Arrival,
    lane_id: LaneId,
    key: &LaneKey,
    chunk: &ArrivedChunk,
) -> StoreResult<()> {
    let Some(ends) = chunk.content.as_ref().and_then(|content| content.chain) else { return Ok(()) };
    if chain::links_up(connection, lane_id, chunk.range, ends)? {
        return Ok(());
    }
    let detail = format!(
        "the hash chain breaks next to sequences {}: a record was changed, removed or inserted on the device. \
         Compare with the device's own spool before relying on these proofs",
        chunk.range
    );
    meet(connection, arrival, key, TroubleKind::SealBroken, detail)
}

/// The position of the newest chunk that the journal holds of a fleet; 0 when it holds none.
///
/// # Errors
/// When the store fails.
pub fn journal_end(connection: &Connection, fleet_id: &FleetId) -> StoreResult<u64> {
    // From the end of the table backwards, so that the first row of the fleet ends the search.
    let sql = "SELECT c.position FROM chunk c CROSS JOIN lane l USING (lane_id) WHERE l.fleet_id = ?1
        ORDER BY c.position DESC LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row([fleet_id.as_str()], |row| row.get(0)).optional()?;
    Ok(count(found.unwrap_or(0)))
}

#[cfg(test)]
mod tests;
