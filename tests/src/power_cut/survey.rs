//! Looking into a spool after a cut, with the agent's own code: whether it opens, and whether it holds what is owed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use milepost_agent::spool::{CaptureKey, OfferLimits, Spool, SpoolOptions};
use milepost_proto::{BootId, Chunk, Lane, Receipt, SequenceRange, SequenceRanges, Sha256, SpoolId, seal};
use rusqlite::Connection;

use super::account::{Account, Held, photo, understood};

/// Room for everything the rig writes.
const QUOTA_BYTES: u64 = 1 << 30;
/// Most bytes looked at in one go.
const OFFER_BYTES_MAX: usize = 16 << 20;
/// Most goes; the rig writes far less.
const OFFERS_MAX: usize = 10_000;

/// What is wrong with a spool; nothing, if all lists are empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was answered for and is nowhere.
    pub lost: Vec<String>,
    /// What is not as it was written, or keeps the spool from opening.
    pub corrupt: Vec<String>,
    /// What is there twice, or would be after the next record.
    pub doubled: Vec<String>,
    /// Why the file was set aside for a new one, if it was.
    pub set_aside: Option<String>,
    /// Whether it is another spool than the one that the gateway heard of.
    pub is_new: bool,
    /// Evidence records that had been let go of.
    pub settled: u64,
}

/// Looks into the spool `name` in `folder`, which is changed by it.
///
/// # Errors
/// When the rig itself fails; what is wrong with the spool is in the verdict.
pub fn examine(folder: &Path, name: &str, account: Account, held: &Held) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let begun = std::fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
    if let Some(what) = begun.then(|| integrity(&folder.join(name)).err()).flatten() {
        verdict.corrupt.push(what);
        return Ok(verdict);
    }
    let opened = Spool::open_without_thread(SpoolOptions {
        path: &folder.join(name),
        quota_bytes: QUOTA_BYTES,
        boot_id: BootId([9; 16]),
        fresh_spool_id: SpoolId([9; 16]),
        signer: Box::new(|_| Err("the survey signs nothing".to_owned())),
    });
    let (spool, opened, _) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            verdict.corrupt.push(error.to_string());
            return Ok(verdict);
        }
    };
    verdict.set_aside = opened.quarantined;
    let nothing = Held::default();
    let known = held.spool_ids.is_empty() || held.spool_ids.contains(&opened.spool_id.0);
    verdict.is_new = !known;
    let held = if known { held } else { &nothing };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut survey = Survey { spool_id: opened.spool_id, spool: &spool, account, held, verdict };
    if let Err(error) = runtime.block_on(survey.run()) {
        survey.verdict.corrupt.push(format!("{error:#}"));
    }
    Ok(survey.verdict)
}

/// SQLite's own check, which also recovers the write-ahead log.
fn integrity(spool: &Path) -> Result<(), String> {
    let answer = Connection::open(spool)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)));
    match answer {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}

struct Survey<'a> {
    spool_id: SpoolId,
    spool: &'a Spool,
    account: Account,
    held: &'a Held,
    verdict: Verdict,
}

impl Survey<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut sequences = Vec::new();
        for n in 1..=self.account.captures {
            match self.spool.find_capture(CaptureKey::of(&understood(n)?)).await? {
                Some(accepted) => sequences.push(accepted.sequence),
                None => self.verdict.lost.push(format!("capture {n}")),
            }
        }
        let distinct: BTreeSet<u64> = sequences.iter().copied().collect();
        if distinct.len() < sequences.len() {
            self.verdict.doubled.push("two captures have one sequence".to_owned());
        }
        self.look_for_photos().await?;
        let lanes = self.spool.measure().await?.lanes;
        let chunks = self.take_everything().await?;
        for lane in Lane::ALL {
            let last = lanes.iter().find(|status| status.lane == lane).map_or(0, |status| status.last_sequence);
            let of_lane: Vec<&Chunk> = chunks.iter().filter(|(of, _)| *of == lane).map(|(_, chunk)| chunk).collect();
            self.check_lane(lane, last, &of_lane);
            if lane == Lane::Evidence {
                self.check_evidence(&of_lane, &sequences)?;
            }
        }
        let left: u64 = self.spool.measure().await?.lanes.iter().map(|lane| lane.waiting).sum();
        anyhow::ensure!(left == 0, "{left} records are counted that no chunk holds");
        Ok(())
    }

    async fn look_for_photos(&mut self) -> anyhow::Result<()> {
        for n in 1..=self.account.photos {
            let bytes = photo(n);
            let sha256 = Sha256::of(&bytes);
            let found = self.spool.blob_bytes(sha256, 0, bytes.len()).await?;
            if found != bytes && !self.held.photos.contains(&sha256) {
                self.verdict.lost.push(format!("photo {n}: {} of {} bytes are there", found.len(), bytes.len()));
            }
        }
        Ok(())
    }

    /// Every chunk, as the uplink would take them: offered, then let go of by receipt.
    async fn take_everything(&self) -> anyhow::Result<Vec<(Lane, Chunk)>> {
        let mut chunks = Vec::new();
        for _ in 0..OFFERS_MAX {
            let limits = OfferLimits { bytes_max: OFFER_BYTES_MAX, live_from: u64::MAX };
            let offered = self.spool.offer(limits).await?.batches;
            if offered.is_empty() {
                return Ok(chunks);
            }
            let mut receipts = Vec::new();
            for batch in offered {
                let ranges = batch.chunks.iter().map(|chunk| chunk.range);
                let accepted = ranges.collect::<SequenceRanges>().iter().collect();
                let (spool_id, lane) = (self.spool_id, batch.lane);
                receipts.push(Receipt { spool_id, lane, through: 0, accepted, refused: Vec::new() });
                chunks.extend(batch.chunks.into_iter().map(|chunk| (lane, chunk)));
            }
            self.spool.settle(receipts, Vec::new()).await?;
        }
        anyhow::bail!("after {OFFERS_MAX} offers the spool still offers")
    }

    /// That each sequence up to `last` is here once, or at the gateway; and that none will be given out again.
    fn check_lane(&mut self, lane: Lane, last: u64, chunks: &[&Chunk]) {
        let mut there = SequenceRanges::new();
        for chunk in chunks {
            if let Err(fault) = chunk.open() {
                self.verdict.corrupt.push(format!("{lane} {}: {fault}", chunk.range));
            }
            if there.iter().any(|range| overlap(range, chunk.range)) {
                self.verdict.doubled.push(format!("{lane} {} is there twice", chunk.range));
            }
            let at_gateway = self.held.chunk(lane, chunk.range.first());
            if at_gateway.is_some_and(|held| held.range == chunk.range && held.checksum != chunk.checksum) {
                self.verdict.doubled.push(format!("{lane} {} is another chunk at the gateway", chunk.range));
            }
            there.insert(chunk.range);
        }
        self.verdict.settled +=
            if lane == Lane::Evidence { last - there.iter().map(SequenceRange::count).sum::<u64>() } else { 0 };
        let mut known = self.held.sequences_by(lane, self.account.until);
        there.iter().for_each(|range| known.insert(range));
        if let Ok(owed) = SequenceRange::new(1, last)
            && !known.covers(owed)
        {
            let first = (1..=last).find(|sequence| !known.covers(SequenceRange::single(*sequence))).unwrap_or(1);
            self.verdict.lost.push(format!("{lane} {first} of 1 to {last}"));
        }
        let ahead = self.held.by(lane, self.account.since).find(|chunk| chunk.range.last() > last);
        if let Some(ahead) = ahead {
            self.verdict.doubled.push(format!("{lane} ends at {last}, but the gateway holds {}", ahead.range));
        }
    }

    /// That accepted captures have records, and that each evidence record follows the one before it.
    fn check_evidence(&mut self, chunks: &[&Chunk], captured: &[u64]) -> anyhow::Result<()> {
        let held = self.held.sequences_by(Lane::Evidence, self.account.until);
        let mut digests = std::collections::BTreeMap::new();
        for chunk in chunks {
            for (sequence, record) in
                chunk.open().map_err(|fault| anyhow::anyhow!("{fault}"))?.into_numbered(chunk.range)
            {
                let digest = seal::digest_of(&record, sequence).context("evidence without a seal")?;
                let prev_hash = record.seal.map(|seal| seal.prev_hash);
                digests.insert(sequence, (prev_hash, digest));
            }
        }
        for (sequence, (prev_hash, _)) in &digests {
            let before = match sequence {
                1 => Some(seal::chain_start(self.spool_id)),
                _ => digests.get(&(sequence - 1)).map(|(_, digest)| *digest).or_else(|| self.held.digest(sequence - 1)),
            };
            if before.is_some() && *prev_hash != before {
                self.verdict.corrupt.push(format!("evidence {sequence} does not follow the one before it"));
            }
        }
        for sequence in captured {
            if !digests.contains_key(sequence) && !held.covers(SequenceRange::single(*sequence)) {
                self.verdict.lost.push(format!("the record {sequence} of a capture"));
            }
        }
        Ok(())
    }
}

fn overlap(one: SequenceRange, other: SequenceRange) -> bool {
    one.first() <= other.last() && other.first() <= one.last()
}
