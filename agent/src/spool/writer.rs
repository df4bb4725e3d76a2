//! The one thread that writes: takes what waits, commits it together, then answers.
//!
//! Promise: nothing is answered as kept that the next start would not find. A file found damaged ends the thread, with a
//! note for the next start; one that was moved or deleted takes nothing more, and ends it once all it held was handed over.

use std::collections::BTreeMap;

use milepost_proto::{Lane, SpoolId};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::mpsc;

use super::{
    Command, Measure, Reply, Signer, SpoolError, append, blobs, captures, down_link, file, lanes, offer, poison, quota,
    salvaged, settle, tally,
};

/// Most commands that share one commit.
const GROUP_MAX: usize = 32;

/// The file and what is needed to write to it.
pub(super) struct Ledger {
    pub(super) connection: Connection,
    pub(super) spool_id: SpoolId,
    pub(super) place: file::Place,
    pub(super) quota_bytes: u64,
    pub(super) signer: Signer,
    /// Records that the disk would not take; they become a gap with the lane's next append that works.
    pub(super) unrecorded: Unrecorded,
    /// Why the file must be set aside, once that is known.
    pub(super) damage: Option<String>,
    /// Whether it takes no more commands.
    pub(super) ended: bool,
}

/// Records by lane that appear in no chunk. Evidence is never among them: whoever captured it is told.
pub(super) type Unrecorded = BTreeMap<Lane, u64>;

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
    fn commit(&mut self, group: impl Iterator<Item = Command>) {
        let group: Vec<Command> = group.collect();
        let mut unrecorded = self.unrecorded.clone();
        for (lane, count) in group.iter().filter_map(Command::appends) {
            *unrecorded.entry(lane).or_default() += count;
        }
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        let outcome = self.carry_out(group, &mut answers);
        if let Err(error) = &outcome {
            note_damage(&mut self.damage, error);
            self.unrecorded = unrecorded;
        }
        for answer in answers {
            answer(outcome.as_ref().err());
        }
    }

    fn carry_out(&mut self, group: Vec<Command>, answers: &mut Vec<Answer>) -> Result<(), SpoolError> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut step = Step {
            transaction: &mut transaction,
            spool_id: self.spool_id,
            is_held: self.place.is_held(),
            quota_bytes: self.quota_bytes,
            signer: &self.signer,
            unrecorded: &mut self.unrecorded,
            damage: &mut self.damage,
        };
        answers.extend(group.into_iter().map(|command| step.carry_out(command)));
        Ok(transaction.commit()?)
    }
}

impl Command {
    /// The lane and number of the records that are lost if this command's commit fails.
    const fn appends(&self) -> Option<(Lane, u64)> {
        match self {
            Self::Append { lane, records, .. } => Some((*lane, records.len() as u64)),
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
    quota_bytes: u64,
    signer: &'s Signer,
    unrecorded: &'s mut Unrecorded,
    damage: &'s mut Option<String>,
}

impl Step<'_, '_> {
    fn carry_out(&mut self, command: Command) -> Answer {
        let spool_id = self.spool_id;
        match command {
            Command::Append { lane, boot_id, records, reply } => {
                let count = records.len() as u64;
                let result = self.append(lane, |connection| append::append(connection, lane, boot_id, records));
                if result.is_err() {
                    *self.unrecorded.entry(lane).or_default() += count;
                }
                answer(reply, result)
            }
            Command::Capture { key, boot_id, record, reply } => {
                let signer = self.signer;
                let result = self.append(Lane::Evidence, |connection| {
                    captures::capture(connection, spool_id, &key, boot_id, *record, signer)
                });
                answer(reply, result)
            }
            Command::FindCapture { key, reply } => {
                answer(reply, self.whole(|connection| captures::find(connection, &key)))
            }
            Command::BlobPart { part, reply } => {
                let result = self.append(Lane::Evidence, |connection| blobs::keep_part(connection, &part));
                answer(reply, result)
            }
            Command::Offer { scope, limits, reply } => {
                answer(reply, self.whole(|connection| offer::offer(connection, scope, limits)))
            }
            Command::OfferSalvaged { bytes_max, reply } => {
                answer(reply, self.whole(|connection| salvaged::offer(connection, bytes_max)))
            }
            Command::BlobBytes { sha256, start, length_max, reply } => {
                answer(reply, self.whole(|connection| blobs::bytes(connection, sha256, start, length_max)))
            }
            Command::Settle { receipts, blobs, reply } => {
                let result = self.whole(|connection| {
                    blobs::settle(connection, &blobs)?;
                    let mut sum = settle::Settled::default();
                    for receipt in &receipts {
                        let settled = if receipt.spool_id == spool_id {
                            settle::settle(connection, receipt)?
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
                answer(reply, self.whole(|connection| down_link::keep(connection, &item)))
            }
            Command::Quarantine { poison, now, reply } => {
                answer(reply, self.whole(|connection| poison::set_aside(connection, &poison, now)))
            }
            Command::Tally { reply } => answer(reply, self.whole(tally::read)),
            Command::KeepTally { tally, reply } => {
                answer(reply, self.whole(|connection| tally::keep(connection, tally)))
            }
            Command::Measure { reply } => answer(reply, self.whole(measure)),
        }
    }

    /// Makes room, then writes; what could not be written before appears as a gap first.
    fn append<T>(
        &mut self,
        lane: Lane,
        write: impl FnOnce(&Connection) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        if !self.is_held {
            return Err(SpoolError::Moved);
        }
        let quota_bytes = self.quota_bytes;
        let unrecorded = self.unrecorded.get(&lane).copied().unwrap_or(0);
        let result = self.whole(|connection| {
            quota::make_room(connection, quota_bytes)?;
            if unrecorded > 0 {
                append::append_gap(connection, lane, unrecorded, append::unrecorded())?;
            }
            write(connection)
        });
        if result.is_ok() {
            self.unrecorded.remove(&lane);
        }
        result
    }

    /// Does all of `work` or none of it, whatever the rest of the group does.
    fn whole<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        let result = self.try_whole(work);
        if let Err(error) = &result {
            note_damage(self.damage, error);
        }
        result
    }

    fn try_whole<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        let savepoint = self.transaction.savepoint()?;
        let result = work(&savepoint)?;
        savepoint.commit()?;
        Ok(result)
    }
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

fn measure(connection: &Connection) -> Result<Measure, SpoolError> {
    Ok(Measure {
        lanes: lanes::all(connection)?,
        disk_bytes: quota::used_bytes(connection)?,
        blobs: blobs::waiting(connection)?,
        poison: poison::measure(connection)?,
        oldest_salvaged: salvaged::oldest(connection)?,
    })
}
