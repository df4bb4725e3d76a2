//! Which sequences the gateway may have seen.
//!
//! Promise: a chunk that may have been offered never counts as one that was not, so its bytes never change. What was there
//! before this process began counts as offered, unless the process before it said farewell and left a note: the note is
//! taken out of the file before anything is offered, so a power cut can never leave one that is out of date.

use std::collections::BTreeMap;

use milepost_proto::{Batch, Lane, SequenceRange, SequenceRanges};
use rusqlite::{Connection, OptionalExtension as _};

use super::{SpoolError, lanes};

/// Most ranges remembered a lane; beyond that the two oldest, and all between them, count as offered.
const RANGES_MAX: usize = 256;
/// Longest note that is read, bytes.
const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The sequences offered, by lane.
#[derive(Debug, Default)]
pub(super) struct Offered {
    lanes: BTreeMap<Lane, SequenceRanges>,
    /// What has gone in the transaction under way.
    going: Vec<(Lane, SequenceRange)>,
    /// Whether the file holds a note of them.
    noted: bool,
}

impl Offered {
    /// What the last process noted at its farewell, or else everything the file holds.
    pub(super) fn take_up(connection: &Connection) -> Result<Self, SpoolError> {
        let noted = note(connection)?;
        let is_taken = noted.is_some() && withdraw(connection).is_ok();
        let lanes = match noted.filter(|_| is_taken) {
            Some(lanes) => lanes,
            None => everything(connection)?,
        };
        Ok(Self { lanes, ..Self::default() })
    }

    /// Notes, in the transaction under way, what was offered so far.
    pub(super) fn leave_note(&mut self, connection: &Connection) -> Result<(), SpoolError> {
        let ranges = |ranges: &SequenceRanges| ranges.iter().map(<(u64, u64)>::from).collect::<Vec<_>>();
        let lanes: Vec<_> = self.lanes.iter().map(|(lane, offered)| (*lane, ranges(offered))).collect();
        let note = postcard::to_stdvec(&lanes).map_err(|error| SpoolError::File(error.to_string()))?;
        connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('offered', ?1)", [note])?;
        self.noted = true;
        Ok(())
    }

    /// These are about to leave.
    pub(super) fn add(&mut self, connection: &Connection, batches: &[Batch]) -> Result<(), SpoolError> {
        if self.noted {
            withdraw(connection)?;
            self.noted = false;
        }
        for batch in batches {
            let ranges = self.lanes.entry(batch.lane).or_default();
            batch.chunks.iter().for_each(|chunk| ranges.insert(chunk.range));
            bound(ranges);
        }
        Ok(())
    }

    /// Whether any of `range` may have been offered.
    pub(super) fn meets(&self, lane: Lane, range: SequenceRange) -> bool {
        let meets = |offered: SequenceRange| offered.first() <= range.last() && range.first() <= offered.last();
        self.lanes.get(&lane).is_some_and(|ranges| ranges.iter().any(meets))
    }

    /// The chunks in `range` go, if the transaction under way is committed.
    pub(super) fn forget(&mut self, lane: Lane, range: SequenceRange) {
        self.going.push((lane, range));
    }

    /// How much goes so far; to be given to [`Self::undo`].
    pub(super) const fn mark(&self) -> usize {
        self.going.len()
    }

    /// What was to go since `mark` stays.
    pub(super) fn undo(&mut self, mark: usize) {
        self.going.truncate(mark);
    }

    /// The transaction was committed.
    pub(super) fn committed(&mut self) {
        for (lane, range) in self.going.drain(..) {
            if let Some(ranges) = self.lanes.get_mut(&lane) {
                *ranges = ranges.iter().flat_map(|offered| without(offered, range)).collect();
            }
        }
    }
}

/// What is left of `whole` on both sides of `part`.
fn without(whole: SequenceRange, part: SequenceRange) -> impl Iterator<Item = SequenceRange> {
    let before = SequenceRange::new(whole.first(), whole.last().min(part.first() - 1));
    let after = SequenceRange::new(whole.first().max(part.last().saturating_add(1)), whole.last());
    [before, after].into_iter().flatten()
}

fn bound(ranges: &mut SequenceRanges) {
    while ranges.iter().count() > RANGES_MAX {
        let oldest: Vec<_> = ranges.iter().take(2).collect();
        let [first, second] = oldest[..] else { return };
        let Ok(both) = SequenceRange::new(first.first(), second.last()) else { return };
        ranges.insert(both);
    }
}

fn everything(connection: &Connection) -> Result<BTreeMap<Lane, SequenceRanges>, SpoolError> {
    let lanes = Lane::ALL.into_iter().map(|lane| {
        let last_sequence = lanes::end(connection, lane)?.last_sequence;
        Ok((lane, SequenceRange::new(1, last_sequence).into_iter().collect()))
    });
    lanes.collect()
}

/// The note, if there is one that reads.
fn note(connection: &Connection) -> Result<Option<BTreeMap<Lane, SequenceRanges>>, SpoolError> {
    let found: Option<Vec<u8>> =
        connection.query_row("SELECT value FROM fact WHERE name = 'offered'", [], |row| row.get(0)).optional()?;
    let note = found.filter(|note| note.len() <= NOTE_BYTES_MAX);
    let lanes = note.and_then(|note| postcard::from_bytes::<Vec<(Lane, Vec<SequenceRange>)>>(&note).ok());
    Ok(lanes.map(|lanes| lanes.into_iter().map(|(lane, ranges)| (lane, ranges.into_iter().collect())).collect()))
}

fn withdraw(connection: &Connection) -> Result<(), SpoolError> {
    connection.execute("DELETE FROM fact WHERE name = 'offered'", [])?;
    Ok(())
}
