//! What a vehicle owes after a cut: everything it answered for, less what the gateway's journal shows that it held by then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use milepost_agent::capture::DriverCapture;
use milepost_agent::intake::contract::Contract;
use milepost_proto::{Chunk, Lane, SequenceRange, SequenceRanges, Sha256, Timestamp, seal};
use rusqlite::{Connection, OpenFlags};

/// Bytes of a photo: more than a page, so that it can be torn.
const PHOTO_BYTES: usize = 9_000;

/// What had been answered at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Captures 1 to this one were accepted.
    pub captures: u64,
    /// Photos 1 to this one were accepted.
    pub photos: u64,
    /// It was this late at least.
    pub since: Timestamp,
    /// It was this late at most.
    pub until: Timestamp,
}

/// What the gateway held, and from when on.
#[derive(Debug, Default)]
pub struct Held {
    /// Chunks by lane and first sequence.
    chunks: BTreeMap<(Lane, u64), HeldChunk>,
    /// Whole photos.
    pub photos: BTreeSet<Sha256>,
    /// The spools they came from; one, if all is well.
    pub spool_ids: BTreeSet<[u8; 16]>,
    /// The chain digest of each evidence record.
    digests: BTreeMap<u64, Sha256>,
}

/// A chunk at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldChunk {
    /// What it covers.
    pub range: SequenceRange,
    /// Its checksum.
    pub checksum: u32,
    /// When it was durable.
    pub received_at: Timestamp,
}

impl Held {
    /// Reads a gateway's store; one that is not there holds nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(store: &Path) -> anyhow::Result<Self> {
        let mut held = Self::default();
        if !store.exists() {
            return Ok(held);
        }
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut statement = connection.prepare(
            "SELECT lane, first_sequence, last_sequence, checksum, received_at, spool_id, body FROM journal",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let lane = lane(&row.get::<_, String>(0)?)?;
            let range = SequenceRange::new(row.get(1)?, row.get(2)?)?;
            let (checksum, received_at) = (row.get(3)?, Timestamp::from_millis(row.get(4)?));
            held.chunks.insert((lane, range.first()), HeldChunk { range, checksum, received_at });
            held.spool_ids.insert(row.get(5)?);
            if lane == Lane::Evidence {
                held.keep_digests(&Chunk { range, checksum, body: row.get(6)? })?;
            }
        }
        let mut statement = connection.prepare("SELECT sha256 FROM blob WHERE complete")?;
        for sha256 in statement.query_map([], |row| row.get(0))? {
            held.photos.insert(Sha256(sha256?));
        }
        Ok(held)
    }

    fn keep_digests(&mut self, chunk: &Chunk) -> anyhow::Result<()> {
        for (sequence, record) in chunk.open()?.into_numbered(chunk.range) {
            self.digests.extend(seal::digest_of(&record, sequence).map(|digest| (sequence, digest)));
        }
        Ok(())
    }

    /// What it held of `lane` at `moment`.
    pub fn by(&self, lane: Lane, moment: Timestamp) -> impl Iterator<Item = HeldChunk> + '_ {
        let of_lane = self.chunks.range((lane, 0)..=(lane, u64::MAX)).map(|(_, chunk)| *chunk);
        of_lane.filter(move |chunk| chunk.received_at <= moment)
    }

    /// The same as sequences.
    #[must_use]
    pub fn sequences_by(&self, lane: Lane, moment: Timestamp) -> SequenceRanges {
        self.by(lane, moment).map(|chunk| chunk.range).collect()
    }

    /// The chunk of `lane` that begins at `sequence`.
    #[must_use]
    pub fn chunk(&self, lane: Lane, sequence: u64) -> Option<HeldChunk> {
        self.chunks.get(&(lane, sequence)).copied()
    }

    /// The chain digest of the evidence record at `sequence`.
    #[must_use]
    pub fn digest(&self, sequence: u64) -> Option<Sha256> {
        self.digests.get(&sequence).copied()
    }
}

fn lane(name: &str) -> anyhow::Result<Lane> {
    match name {
        "evidence" => Ok(Lane::Evidence),
        "event" => Ok(Lane::Event),
        "telemetry" => Ok(Lane::Telemetry),
        other => anyhow::bail!("the gateway has a lane {other}"),
    }
}

/// The capture of this number, as the phone sends it.
#[must_use]
pub fn capture(n: u64) -> serde_json::Value {
    serde_json::json!({"client_ref": format!("cut-{n}"), "action": "trip_started"})
}

/// The same as the agent understands it.
///
/// # Errors
/// When the contract has changed and no longer takes it.
pub fn understood(n: u64) -> anyhow::Result<DriverCapture> {
    let message = serde_json::to_vec(&capture(n))?;
    Contract::Driver.read(&message).map_err(|rejection| anyhow::anyhow!("capture {n}: {rejection:?}"))
}

/// The photo of this number.
#[must_use]
pub fn photo(n: u64) -> Vec<u8> {
    let mut chance = crate::chance::Chance::new(n);
    (0..PHOTO_BYTES).map(|_| chance.number().to_le_bytes()[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_and_photos_are_what_the_agent_takes_and_all_different() {
        let captures: Vec<DriverCapture> = [1, 2].map(|n| understood(n).expect("taken")).into();
        assert_ne!(captures[0], captures[1]);
        assert_ne!(photo(1), photo(2));
        assert_eq!(photo(1), photo(1));
    }
}
