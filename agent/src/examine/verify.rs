//! Whether a spool file is in order, and where not.
//!
//! Promise: no finding means that the file is sound to SQLite, every chunk opens, no two claim the same sequences, the
//! evidence is one unbroken hash chain up to the last record given out, and every whole photo has the hash in its name.

use std::ops::ControlFlow;

use milepost_proto::seal::{chain_start, digest_of};
use milepost_proto::{ChunkBody, Lane, Record, Sha256, SpoolId};

use crate::spool::{SpoolError, SpoolReader};

/// Most findings of one kind of check that are listed.
const FINDINGS_MAX: usize = 100;

/// Everything that is not in order, each in a sentence.
///
/// # Errors
/// When not even the spool's id reads.
pub fn verify(reader: &SpoolReader) -> Result<Vec<String>, SpoolError> {
    let spool_id = reader.spool_id()?;
    let mut findings = reader.integrity();
    for lane in Lane::ALL {
        verify_lane(reader, lane, &mut findings)?;
    }
    verify_chain(reader, spool_id, &mut findings)?;
    verify_blobs(reader, &mut findings);
    findings.truncate(FINDINGS_MAX);
    Ok(findings)
}

fn verify_lane(reader: &SpoolReader, lane: Lane, findings: &mut Vec<String>) -> Result<(), SpoolError> {
    let last_given = match reader.last_sequence(lane) {
        Ok(last) => last,
        Err(error) => {
            findings.push(format!("lane {lane}: its last sequence does not read: {error}"));
            u64::MAX
        }
    };
    let mut before = 0;
    let stretches = reader.each_chunk(lane, |stored| {
        let range = stored.chunk.range;
        if let Err(fault) = stored.chunk.open() {
            findings.push(format!("lane {lane}: chunk {range} does not open: {fault}"));
        }
        if range.first() <= before {
            findings.push(format!("lane {lane}: chunk {range} claims sequences of the one before it, up to {before}"));
        }
        if range.last() > last_given {
            findings.push(format!("lane {lane}: chunk {range} is beyond the last sequence given out, {last_given}"));
        }
        before = range.last();
        Ok(go_on(findings))
    })?;
    if stretches.unreadable > 0 {
        findings.push(format!("lane {lane}: {} stretches do not read", stretches.unreadable));
    }
    Ok(())
}

/// Follows the hash chain through the evidence that is still here.
fn verify_chain(reader: &SpoolReader, spool_id: SpoolId, findings: &mut Vec<String>) -> Result<(), SpoolError> {
    let mut expected = Some((1, chain_start(spool_id)));
    reader.each_chunk(Lane::Evidence, |stored| {
        let range = stored.chunk.range;
        let records = stored.chunk.open().map(|body| match body {
            ChunkBody::Gap(_) => Vec::new(),
            body => body.into_numbered(range),
        });
        for (sequence, record) in records.unwrap_or_default() {
            expected = link(sequence, &record, expected, findings);
        }
        Ok(go_on(findings))
    })?;
    let last = reader.last_sequence(Lane::Evidence).unwrap_or_default();
    if let (Some((next, digest)), Ok(Some(head))) = (expected, reader.chain_head())
        && next == last + 1
        && digest != head
    {
        findings.push(format!("evidence: the chain does not end in the record {last} that was sealed last"));
    }
    Ok(())
}

/// What the record after this one must name; says so when this one does not name what it must.
fn link(
    sequence: u64,
    record: &Record,
    expected: Option<(u64, Sha256)>,
    findings: &mut Vec<String>,
) -> Option<(u64, Sha256)> {
    let (Some(seal), Some(digest)) = (&record.seal, digest_of(record, sequence)) else {
        findings.push(format!("evidence: record {sequence} is not sealed"));
        return None;
    };
    // Records before it have left; what they were is the gateway's to compare.
    if expected.is_some_and(|(next, prev_hash)| next == sequence && prev_hash != seal.prev_hash) {
        findings.push(format!("evidence: record {sequence} does not follow from the one before it"));
    }
    Some((sequence + 1, digest))
}

fn verify_blobs(reader: &SpoolReader, findings: &mut Vec<String>) {
    match reader.blobs() {
        Ok(blobs) => {
            for (sha256, _, _) in blobs.into_iter().filter(|(_, _, complete)| *complete) {
                match reader.blob_bytes(sha256) {
                    Ok(bytes) if Sha256::of(&bytes) == sha256 => {}
                    Ok(_) => findings.push(format!("photo {sha256}: its bytes have another hash")),
                    Err(error) => findings.push(format!("photo {sha256} does not read: {error}")),
                }
            }
        }
        Err(error) => findings.push(format!("the photos do not read: {error}")),
    }
}

fn go_on(findings: &[String]) -> ControlFlow<()> {
    if findings.len() < FINDINGS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
