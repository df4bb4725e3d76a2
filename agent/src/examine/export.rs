//! Everything in a spool file as JSON lines.
//!
//! Promise: one line a record, `{"spool_id","lane","sequence","boot_id","record"}`, or one a gap,
//! `{"spool_id","lane","first","last","gap"}`, in sequence order and most urgent lane first; a chunk that does not open is one
//! line `{"spool_id","lane","first","last","fault"}`. Whole photos go to files named by their hash.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use milepost_proto::{ChunkBody, Lane};
use serde_json::{Value, json};

use crate::spool::{SpoolError, SpoolReader, StoredChunk};

/// Writes what the file holds to `out`, and its whole photos to `blobs` where that is given.
///
/// # Errors
/// When the file's id does not read, or `out` or `blobs` cannot be written.
pub fn export(reader: &SpoolReader, out: &mut impl Write, blobs: Option<&Path>) -> anyhow::Result<()> {
    let spool_id = reader.spool_id()?.to_string();
    for lane in Lane::ALL {
        let mut written = Ok(());
        reader.each_chunk(lane, |stored| {
            written = lines(&spool_id, lane, &stored).iter().try_for_each(|line| writeln!(out, "{line}"));
            Ok::<_, SpoolError>(if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        written.context("failed to write a line")?;
    }
    blobs.map_or(Ok(()), |folder| export_blobs(reader, folder))
}

fn lines(spool_id: &str, lane: Lane, stored: &StoredChunk) -> Vec<Value> {
    let range = stored.chunk.range;
    let whole = |name: &str, what: Value| {
        vec![json!({"spool_id": spool_id, "lane": lane, "first": range.first(), "last": range.last(), name: what})]
    };
    match stored.chunk.open() {
        Err(fault) => whole("fault", json!(fault.to_string())),
        Ok(ChunkBody::Gap(gap)) => whole("gap", json!(gap)),
        Ok(body) => {
            let boot_id = body.boot_id().map(|boot_id| boot_id.to_string());
            let line = |(sequence, record)| json!({"spool_id": spool_id, "lane": lane, "sequence": sequence, "boot_id": boot_id, "record": record});
            body.into_numbered(range).into_iter().map(line).collect()
        }
    }
}

fn export_blobs(reader: &SpoolReader, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for (sha256, _, _) in reader.blobs()?.into_iter().filter(|(_, _, complete)| *complete) {
        let file = folder.join(sha256.to_string());
        std::fs::write(&file, reader.blob_bytes(sha256)?)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}
