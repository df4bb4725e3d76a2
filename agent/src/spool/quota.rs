//! When the spool is full: what is worth least goes first, and nothing goes unsaid.
//!
//! Promise: telemetry that was never offered is thinned before any is dropped, twice at most and the oldest first; then the
//! oldest telemetry is dropped, then the oldest events, each with a gap in its place; evidence never. What thinning took is
//! counted by the sequences missing from its chunk. The work done at once is bounded, whatever waits.

use milepost_proto::reading::{Gap, GapReason};
use milepost_proto::{Chunk, ChunkBody, Lane, SequenceRange};
use rusqlite::{Connection, params};

use super::lanes::{self, Change};
use super::thin::{self, Bounds};
use super::writer::Memory;
use super::{SpoolError, gap, settle, space::Space};

/// The part of the quota that is dropped at once, so that a full spool makes few gaps and loses little more than it must.
const DROPPED_PART: u64 = 16;
/// Most chunks looked at to find that part.
const DROPPED_CHUNKS_MAX: usize = 1_024;
/// Most chunks thinned before one commit; what that does not free is dropped.
const THINNED_CHUNKS_MAX: usize = 256;
/// Most chunks looked at before one commit to find some to thin.
const LOOKED_AT_MAX: usize = 16_384;

/// How far thinning has come: by level, the sequence from which on chunks may not be thinned that far yet.
#[derive(Debug)]
pub(super) struct Thinning {
    from: [u64; thin::LEVELS.len()],
}

impl Default for Thinning {
    fn default() -> Self {
        Self { from: [1; thin::LEVELS.len()] }
    }
}

/// Makes room until something more fits.
///
/// # Errors
/// [`SpoolError::Full`] when nothing is left that may go.
pub(super) fn make_room(connection: &Connection, space: &Space, memory: &mut Memory) -> Result<(), SpoolError> {
    let (mut thinned, mut looked_at) = (0, 0);
    while let Some(shortage) = space.shortage(connection)? {
        if thinned < THINNED_CHUNKS_MAX
            && looked_at < LOOKED_AT_MAX
            && let Some(candidate) = next_to_thin(connection, memory, &mut looked_at)?
        {
            thinned += 1;
            thin_chunk(connection, &candidate)?;
            continue;
        }
        let bytes = space.quota_bytes() / DROPPED_PART;
        let dropped = drop_oldest(connection, memory, Lane::Telemetry, bytes)?
            || drop_oldest(connection, memory, Lane::Event, bytes)?;
        if !dropped {
            return Err(SpoolError::Full(shortage.to_string()));
        }
    }
    Ok(())
}

/// A chunk to thin, and how far.
struct Candidate {
    range: SequenceRange,
    level: usize,
}

/// The oldest chunk of telemetry that may be thinned, to the first level while there is any, then to the second.
fn next_to_thin(
    connection: &Connection,
    memory: &mut Memory,
    looked_at: &mut usize,
) -> Result<Option<Candidate>, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_sequence, thinned FROM chunk WHERE id >= ?1 AND id < ?2 AND oldest_event_ms < ?3 ORDER BY id",
    )?;
    let end = memory.tails.first_sequence(Lane::Telemetry).map(|first| lanes::chunk_id(Lane::Telemetry, first));
    let end = end.unwrap_or(lanes::chunk_ids(Lane::Telemetry).1);
    for level in 0..thin::LEVELS.len() {
        let from = &mut memory.thinning.from[level];
        let first = lanes::chunk_id(Lane::Telemetry, *from);
        let mut rows = statement.query(params![first, end, gap::EVENT_TIME.as_millis()])?;
        while *looked_at < LOOKED_AT_MAX
            && let Some(row) = rows.next()?
        {
            let range = SequenceRange::new(lanes::first_sequence(row.get(0)?), row.get(1)?);
            let range = range.map_err(|error| SpoolError::Damaged(error.to_string()))?;
            *looked_at += 1;
            *from = range.last() + 1;
            if row.get::<_, usize>(2)? <= level && !memory.offered.meets(Lane::Telemetry, range) {
                return Ok(Some(Candidate { range, level }));
            }
        }
    }
    Ok(None)
}

/// Seals a chunk again with fewer records, if that makes it smaller. One that does not read is left for the gateway.
fn thin_chunk(connection: &Connection, candidate: &Candidate) -> Result<(), SpoolError> {
    let id = lanes::chunk_id(Lane::Telemetry, candidate.range.first());
    let (checksum, body) = connection
        .prepare_cached("SELECT checksum, body FROM chunk WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let bytes = body.len();
    let chunk = Chunk { range: candidate.range, checksum, body };
    let Some(thinned) =
        chunk.open().ok().and_then(|body| thinned(candidate.range, body, &thin::LEVELS[candidate.level]))
    else {
        return Ok(());
    };
    if thinned.body.len() >= bytes {
        return Ok(());
    }
    connection
        .prepare_cached("UPDATE chunk SET checksum = ?2, thinned = ?3, body = ?4 WHERE id = ?1")?
        .execute(params![id, thinned.checksum, candidate.level + 1, thinned.body])?;
    let mut change = Change::default();
    change.subtract(0, bytes - thinned.body.len());
    lanes::adjust(connection, Lane::Telemetry, change)
}

fn thinned(range: SequenceRange, body: ChunkBody, bounds: &Bounds) -> Option<Chunk> {
    let boot_id = body.boot_id()?;
    let kept = thin::thin(body.into_numbered(range), bounds);
    Chunk::seal_thinned(range, boot_id, kept).ok()
}

/// Drops the oldest run of chunks of `lane` that frees `bytes`, and puts a gap in its place; says whether there was any.
fn drop_oldest(connection: &Connection, memory: &mut Memory, lane: Lane, bytes: u64) -> Result<bool, SpoolError> {
    let Some(range) = oldest_run(connection, lane, bytes)? else { return Ok(false) };
    settle::remove(connection, lane, range)?;
    memory.tails.close_in(lane, range);
    let detail = "the spool's quota was used up".to_owned();
    gap::put(connection, &mut memory.offered, lane, range, &Gap { reason: GapReason::Evicted, detail })?;
    Ok(true)
}

/// The oldest run of chunks that frees `bytes`: at least one chunk, and gaps do not count.
fn oldest_run(connection: &Connection, lane: Lane, bytes: u64) -> Result<Option<SequenceRange>, SpoolError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, last_sequence, length(body) FROM chunk
         WHERE id >= ?1 AND id < ?2 AND oldest_event_ms < ?3 ORDER BY id LIMIT ?4",
    )?;
    let (from, to) = lanes::chunk_ids(lane);
    let mut rows = statement.query(params![from, to, gap::EVENT_TIME.as_millis(), DROPPED_CHUNKS_MAX])?;
    let mut run: Option<SequenceRange> = None;
    let mut freed = 0;
    while let Some(row) = rows.next()?.filter(|_| freed < bytes) {
        freed += row.get::<_, u64>(2)?;
        let (first, last) = (lanes::first_sequence(row.get(0)?), row.get(1)?);
        match run {
            None => run = SequenceRange::new(first, last).ok(),
            Some(range) if range.last() + 1 == first => run = SequenceRange::new(range.first(), last).ok(),
            Some(_) => break,
        }
    }
    Ok(run)
}
