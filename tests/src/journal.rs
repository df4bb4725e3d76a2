//! What the gateway holds, read from its own file, for comparing with what sources were told.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use milepost_proto::{BootId, Chunk, ChunkBody, Reading, Record, SequenceRange};
use rusqlite::{Connection, OpenFlags};

/// One lane of one spool.
pub type LaneKey = (String, String, String);

/// Everything in a gateway's journal.
#[derive(Debug, Default)]
pub struct Journal {
    /// The records by device, spool and lane, with their sequences, in order of arrival.
    pub lanes: BTreeMap<LaneKey, Vec<(u64, Record)>>,
    /// In which boot they were recorded.
    pub boots: BTreeMap<LaneKey, Vec<(SequenceRange, BootId)>>,
    /// Sequences that arrived as gaps, likewise.
    pub gaps: BTreeMap<LaneKey, Vec<SequenceRange>>,
    /// Chunks that another chunk contradicts.
    pub contested: usize,
}

impl Journal {
    /// Reads the journal of the gateway whose store is `store`.
    ///
    /// # Errors
    /// When the file cannot be read or holds a chunk that does not open.
    pub fn read(store: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut statement = connection.prepare(
            "SELECT device_id, hex(spool_id), lane, first_sequence, last_sequence, checksum, contested, body
             FROM journal ORDER BY position",
        )?;
        let mut journal = Self::default();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?);
            let range = SequenceRange::new(row.get(3)?, row.get(4)?)?;
            journal.contested += row.get::<_, usize>(6)?;
            let chunk = Chunk { range, checksum: row.get(5)?, body: row.get(7)? };
            match chunk.open().with_context(|| format!("journalled chunk {range} of {key:?}"))? {
                ChunkBody::Gap(_) => journal.gaps.entry(key).or_default().push(range),
                body => {
                    let boots = journal.boots.entry(key.clone()).or_default();
                    boots.extend(body.boot_id().map(|boot_id| (range, boot_id)));
                    journal.lanes.entry(key).or_default().extend(body.into_numbered(range));
                }
            }
        }
        Ok(journal)
    }

    /// The boot in which the record with `sequence` was recorded.
    #[must_use]
    pub fn boot_of(&self, key: &LaneKey, sequence: u64) -> Option<BootId> {
        let ranges = self.boots.get(key)?;
        let (_, boot_id) = ranges.iter().find(|(range, _)| range.covers(SequenceRange::single(sequence)))?;
        Some(*boot_id)
    }

    /// References of every driver capture, sorted; one that arrived twice appears twice.
    #[must_use]
    pub fn client_refs(&self) -> Vec<String> {
        let mut references: Vec<String> = self
            .lanes
            .values()
            .flatten()
            .filter_map(|(_, record)| match &record.reading {
                Reading::Pod(pod) => Some(pod.client_ref.clone()),
                Reading::DriverAction(action) => Some(action.client_ref.clone()),
                Reading::DriverException(exception) => Some(exception.client_ref.clone()),
                _ => None,
            })
            .collect();
        references.sort();
        references
    }

    /// What is wrong with the sequences: holes and doubles, by lane; empty when every lane is whole.
    #[must_use]
    pub fn sequence_faults(&self) -> Vec<String> {
        let mut seen: BTreeMap<&LaneKey, Vec<u64>> = BTreeMap::new();
        for (key, records) in &self.lanes {
            seen.entry(key).or_default().extend(records.iter().map(|(sequence, _)| *sequence));
        }
        for (key, ranges) in &self.gaps {
            seen.entry(key).or_default().extend(ranges.iter().flat_map(|range| range.first()..=range.last()));
        }
        seen.into_iter().flat_map(|(key, sequences)| lane_faults(key, sequences)).collect()
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.lanes.values().map(Vec::len).sum()
    }
}

fn lane_faults(key: &LaneKey, mut sequences: Vec<u64>) -> Vec<String> {
    sequences.sort_unstable();
    let mut faults = Vec::new();
    let mut expected = 1;
    for sequence in sequences {
        if sequence < expected {
            faults.push(format!("{key:?}: {sequence} is there twice"));
        } else if sequence > expected {
            faults.push(format!("{key:?}: {expected} to {} are missing", sequence - 1));
        }
        expected = expected.max(sequence + 1);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_doubles_are_found() {
        let key = ("d".to_owned(), "s".to_owned(), "event".to_owned());
        assert_eq!(lane_faults(&key, vec![2, 1, 3]), Vec::<String>::new());
        assert_eq!(lane_faults(&key, vec![1, 1, 4]).len(), 2);
        assert_eq!(lane_faults(&key, vec![2]).len(), 1, "a lane begins at 1");
    }
}
