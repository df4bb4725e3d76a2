//! The way between vehicles and the gateway, and everything that happens on it.
//!
//! Promise: whatever happens to a request, the agent hears of it once, as from its real client: an answer's bytes through
//! the real decoder, or a failure, at the latest when the client's own timeout ends.

use milepost_agent::event::{Event, Uplinked};
use milepost_agent::uplink::SendFailure;
use milepost_agent::uplink::classify::classify;
use milepost_agent::uplink::outgoing::{Outgoing, Parcel};
use milepost_proto::wire;

use super::World;
use super::schedule::{Happening, Letter, Reply};
use super::vehicle::Awaited;

/// How long the agent's client waits for an answer, milliseconds.
const TIMEOUT_MS: i64 = 30_000;
/// A request up to this size is small, bytes: more than one grown chunk has.
const SMALL_BYTES: usize = 8 * 1_024;

fn unreachable(why: &str) -> SendFailure {
    SendFailure::Unreachable { why: why.to_owned() }
}

impl World {
    /// An agent hands over a request.
    pub(super) fn post(&mut self, vehicle: usize, Outgoing { ticket, parcel }: Outgoing) {
        self.letters += 1;
        self.truth.tally.requests += 1;
        let number = self.letters;
        let life = self.vehicles[vehicle].life;
        let Some(agent) = self.vehicles[vehicle].agent.as_mut() else { return };
        if agent.awaited.iter().any(|awaited| awaited.ticket.slot == ticket.slot) {
            self.truth.breach(format!("vehicle {vehicle} has two requests under way in one slot"));
        }
        let spool_id = match &parcel {
            Parcel::Request { spool_id, .. } => *spool_id,
            Parcel::BlobPart { .. } => agent.spool_id,
        };
        agent.awaited.push(Awaited { letter: number, ticket, spool_id });
        let letter = Letter { vehicle, life, number, content: parcel, is_copy: false };
        self.reply(&letter, TIMEOUT_MS, Reply::Failure(unreachable("no answer in time")));
        if self.vehicles[vehicle].offline_until_ms > self.now_ms {
            let after_ms = self.within(0, 10);
            return self.reply(&letter, after_ms, Reply::Failure(unreachable("no network")));
        }
        let faults = self.faults;
        if self.chance.happens(faults.loss) {
            let after_ms = self.within(0, 20);
            return self.reply(&letter, after_ms, Reply::Failure(unreachable("connection reset")));
        }
        if self.chance.happens(faults.duplicate) {
            let after_ms = self.within(0, 180);
            let copy = Letter { is_copy: true, ..letter.clone() };
            self.schedule.put(self.now_ms + after_ms, Happening::Arrival(Box::new(copy)));
        }
        if self.chance.happens(faults.black_hole) {
            return;
        }
        if self.chance.happens(faults.refused) {
            // Nobody finds a small request too large, or a chunk would be blamed for it and set aside.
            let too_large = if letter.content.bytes() > SMALL_BYTES { 413 } else { 503 };
            let status = [503, too_large, 500][usize::try_from(self.chance.below(3)).unwrap_or(0)];
            return self.reply(&letter, 200, Reply::Failure(classify(status, Some(2), "")));
        }
        let after_ms = if self.chance.happens(faults.slow) { self.within(1, 120) } else { self.within(0, 2) };
        self.schedule.put(self.now_ms + after_ms, Happening::Arrival(Box::new(letter)));
    }

    /// A request reaches the gateway, if that is up.
    pub(super) fn arrive(&mut self, letter: &Letter) {
        if self.office.store.is_none() {
            return self.reply(letter, 50, Reply::Failure(unreachable("connection refused")));
        }
        let life = self.office.life;
        let reply = match &letter.content {
            Parcel::Request { envelope, .. } => match self.take_request(letter.vehicle, envelope) {
                Ok(bytes) => Reply::Answer(bytes),
                Err(failure) => Reply::Failure(failure),
            },
            Parcel::BlobPart { blob, offset, bytes } => match self.take_part(letter.vehicle, *blob, *offset, bytes) {
                Ok(state) => Reply::Part(state, *offset),
                Err(failure) => Reply::Failure(failure),
            },
        };
        let still_up = self.office.life == life && self.office.store.is_some();
        if !still_up && !matches!(reply, Reply::Answer(_) | Reply::Part(..)) {
            // It died while it worked: there is nobody to refuse.
            return self.reply(letter, 50, Reply::Failure(unreachable("connection reset")));
        }
        let faults = self.faults;
        if self.chance.happens(faults.answer_lost) {
            return;
        }
        let reply =
            if self.chance.happens(faults.wrong_answer) { self.wrong_answer(letter.vehicle, reply) } else { reply };
        if let Reply::Answer(bytes) = &reply {
            self.office.last_answers.insert(letter.vehicle, bytes.clone());
        }
        let after_ms = if self.chance.happens(faults.slow) { self.within(1, 60) } else { self.within(0, 1) };
        self.reply(letter, after_ms, reply);
    }

    /// Something that is no answer to what was asked.
    fn wrong_answer(&mut self, vehicle: usize, reply: Reply) -> Reply {
        match (self.chance.below(4), reply) {
            (0, Reply::Answer(bytes)) => Reply::Answer(bytes[..bytes.len() / 2].to_vec()),
            (1, _) => Reply::Answer(b"<html>Please log in to this network</html>".to_vec()),
            (2, reply) => self.office.last_answers.get(&vehicle).map_or(reply, |bytes| Reply::Answer(bytes.clone())),
            // Another vehicle's: it speaks of another spool.
            (_, reply) => self.office.last_answers.values().next().map_or(reply, |bytes| Reply::Answer(bytes.clone())),
        }
    }

    fn reply(&mut self, letter: &Letter, after_ms: i64, outcome: Reply) {
        if letter.is_copy {
            return;
        }
        let Letter { vehicle, life, number, .. } = *letter;
        let answer = Happening::Answer { vehicle, life, letter: number, outcome: Box::new(outcome) };
        self.schedule.put(self.now_ms + after_ms, answer);
    }

    /// A request ends for its agent, unless it has ended before.
    pub(super) fn answer(&mut self, vehicle: usize, life: u64, letter: u64, outcome: Reply) {
        let machine = &self.vehicles[vehicle];
        let agent = machine.agent.as_ref().filter(|_| machine.life == life);
        let awaited = agent.and_then(|agent| agent.awaited.iter().find(|awaited| awaited.letter == letter));
        let Some(&Awaited { ticket, spool_id, .. }) = awaited else { return };
        let uplinked = match outcome {
            Reply::Answer(bytes) => wire::decode_answer(&bytes, spool_id)
                .map(Uplinked::Answer)
                .map_err(|fault| SendFailure::Broken { why: fault.to_string() }),
            Reply::Part(state, offset) => Ok(Uplinked::Part(state, offset)),
            Reply::Failure(failure) => Err(failure),
        };
        self.touch(vehicle, |agent| {
            agent.awaited.retain(|awaited| awaited.letter != letter);
            agent.hand(Event::Uplinked(ticket, uplinked));
        });
    }
}
