//! Chunks: records of one lane sealed together, the unit of checksum, retry and settling.
//!
//! Promise: a chunk covers the sequences `first..=last` of one lane, and its bytes never change once it has been
//! offered to the gateway, so two copies of a chunk with different checksums are two different claims about the same
//! sequences, never a re-encoding. A gap takes the place of the chunks it replaces and covers their sequences.

use serde::{Deserialize, Serialize};

use crate::columns::{self, Rows};
use crate::id::BootId;
use crate::ranges::SequenceRange;
use crate::reading::Gap;
use crate::record::Record;

/// Most records one chunk may hold.
pub const CHUNK_RECORDS_MAX: usize = 4096;

const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// CRC-32 (ISO-HDLC) of `bytes`, the checksum of chunk bodies and wire envelopes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    CHECKSUM.checksum(bytes)
}

/// A sealed run of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The sequences it covers.
    pub range: SequenceRange,
    /// CRC-32 of `body`.
    pub checksum: u32,
    /// A [`ChunkBody`]: its first byte tells the form, see [`Chunk::open`].
    pub body: Vec<u8>,
}

/// What a chunk holds.
///
/// Its places as an enum, 0 to 2, are the first byte of bodies in postcard; the next ones are taken by `columns`, so this
/// enum gets no more variants: another kind of body gets another first byte in [`Chunk::open`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChunkBody {
    /// One record per sequence of the chunk's range, in order, all recorded in one boot.
    Records {
        /// The boot in which they were recorded.
        boot_id: BootId,
        /// The records, in sequence order.
        records: Vec<Record>,
    },
    /// Nothing: these sequences were lost, and why.
    Gap(Gap),
    /// What thinning left of the range's records, by sequence, in order; the other sequences are counted loss.
    Thinned {
        /// The boot in which they were recorded.
        boot_id: BootId,
        /// Sequence and record.
        kept: Vec<(u64, Record)>,
    },
}

impl ChunkBody {
    /// The boot in which its records were recorded; absent for a gap.
    #[must_use]
    pub const fn boot_id(&self) -> Option<BootId> {
        match self {
            Self::Records { boot_id, .. } | Self::Thinned { boot_id, .. } => Some(*boot_id),
            Self::Gap(_) => None,
        }
    }

    /// Its records with their sequences, for a chunk that covers `range`.
    #[must_use]
    pub fn into_numbered(self, range: SequenceRange) -> Vec<(u64, Record)> {
        match self {
            Self::Records { records, .. } => (range.first()..).zip(records).collect(),
            Self::Thinned { kept, .. } => kept,
            Self::Gap(_) => Vec::new(),
        }
    }
}

/// Why a chunk cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// The bytes are not those that were sealed.
    #[error("checksum {found:08x} does not match {claimed:08x}")]
    Checksum {
        /// What the chunk says.
        claimed: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The bytes are whole but do not read as a chunk body.
    #[error("body does not decode: {0}")]
    Body(String),
    /// The body holds another number of records than its range has sequences.
    #[error("range {range} has {} sequences but the body has {records} records", range.count())]
    Count {
        /// The range the chunk claims.
        range: SequenceRange,
        /// The records it holds.
        records: usize,
    },
    /// A thinned body whose sequences are not in order within its range.
    #[error("the records that thinning left do not lie in order within {0}")]
    Kept(SequenceRange),
    /// More records than [`CHUNK_RECORDS_MAX`].
    #[error("{0} records in one chunk, at most {CHUNK_RECORDS_MAX} are allowed")]
    TooMany(usize),
}

impl Chunk {
    /// Seals `records`, the first of which gets sequence `first_sequence`.
    ///
    /// # Errors
    /// [`ChunkFault::TooMany`] above [`CHUNK_RECORDS_MAX`], [`ChunkFault::Count`] for no records at all.
    #[expect(clippy::needless_pass_by_value, reason = "whoever seals for good has no more use for the records")]
    pub fn seal(first_sequence: u64, boot_id: BootId, records: Vec<Record>) -> Result<Self, ChunkFault> {
        Self::seal_so_far(first_sequence, boot_id, &records)
    }

    /// The same, of records that may still become more: what is sealed so far takes the place of what was before.
    ///
    /// # Errors
    /// As [`Chunk::seal`].
    pub fn seal_so_far(first_sequence: u64, boot_id: BootId, records: &[Record]) -> Result<Self, ChunkFault> {
        if records.len() > CHUNK_RECORDS_MAX {
            return Err(ChunkFault::TooMany(records.len()));
        }
        let Some(range) = SequenceRange::starting_at(first_sequence, records.len() as u64) else {
            return Err(ChunkFault::Count { range: SequenceRange::single(first_sequence), records: 0 });
        };
        Self::from_rows(range, boot_id, Rows::All(records))
    }

    /// Seals what thinning left of `range`: sequences and records, in order; the other sequences are counted loss.
    ///
    /// # Errors
    /// [`ChunkFault::TooMany`] above [`CHUNK_RECORDS_MAX`], [`ChunkFault::Kept`] for none, or not in order within `range`.
    #[expect(clippy::needless_pass_by_value, reason = "whoever seals for good has no more use for the records")]
    pub fn seal_thinned(range: SequenceRange, boot_id: BootId, kept: Vec<(u64, Record)>) -> Result<Self, ChunkFault> {
        check_kept(range, &kept)?;
        Self::from_rows(range, boot_id, Rows::Kept(range.first(), &kept))
    }

    /// A gap over `range`.
    ///
    /// # Errors
    /// None in practice: a gap always serialises.
    pub fn gap(range: SequenceRange, gap: Gap) -> Result<Self, ChunkFault> {
        let body = postcard::to_stdvec(&ChunkBody::Gap(gap)).map_err(|error| ChunkFault::Body(error.to_string()))?;
        Ok(Self { range, checksum: checksum(&body), body })
    }

    fn from_rows(range: SequenceRange, boot_id: BootId, rows: Rows<'_>) -> Result<Self, ChunkFault> {
        let body = columns::encode(boot_id, rows).map_err(|error| ChunkFault::Body(error.to_string()))?;
        Ok(Self { range, checksum: checksum(&body), body })
    }

    /// Checks the checksum and reads the body, in whichever form it is: a first byte of 0, 1 or 2 is a [`ChunkBody`] in
    /// postcard (gaps, and records of the first agents), 3 and 4 are columns.
    ///
    /// # Errors
    /// A [`ChunkFault`] that says what is wrong; the chunk is then to be refused, not retried.
    pub fn open(&self) -> Result<ChunkBody, ChunkFault> {
        let found = checksum(&self.body);
        if found != self.checksum {
            return Err(ChunkFault::Checksum { claimed: self.checksum, found });
        }
        let body = self.read_body()?;
        match &body {
            ChunkBody::Records { records, .. } if records.len() > CHUNK_RECORDS_MAX => {
                Err(ChunkFault::TooMany(records.len()))
            }
            ChunkBody::Records { records, .. } if records.len() as u64 != self.range.count() => {
                Err(ChunkFault::Count { range: self.range, records: records.len() })
            }
            ChunkBody::Thinned { kept, .. } => check_kept(self.range, kept).map(|()| body),
            ChunkBody::Records { .. } | ChunkBody::Gap(_) => Ok(body),
        }
    }
}

impl Chunk {
    fn read_body(&self) -> Result<ChunkBody, ChunkFault> {
        let form = self.body.first().copied();
        if !matches!(form, Some(columns::FORM_RECORDS | columns::FORM_THINNED)) {
            return postcard::from_bytes(&self.body).map_err(|error| ChunkFault::Body(error.to_string()));
        }
        let columns = columns::decode(&self.body, self.range);
        let (boot_id, kept) = columns.map_err(|fault| ChunkFault::Body(fault.to_string()))?;
        if form == Some(columns::FORM_THINNED) {
            return Ok(ChunkBody::Thinned { boot_id, kept });
        }
        Ok(ChunkBody::Records { boot_id, records: kept.into_iter().map(|(_, record)| record).collect() })
    }
}

fn check_kept(range: SequenceRange, kept: &[(u64, Record)]) -> Result<(), ChunkFault> {
    if kept.len() > CHUNK_RECORDS_MAX {
        return Err(ChunkFault::TooMany(kept.len()));
    }
    let is_within = |sequence: u64| (range.first()..=range.last()).contains(&sequence);
    let is_ordered = kept.is_sorted_by(|(a, _), (b, _)| a < b);
    if kept.is_empty() || !is_ordered || !kept.iter().all(|(sequence, _)| is_within(*sequence)) {
        return Err(ChunkFault::Kept(range));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{GapReason, Switch};
    use crate::{Reading, TimeQuality, Timestamp};

    fn record(on: bool) -> Record {
        Record {
            event_time: Timestamp::from_millis(1_000),
            monotonic_ms: 5,
            time_quality: TimeQuality::UNKNOWN,
            reading: Reading::Switch(Switch { name: "ignition".to_owned(), on }),
            seal: None,
        }
    }

    #[test]
    fn what_was_sealed_opens() {
        let chunk = Chunk::seal(7, BootId([1; 16]), vec![record(true), record(false)]).expect("sealed");
        assert_eq!((chunk.range.first(), chunk.range.last()), (7, 8));
        let ChunkBody::Records { records, .. } = chunk.open().expect("opens") else { panic!("a gap") };
        assert_eq!(records, [record(true), record(false)]);
    }

    #[test]
    fn a_flipped_bit_and_a_wrong_range_are_named() {
        let mut chunk = Chunk::seal(7, BootId([1; 16]), vec![record(true)]).expect("sealed");
        chunk.body[3] ^= 1;
        assert!(matches!(chunk.open(), Err(ChunkFault::Checksum { .. })));
        chunk.body[3] ^= 1;
        chunk.range = SequenceRange::new(7, 9).expect("range");
        assert!(matches!(chunk.open(), Err(ChunkFault::Count { records: 1, .. })));
    }

    #[test]
    fn what_thinning_left_keeps_its_sequences() {
        let range = SequenceRange::new(10, 99).expect("range");
        let kept = vec![(12, record(true)), (99, record(false))];
        let chunk = Chunk::seal_thinned(range, BootId([1; 16]), kept.clone()).expect("sealed");
        assert_eq!(chunk.open().expect("opens").into_numbered(range), kept);
        let check = |kept: Vec<(u64, Record)>| {
            assert_eq!(Chunk::seal_thinned(range, BootId([1; 16]), kept), Err(ChunkFault::Kept(range)));
        };
        check(Vec::new());
        check(vec![(9, record(true))]);
        check(vec![(12, record(true)), (12, record(true))]);
        check(vec![(100, record(true))]);
    }

    #[test]
    fn an_empty_chunk_cannot_be_sealed() {
        assert!(Chunk::seal(1, BootId([0; 16]), Vec::new()).is_err());
    }

    #[test]
    fn a_gap_covers_what_it_replaces() {
        let range = SequenceRange::new(10, 99).expect("range");
        let gap = Gap { reason: GapReason::Evicted, detail: "quota".to_owned() };
        let chunk = Chunk::gap(range, gap.clone()).expect("sealed");
        assert_eq!(chunk.open(), Ok(ChunkBody::Gap(gap)));
    }
}
