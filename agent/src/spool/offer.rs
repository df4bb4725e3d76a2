//! What to hand over next: evidence before events before telemetry, and in telemetry the present before the past.

use milepost_proto::uplink::{BATCHES_MAX, CHUNKS_MAX};
use milepost_proto::{Batch, Chunk, Lane, SequenceRange, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SpoolError, gap, lanes};

/// How much to offer, and where telemetry's present begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferLimits {
    /// Most bytes of chunk bodies.
    pub bytes_max: usize,
    /// Telemetry from this sequence on is the present; everything before it is backlog. `u64::MAX` makes the newest
    /// chunk the present.
    pub live_from: u64,
}

/// Of which lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of all.
    Everything,
    /// Of evidence and events.
    Urgent,
    /// Of telemetry.
    Telemetry,
    /// Of none: how things stand, without any chunks.
    Nothing,
}

impl Scope {
    const fn takes(self, lane: Lane) -> bool {
        match self {
            Self::Everything => true,
            Self::Urgent => matches!(lane, Lane::Evidence | Lane::Event),
            Self::Telemetry => matches!(lane, Lane::Telemetry),
            Self::Nothing => false,
        }
    }
}

/// Committed chunks, most urgent first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedBatches {
    /// The batches.
    pub batches: Vec<Batch>,
    /// Where the present of the telemetry lane begins after this offer.
    pub live_from: u64,
    /// The earliest event that waits outside these batches; absent when nothing else waits.
    pub oldest_left: Option<Timestamp>,
    /// Whether more waits, of the lanes that were asked for, than is offered here.
    pub more: bool,
}

impl OfferedBatches {
    /// The same, when something that may yet turn up was as early as `oldest`.
    pub(super) fn behind(mut self, oldest: Option<Timestamp>) -> Self {
        self.oldest_left = [self.oldest_left, oldest].into_iter().flatten().min();
        self
    }
}

/// Collects an offer.
pub(super) fn offer(connection: &Connection, scope: Scope, limits: OfferLimits) -> Result<OfferedBatches, SpoolError> {
    let live_from = match limits.live_from {
        u64::MAX => newest_chunk(connection, Lane::Telemetry)?.unwrap_or(1),
        given => given,
    };
    let mut offer = Offer { connection, scope, bytes_left: limits.bytes_max, batches: Vec::new() };
    offer.run(Lane::Evidence, 1, u64::MAX, false)?;
    offer.run(Lane::Event, 1, u64::MAX, false)?;
    let bytes_left = offer.bytes_left;
    // The present may not use everything, or a backlog would never drain behind a busy vehicle.
    offer.bytes_left = bytes_left.div_ceil(2);
    offer.run(Lane::Telemetry, live_from, u64::MAX, false)?;
    offer.bytes_left += bytes_left / 2;
    offer.run(Lane::Telemetry, 1, live_from, true)?;
    let batches = offer.batches;
    let oldest_left = oldest_outside(connection, &batches)?;
    Ok(OfferedBatches { more: waits_outside(connection, scope, &batches)?, batches, live_from, oldest_left })
}

struct Offer<'c> {
    connection: &'c Connection,
    scope: Scope,
    bytes_left: usize,
    batches: Vec<Batch>,
}

impl Offer<'_> {
    /// Adds contiguous runs of `lane` from `first` up to but without `end` until the bytes are used up.
    fn run(&mut self, lane: Lane, first: u64, end: u64, history: bool) -> Result<(), SpoolError> {
        if !self.scope.takes(lane) {
            return Ok(());
        }
        let to = if end == u64::MAX { lanes::chunk_ids(lane).1 } else { lanes::chunk_id(lane, end) };
        let mut statement = self.connection.prepare_cached(
            "SELECT id, last_sequence, checksum, body FROM chunk WHERE id >= ?1 AND id < ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(params![lanes::chunk_id(lane, first), to])?;
        while let Some(row) = rows.next()? {
            let range = range(row.get(0)?, row.get(1)?)?;
            let chunk = Chunk { range, checksum: row.get(2)?, body: row.get(3)? };
            let fits = chunk.body.len() <= self.bytes_left;
            // A first chunk larger than all the room there is goes alone: waiting would not make it smaller.
            if !(fits || self.batches.is_empty()) || !self.push(lane, history, chunk) {
                break;
            }
        }
        Ok(())
    }

    /// Adds a chunk to the last batch if it continues it, to a new one otherwise; says whether there was room.
    fn push(&mut self, lane: Lane, history: bool, chunk: Chunk) -> bool {
        let bytes = chunk.body.len();
        let continues = self.batches.last().is_some_and(|batch| {
            let next = batch.chunks.last().map(|last| last.range.last() + 1);
            batch.lane == lane
                && batch.history == history
                && batch.chunks.len() < CHUNKS_MAX
                && next == Some(chunk.range.first())
        });
        let room = self.batches.len() < BATCHES_MAX;
        match self.batches.last_mut() {
            Some(batch) if continues => batch.chunks.push(chunk),
            _ if room => self.batches.push(Batch { lane, history, chunks: vec![chunk] }),
            _ => return false,
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        true
    }
}

fn range(chunk_id: u64, last_sequence: u64) -> Result<SequenceRange, SpoolError> {
    SequenceRange::new(lanes::first_sequence(chunk_id), last_sequence)
        .map_err(|error| SpoolError::File(error.to_string()))
}

fn newest_chunk(connection: &Connection, lane: Lane) -> Result<Option<u64>, SpoolError> {
    let (from, to) = lanes::chunk_ids(lane);
    let id = connection
        .prepare_cached("SELECT id FROM chunk WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1")?
        .query_row([from, to], |row| row.get::<_, u64>(0))
        .optional()?;
    Ok(id.map(lanes::first_sequence))
}

/// The earliest event of chunks outside `batches`. Of the chunks that are not late, each lane's first one outside is the
/// earliest; an index knows the late ones, and is walked past those inside.
fn oldest_outside(connection: &Connection, batches: &[Batch]) -> Result<Option<Timestamp>, SpoolError> {
    let mut oldest_ms = late_outside(connection, batches)?;
    for lane in Lane::ALL {
        oldest_ms = oldest_ms.min(first_outside(connection, lane, batches)?);
    }
    Ok((oldest_ms < gap::EVENT_TIME.as_millis()).then(|| Timestamp::from_millis(oldest_ms)))
}

fn late_outside(connection: &Connection, batches: &[Batch]) -> Result<i64, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, oldest_event_ms FROM chunk INDEXED BY late_chunk WHERE late ORDER BY oldest_event_ms",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !is_inside(batches, row.get(0)?) {
            return Ok(row.get(1)?);
        }
    }
    Ok(gap::EVENT_TIME.as_millis())
}

/// The oldest event time of the lane's first chunk outside `batches` that is no gap.
fn first_outside(connection: &Connection, lane: Lane, batches: &[Batch]) -> Result<i64, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, oldest_event_ms FROM chunk WHERE id >= ?1 AND id < ?2 AND oldest_event_ms < ?3 ORDER BY id LIMIT 1",
    )?;
    let (mut from, to) = lanes::chunk_ids(lane);
    let gap_ms = gap::EVENT_TIME.as_millis();
    loop {
        let first = statement
            .query_row(params![from, to, gap_ms], |row| Ok((row.get::<_, u64>(0)?, row.get(1)?)))
            .optional()?;
        match first {
            None => return Ok(gap_ms),
            Some((id, oldest_ms)) if !is_inside(batches, id) => return Ok(oldest_ms),
            Some((id, _)) => from = end_of_batch(batches, id) + 1,
        }
    }
}

/// The id of the last chunk of the batch that this chunk is in.
fn end_of_batch(batches: &[Batch], chunk_id: u64) -> u64 {
    bounds(batches).find(|(first, last)| (*first..=*last).contains(&chunk_id)).map_or(chunk_id, |(_, last)| last)
}

fn is_inside(batches: &[Batch], chunk_id: u64) -> bool {
    bounds(batches).any(|(first, last)| (first..=last).contains(&chunk_id))
}

/// Ids of the first and the last chunk of each batch.
fn bounds(batches: &[Batch]) -> impl Iterator<Item = (u64, u64)> {
    let id = |batch: &Batch, chunk: &Chunk| lanes::chunk_id(batch.lane, chunk.range.first());
    batches.iter().filter_map(move |batch| {
        let (first, last) = batch.chunks.first().zip(batch.chunks.last())?;
        Some((id(batch, first), id(batch, last)))
    })
}

fn waits_outside(connection: &Connection, scope: Scope, batches: &[Batch]) -> Result<bool, SpoolError> {
    let waiting: u64 =
        lanes::all(connection)?.iter().filter(|lane| scope.takes(lane.lane)).map(|lane| lane.waiting).sum();
    let offered: u64 = batches.iter().flat_map(|batch| &batch.chunks).map(|chunk| chunk.range.count()).sum();
    Ok(waiting > offered)
}
