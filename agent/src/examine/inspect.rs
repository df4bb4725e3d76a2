//! What a spool file holds, in figures.

use std::fmt;
use std::ops::ControlFlow;

use milepost_proto::{Lane, Timestamp};
use serde::Serialize;

use crate::spool::{SpoolError, SpoolReader};

/// A spool file in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The spool's id.
    pub spool_id: String,
    /// Each lane, most urgent first.
    pub lanes: Vec<LaneInspection>,
    /// Photos and signatures that are whole and wait for the gateway.
    pub blobs_whole: u64,
    /// Photos and signatures of which parts are missing.
    pub blobs_unfinished: u64,
}

/// One lane in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneInspection {
    /// The lane.
    pub lane: Lane,
    /// The last sequence given out; absent when it does not read.
    pub last_sequence: Option<u64>,
    /// Chunks that wait.
    pub chunks: u64,
    /// Sequences that wait, gaps included.
    pub waiting: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The earliest event that waits.
    pub oldest: Option<Timestamp>,
    /// Stretches that do not read.
    pub unreadable: u64,
}

/// Looks into a file.
///
/// # Errors
/// When not even its id reads.
pub fn inspect(reader: &SpoolReader) -> Result<Inspection, SpoolError> {
    let blobs = reader.blobs().unwrap_or_default();
    let whole = blobs.iter().filter(|(_, _, complete)| *complete).count() as u64;
    Ok(Inspection {
        spool_id: reader.spool_id()?.to_string(),
        lanes: Lane::ALL.into_iter().map(|lane| inspect_lane(reader, lane)).collect::<Result<_, _>>()?,
        blobs_whole: whole,
        blobs_unfinished: blobs.len() as u64 - whole,
    })
}

fn inspect_lane(reader: &SpoolReader, lane: Lane) -> Result<LaneInspection, SpoolError> {
    let (mut chunks, mut waiting, mut bytes, mut oldest) = (0, 0, 0, None);
    let stretches = reader.each_chunk(lane, |stored| {
        chunks += 1;
        waiting += stored.chunk.range.count();
        bytes += stored.chunk.body.len() as u64;
        let event = Timestamp::from_millis(stored.oldest_event_ms);
        oldest = [oldest, (event < Timestamp::MAX).then_some(event)].into_iter().flatten().min();
        Ok(ControlFlow::Continue(()))
    })?;
    let last_sequence = reader.last_sequence(lane).ok();
    Ok(LaneInspection { lane, last_sequence, chunks, waiting, bytes, oldest, unreadable: stretches.unreadable })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "spool {}", self.spool_id)?;
        for lane in &self.lanes {
            let last = lane.last_sequence.map_or("?".to_owned(), |last| last.to_string());
            write!(
                f,
                "{:<9}  {} records wait in {} chunks, {} bytes",
                lane.lane.to_string(),
                lane.waiting,
                lane.chunks,
                lane.bytes
            )?;
            write!(f, "; last sequence {last}")?;
            lane.oldest.map_or(Ok(()), |oldest| write!(f, "; oldest {oldest}"))?;
            match lane.unreadable {
                0 => writeln!(f)?,
                stretches => writeln!(f, "; {stretches} stretches do not read")?,
            }
        }
        writeln!(f, "photos     {} whole, {} unfinished", self.blobs_whole, self.blobs_unfinished)
    }
}
