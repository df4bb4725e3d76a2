//! The one thread that writes: takes what waits, commits it together, then answers.
//!
//! Promise: nothing is answered as kept that the next start would not find. A file found damaged ends the thread, with a
//! note for the next start; one that was moved or deleted takes nothing more, and ends it once all it held was handed over.

use std::collections::BTreeMap;

use milepost_proto::{Batch, Lane, Record, SequenceRange, SpoolId, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::mpsc;

use super::offered::Offered;
use super::quota::Thinning;
use super::space::Space;
use super::tail::Tails;
use super::{
    Command, Measure, Reply, Signer, SpoolError, append, blobs, captures, down_link, file, lanes, offer,
    oldest_event_time, poison, quota, salvaged, settle, tally,
};

/// Most commands that share one commit.
const GROUP_MAX: usize = 32;

/// The file and what is needed to write to it.
pub(super) struct Ledger {
    pub(super) connection: Connection,
    pub(super) spool_id: SpoolId,
    pub(super) place: file::Place,
    pub(super) space: Space,
    pub(super) signer: Signer,
    pub(super) memory: Memory,
    /// Records that the disk would not take; they become a gap with the lane's next append that works.
    pub(super) unrecorded: Unrecorded,
    /// Why the file must be set aside, once that is known.
    pub(super) damage: Option<String>,
    /// Whether the log may end in a commit that was answered as failed: a restart would find it whole.
    pub(super) doubtful: bool,
    /// Whether it takes no more commands.
    pub(super) ended: bool,
}

/// What the writer knows that the file does not say.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The chunks that still grow.
    pub(super) tails: Tails,
    /// What the gateway may have seen.
    pub(super) offered: Offered,
    /// How far thinning has come.
    pub(super) thinning: Thinning,
}

impl Memory {
    /// The chunks of `batches` are about to leave: from here on they are what they are.
    fn offer(&mut self, connection: &Connection, batches: &[Batch]) -> Result<(), SpoolError> {
        let chunks = batches.iter().flat_map(|batch| batch.chunks.iter().map(|chunk| (batch.lane, chunk.range)));
        chunks.for_each(|(lane, range)| self.tails.close_in(lane, range));
        self.offered.add(connection, batches)
    }

    /// The chunks in `range` have gone.
    pub(super) fn forget(&mut self, lane: Lane, range: SequenceRange) {
        self.tails.close_in(lane, range);
        self.offered.forget(lane, range);
    }
}

/// Records by lane that appear in no chunk. Evidence is never among them: whoever captured it is told.
pub(super) type Unrecorded = BTreeMap<Lane, Missed>;

/// Records that the disk would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missed {
    count: u64,
    /// The earliest event among them. A commit that failed may have reached the disk all the same, and is then there
    /// after a restart; so until another commit has taken its place the low-water mark may not pass it.
    oldest: Timestamp,
}

impl Default for Missed {
    fn default() -> Self {
        Self { count: 0, oldest: Timestamp::MAX }
    }
}

impl Missed {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.oldest = self.oldest.min(more.oldest);
    }
}

/// Gives an answer once the commit it depends on has succeeded or failed.
type Answer = Box<dyn FnOnce(Option<&SpoolError>) + Send>;

impl Ledger {
    /// Works until every handle is gone, or the file is no longer one to work with.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while !self.ended && inbox.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            self.commit(group.drain(..));
            self.end_if_spent();
        }
    }

    /// Carries out one command in a transaction of its own; one that comes after the end stays unanswered.
    pub(super) fn carry_out_alone(&mut self, command: Command) {
        if !self.ended {
            self.commit(std::iter::once(command));
            self.end_if_spent();
        }
    }

    /// Whether it takes no more commands.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn end_if_spent(&mut self) {
        self.ended = self.is_spent();
        if let Some(why) = &self.damage
            && let Err(error) = self.place.note_damage(why)
        {
            tracing::error!("the spool is damaged ({why}), which could not be noted for the next start: {error}");
        }
    }

    fn is_spent(&self) -> bool {
        let is_empty = || lanes::all(&self.connection).is_ok_and(|lanes| lanes.iter().all(|lane| lane.waiting == 0));
        self.damage.is_some() || (!self.place.is_held() && is_empty())
    }

    /// Carries out a group of commands in one transaction and answers all of them after it.
    pub(super) fn commit(&mut self, group: impl Iterator<Item = Command>) {
        let group: Vec<Command> = group.collect();
        let mut unrecorded = self.unrecorded.clone();
        for (lane, missed) in group.iter().filter_map(Command::appends) {
            unrecorded.entry(lane).or_default().add(missed);
        }
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        self.space.shorten_log(&self.connection);
        let outcome = self.carry_out(group, &mut answers);
        self.doubtful = outcome.is_err();
        match &outcome {
            Ok(()) => self.memory.offered.committed(),
            Err(error) => {
                note_damage(&mut self.damage, error);
                self.unrecorded = unrecorded;
                self.memory.offered.undo(0);
                self.memory.tails.close_all();
            }
        }
        for answer in answers {
            answer(outcome.as_ref().err());
        }
    }

    fn carry_out(&mut self, group: Vec<Command>, answers: &mut Vec<Answer>) -> Result<(), SpoolError> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self.doubtful {
            // Nothing is offered before a commit of this transaction has taken the doubtful one's place in the log: what a
            // restart could find instead of it would contradict what was handed over.
            count_doubtful(&transaction)?;
        }
        let mut step = Step {
            transaction: &mut transaction,
            spool_id: self.spool_id,
            is_held: self.place.is_held(),
            space: &self.space,
            signer: &self.signer,
            memory: &mut self.memory,
            unrecorded: &mut self.unrecorded,
            damage: &mut self.damage,
            undone: None,
        };
        answers.extend(group.into_iter().map(|command| step.carry_out(command)));
        match step.undone {
            Some(error) => Err(error),
            None => Ok(transaction.commit()?),
        }
    }
}

impl Command {
    /// The lane and the records that are lost if this command's commit fails.
    fn appends(&self) -> Option<(Lane, Missed)> {
        match self {
            Self::Append { lane, records, .. } => Some((*lane, missed(records))),
            _ => None,
        }
    }
}

/// One transaction under way.
struct Step<'s, 'c> {
    transaction: &'s mut Transaction<'c>,
    spool_id: SpoolId,
    /// Whether the next start will find this file.
    is_held: bool,
    space: &'s Space,
    signer: &'s Signer,
    memory: &'s mut Memory,
    unrecorded: &'s mut Unrecorded,
    damage: &'s mut Option<String>,
    /// Why SQLite has taken back all of it: on a full disk it may, and whatever follows would be committed by itself.
    undone: Option<SpoolError>,
}

impl Step<'_, '_> {
    fn carry_out(&mut self, command: Command) -> Answer {
        let spool_id = self.spool_id;
        match command {
            Command::Append { lane, boot_id, records, reply } => {
                let missed = missed(&records);
                let result = self.append(lane, |connection, memory| {
                    append::append(connection, &mut memory.tails, lane, boot_id, records)
                });
                if result.is_err() {
                    self.unrecorded.entry(lane).or_default().add(missed);
                }
                answer(reply, result)
            }
            Command::Capture { key, boot_id, record, reply } => {
                let signer = self.signer;
                let result = self.append(Lane::Evidence, |connection, _| {
                    captures::capture(connection, spool_id, &key, boot_id, *record, signer)
                });
                answer(reply, result)
            }
            Command::FindCapture { key, reply } => {
                answer(reply, self.whole(|connection, _| captures::find(connection, &key)))
            }
            Command::BlobPart { part, reply } => {
                let result = self.append(Lane::Evidence, |connection, _| blobs::keep_part(connection, &part));
                answer(reply, result)
            }
            Command::Offer { scope, limits, reply } => {
                let result = self.whole(|connection, memory| {
                    let offer = offer::offer(connection, scope, limits)?;
                    memory.offer(connection, &offer.batches)?;
                    Ok(offer)
                });
                let missed = self.unrecorded.values().map(|missed| missed.oldest).min();
                answer(reply, result.map(|offered| offered.behind(missed)))
            }
            Command::OfferSalvaged { bytes_max, reply } => {
                answer(reply, self.whole(|connection, _| salvaged::offer(connection, bytes_max)))
            }
            Command::BlobBytes { sha256, start, length_max, reply } => {
                answer(reply, self.whole(|connection, _| blobs::bytes(connection, sha256, start, length_max)))
            }
            Command::Settle { receipts, blobs, reply } => {
                let result = self.whole(|connection, memory| {
                    blobs::settle(connection, &blobs)?;
                    let mut sum = settle::Settled::default();
                    for receipt in &receipts {
                        let settled = if receipt.spool_id == spool_id {
                            settle::settle(connection, memory, receipt)?
                        } else {
                            salvaged::settle(connection, receipt)?
                        };
                        sum.settled += settled.settled;
                        sum.refused += settled.refused;
                    }
                    Ok(sum)
                });
                answer(reply, result)
            }
            Command::KeepDownLink { item, reply } => {
                answer(reply, self.whole(|connection, _| down_link::keep(connection, &item)))
            }
            Command::Measure { reply } => {
                let space = self.space;
                answer(reply, self.whole(|connection, _| measure(connection, space)))
            }
            Command::Farewell { reply } => {
                answer(reply, self.whole(|connection, memory| memory.offered.leave_note(connection)))
            }
            Command::Quarantine { poison, now, reply } => {
                answer(reply, self.whole(|connection, memory| poison::set_aside(connection, memory, &poison, now)))
            }
            Command::Tally { reply } => answer(reply, self.whole(|connection, _| tally::read(connection))),
            Command::KeepTally { tally, reply } => {
                answer(reply, self.whole(|connection, _| tally::keep(connection, tally)))
            }
        }
    }

    /// Makes room, then writes; what could not be written before appears as a gap first.
    fn append<T>(
        &mut self,
        lane: Lane,
        write: impl FnOnce(&Connection, &mut Memory) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if !self.is_held {
            return Err(SpoolError::Moved);
        }
        let space = self.space;
        let unrecorded = self.unrecorded.get(&lane).map_or(0, |missed| missed.count);
        let result = self.whole(|connection, memory| {
            quota::make_room(connection, space, memory)?;
            if unrecorded > 0 {
                memory.tails.close(lane);
                append::append_gap(connection, &mut memory.offered, lane, unrecorded, &append::unrecorded())?;
            }
            write(connection, memory)
        });
        if result.is_ok() {
            self.unrecorded.remove(&lane);
        }
        result
    }

    /// Does all of `work` or none of it, whatever the rest of the group does.
    fn whole<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Memory) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if let Some(error) = &self.undone {
            return Err(error.clone());
        }
        let mark = self.memory.offered.mark();
        let result = self.try_whole(work);
        if let Err(error) = &result {
            note_damage(self.damage, error);
            self.memory.offered.undo(mark);
            self.memory.tails.close_all();
            if self.transaction.is_autocommit() {
                self.undone = Some(error.clone());
            }
        }
        result
    }

    fn try_whole<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Memory) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let savepoint = self.transaction.savepoint()?;
        let result = work(&savepoint, self.memory)?;
        savepoint.commit()?;
        Ok(result)
    }
}

fn missed(records: &[Record]) -> Missed {
    Missed { count: records.len() as u64, oldest: oldest_event_time(records) }
}

/// Counts a doubtful commit in the file. It must really change something: SQLite writes no page that stays as it is.
fn count_doubtful(connection: &Connection) -> Result<(), SpoolError> {
    let sql = "INSERT INTO fact (name, value) VALUES ('doubtful_commits', 1)
        ON CONFLICT (name) DO UPDATE SET value = value + 1";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn note_damage(damage: &mut Option<String>, error: &SpoolError) {
    if let SpoolError::Damaged(why) = error {
        damage.get_or_insert_with(|| why.clone());
    }
}

fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T, SpoolError>) -> Answer {
    Box::new(move |commit_error| {
        let result = commit_error.map_or(result, |error| Err(error.clone()));
        // Whoever asked may have gone; what was committed stays.
        drop(reply.send(result));
    })
}

fn measure(connection: &Connection, space: &Space) -> Result<Measure, SpoolError> {
    Ok(Measure {
        lanes: lanes::all(connection)?,
        disk_bytes: space.used_bytes(connection)?,
        free_bytes: space.free_bytes(),
        free_bytes_min: space.free_bytes_min(),
        blobs: blobs::waiting(connection)?,
        poison: poison::measure(connection)?,
        oldest_salvaged: salvaged::oldest(connection)?,
    })
}
