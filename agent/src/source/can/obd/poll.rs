//! When to ask a vehicle what nobody else asks it: OBD-II parameters (SAE J1979, modes 01 and 09), and the VIN by a J1939
//! request.
//!
//! Promise: pure, and off unless somebody makes a [`Poller`] of what the configuration lists. One question is under way
//! at a time, and the next follows no sooner than [`PAUSE_MS`] after its answer, so a diagnostic tool on the same bus
//! still gets a word in. What the vehicle supports is asked first, and nothing that it does not. A vehicle that stops
//! answering is asked once every [`ASLEEP_MS`] only: questions keep control units awake, and their battery is the
//! customer's. Memory is bounded by the configuration.

use std::collections::VecDeque;

use super::super::{CanId, Data, Frame, FrameBody, j1939, transport};
use super::is_answer;

mod quantity;
mod support;

use quantity::Question;
pub use quantity::{Quantity, UnknownQuantity};
use support::{Next, Support};

/// Between an answer and the next question, milliseconds: other units may answer the same question for so long.
pub const PAUSE_MS: u64 = 50;
/// Without an answer for so long, milliseconds, there will be none (ISO 15765-4 allows units 50, gateways take longer).
pub const ANSWER_MS_MAX: u64 = 250;
/// A parameter group that is asked for is broadcast within so long, milliseconds (SAE J1939-21 allows 200 until its
/// announcement; a busy bus takes longer).
pub const GROUP_MS_MAX: u64 = 1_250;
/// So many questions in a row without an answer: the vehicle sleeps.
pub const UNANSWERED_MAX: u32 = 10;
/// Between questions to a vehicle that sleeps, milliseconds.
pub const ASLEEP_MS: u64 = 60_000;
/// What is supported is asked anew after so long, milliseconds: not every unit may have been awake the first time.
pub const SUPPORT_MS_MAX: u64 = 3_600_000;
/// Most quantities asked for.
pub const QUANTITIES_MAX: usize = 64;
/// Most frames waiting to be sent.
const WAITING_MAX: usize = 8;

/// Go on without waiting, all frames at once.
const FLOW_CONTROL: [u8; 8] = [0x30, 0, 0, 0, 0, 0, 0, 0];
/// A request of a parameter group, to everybody, from the address of a diagnostic tool (SAE J1939, table B2: 249). Such
/// tools need not claim it.
const REQUEST_ID: u32 = 0x18ea_fff9;

/// What to ask a vehicle, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollPlan {
    /// Which identifiers its diagnosis uses.
    pub addressing: Addressing,
    /// Each quantity with its period, seconds; at most [`QUANTITIES_MAX`].
    pub every_s: Vec<(Quantity, u32)>,
}

/// Which identifiers the vehicle's diagnosis uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// 11 bits: questions to 7DF.
    #[default]
    Standard,
    /// 29 bits: questions to 18DB33F1.
    Extended,
}

/// What became of the questions so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions sent.
    pub requests: u64,
    /// Those that somebody answered.
    pub answers: u64,
    /// Those that nobody answered in time.
    pub timeouts: u64,
}

/// Asks for some quantities, one after the other.
#[derive(Debug, Clone)]
pub struct Poller {
    entries: Vec<Entry>,
    addressing: Addressing,
    support: Support,
    /// Since when, milliseconds, what is supported is being learned.
    learned_ms: u64,
    state: State,
    /// Questions in a row that nobody answered.
    unanswered: u32,
    tally: Tally,
    outgoing: VecDeque<Frame>,
}

/// One quantity.
#[derive(Debug, Clone, Copy)]
struct Entry {
    quantity: Quantity,
    every_ms: u64,
    /// When it is to be asked for next.
    due_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next question may go at this time.
    Idle { from_ms: u64 },
    /// A question was sent for the entry at this place; its answer comes before this time or not at all.
    Asked { question: Question, place: usize, asked_ms: u64, until_ms: u64 },
}

impl Poller {
    /// Asks as planned from `now_ms` on; times are those of one monotonic clock.
    #[must_use]
    pub fn new(plan: &PollPlan, now_ms: u64) -> Self {
        let entry = |&(quantity, every_s): &(Quantity, u32)| Entry {
            quantity,
            every_ms: u64::from(every_s) * 1_000,
            due_ms: now_ms,
        };
        Self {
            entries: plan.every_s.iter().take(QUANTITIES_MAX).map(entry).collect(),
            addressing: plan.addressing,
            support: Support::default(),
            learned_ms: now_ms,
            state: State::Idle { from_ms: now_ms },
            unanswered: 0,
            tally: Tally::default(),
            outgoing: VecDeque::with_capacity(WAITING_MAX),
        }
    }

    /// The bus was opened anew: nothing is under way, and the vehicle may be another.
    pub fn reopened(&mut self, now_ms: u64) {
        self.outgoing.clear();
        self.state = State::Idle { from_ms: now_ms };
        self.forget_support(now_ms);
    }

    /// Takes every frame of the bus; only answers matter.
    pub fn handle_frame(&mut self, frame: &Frame, now_ms: u64) {
        let FrameBody::Data(data) = &frame.body else { return };
        let answered = match frame.id {
            id if is_answer(id) => self.is_answered(id, data.as_bytes()),
            CanId::Extended(id) => self.is_announced(id, data.as_bytes()),
            CanId::Standard(_) => false,
        };
        if answered && let State::Asked { question, place, asked_ms, .. } = self.state {
            self.unanswered = 0;
            self.tally.answers += 1;
            let entry = &mut self.entries[place];
            // Not yet, when what was asked is only whether it is supported.
            if entry.quantity.question() == question {
                entry.due_ms = (asked_ms + entry.every_ms).max(now_ms);
            }
            self.state = State::Idle { from_ms: now_ms + PAUSE_MS };
        }
    }

    /// Whether a unit's answer is the one to the question under way.
    fn is_answered(&mut self, id: CanId, data: &[u8]) -> bool {
        let State::Asked { question, .. } = self.state else {
            // A unit slower than the first one to answer.
            if let [1..=7, answer @ ..] = data {
                self.support.note(answer);
            }
            return false;
        };
        match *data {
            // The first of several frames: the unit goes on when it is told to.
            [first, _, service, item, ..] if first >> 4 == 1 && question.is_answered_by(service, item) => {
                if self.outgoing.len() < WAITING_MAX {
                    self.outgoing.push_back(frame_of(reply_id(id), FLOW_CONTROL));
                }
                true
            }
            [first, service, item, ..] if first >> 4 == 0 && question.is_answered_by(service, item) => {
                self.support.note(&data[1..]);
                true
            }
            _ => false,
        }
    }

    /// Whether this is the parameter group asked for, or the announcement that it comes in several frames.
    fn is_announced(&self, id: u32, data: &[u8]) -> bool {
        let State::Asked { question: Question::Group(wanted), .. } = self.state else { return false };
        let announced = match (j1939::Address::from_id(id).pgn, data) {
            (transport::CONTROL_PGN, &[transport::BROADCAST, _, _, _, _, low, middle, high]) => {
                u32::from_le_bytes([low, middle, high, 0])
            }
            (pgn, _) => pgn,
        };
        announced == wanted
    }

    /// The next frame to send, if one is due.
    pub fn poll_output(&mut self, now_ms: u64) -> Option<Frame> {
        if let Some(frame) = self.outgoing.pop_front() {
            return Some(frame);
        }
        self.give_up(now_ms);
        if now_ms.saturating_sub(self.learned_ms) >= SUPPORT_MS_MAX {
            self.forget_support(now_ms);
        }
        let State::Idle { from_ms } = self.state else { return None };
        let (place, question) = self.next().filter(|(place, _)| now_ms >= from_ms.max(self.entries[*place].due_ms))?;
        let patience_ms = if matches!(question, Question::Group(_)) { GROUP_MS_MAX } else { ANSWER_MS_MAX };
        self.state = State::Asked { question, place, asked_ms: now_ms, until_ms: now_ms + patience_ms };
        self.tally.requests += 1;
        Some(self.frame(question))
    }

    /// Ends the question under way if its time is up.
    fn give_up(&mut self, now_ms: u64) {
        let State::Asked { place, asked_ms, until_ms, .. } = self.state else { return };
        if now_ms < until_ms {
            return;
        }
        self.tally.timeouts += 1;
        self.unanswered = self.unanswered.saturating_add(1);
        let entry = &mut self.entries[place];
        entry.due_ms = (asked_ms + entry.every_ms).max(now_ms);
        self.state = State::Idle { from_ms: now_ms };
        if self.is_asleep() {
            self.state = State::Idle { from_ms: now_ms + ASLEEP_MS };
            self.forget_support(now_ms);
        }
    }

    fn forget_support(&mut self, now_ms: u64) {
        (self.support, self.learned_ms) = (Support::default(), now_ms);
    }

    /// What is due first of what the vehicle may have, and what to ask for it.
    fn next(&self) -> Option<(usize, Question)> {
        let questions =
            self.entries.iter().enumerate().filter_map(|(place, entry)| match self.support.next(entry.quantity) {
                Next::Ask(question) => Some((entry.due_ms, place, question)),
                Next::Unsupported => None,
            });
        questions.min_by_key(|(due_ms, place, _)| (*due_ms, *place)).map(|(_, place, question)| (place, question))
    }

    /// When [`Self::poll_output`] is to be asked again; none while there is nothing to ask for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.state {
            _ if self.entries.is_empty() => None,
            _ if !self.outgoing.is_empty() => Some(0),
            State::Idle { from_ms } => {
                let due_ms = self.next().map(|(place, _)| from_ms.max(self.entries[place].due_ms));
                Some(due_ms.unwrap_or(u64::MAX).min(self.learned_ms + SUPPORT_MS_MAX))
            }
            State::Asked { until_ms, .. } => Some(until_ms),
        }
    }

    /// What became of the questions so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether the vehicle seems to sleep.
    #[must_use]
    pub const fn is_asleep(&self) -> bool {
        self.unanswered >= UNANSWERED_MAX
    }

    /// What is not asked for, because no unit has it.
    pub fn unsupported(&self) -> impl Iterator<Item = Quantity> {
        let quantities = self.entries.iter().map(|entry| entry.quantity);
        quantities.filter(|quantity| self.support.next(*quantity) == Next::Unsupported)
    }

    fn frame(&self, question: Question) -> Frame {
        match question {
            Question::Obd { service, item } => {
                frame_of(self.addressing.question_id(), [2, service, item, 0, 0, 0, 0, 0])
            }
            Question::Group(pgn) => {
                let mut data = Data::EMPTY;
                let [low, middle, high, _] = pgn.to_le_bytes();
                // Three bytes fit any frame.
                let _fits = [low, middle, high].iter().all(|byte| data.push(*byte));
                Frame { id: CanId::Extended(REQUEST_ID), body: FrameBody::Data(data) }
            }
        }
    }
}

impl Addressing {
    /// Where a question for all units goes (ISO 15765-4).
    const fn question_id(self) -> CanId {
        match self {
            Self::Standard => CanId::Standard(0x7df),
            Self::Extended => CanId::Extended(0x18db_33f1),
        }
    }
}

/// Where a unit is spoken to that answers from `id`.
const fn reply_id(id: CanId) -> CanId {
    match id {
        CanId::Standard(id) => CanId::Standard(id.saturating_sub(8)),
        CanId::Extended(id) => CanId::Extended(0x18da_00f1 | (id & 0xff) << 8),
    }
}

fn frame_of(id: CanId, bytes: [u8; 8]) -> Frame {
    let mut data = Data::EMPTY;
    for byte in bytes {
        // Eight bytes fit any frame.
        let _fits = data.push(byte);
    }
    Frame { id, body: FrameBody::Data(data) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENGINE: CanId = CanId::Standard(0x7e8);
    /// Speed and fuel level, and that there is a second block.
    const SUPPORTED: [[u8; 8]; 2] = [[6, 0x41, 0x00, 0, 8, 0, 1, 0], [6, 0x41, 0x20, 0, 2, 0, 0, 0]];

    fn poller(every_s: &[(&str, u32)]) -> Poller {
        let every_s = every_s.iter().map(|(word, every_s)| (word.parse().expect("known"), *every_s)).collect();
        Poller::new(&PollPlan { addressing: Addressing::Standard, every_s }, 0)
    }

    /// A poller that has heard what the vehicle supports.
    fn informed(every_s: &[(&str, u32)]) -> Poller {
        let mut poller = poller(every_s);
        SUPPORTED.iter().for_each(|answer| poller.handle_frame(&frame_of(ENGINE, *answer), 0));
        poller
    }

    fn show(frame: Frame) -> String {
        let FrameBody::Data(data) = frame.body else { panic!("data") };
        format!("{} {:02x?}", frame.id, &data.as_bytes()[..3])
    }

    /// An engine's answer to a question: of what is supported, or a value.
    fn answer(question: &Frame) -> Option<Frame> {
        let FrameBody::Data(data) = &question.body else { return None };
        let &[_, service, item, ..] = data.as_bytes() else { return None };
        let supported = SUPPORTED.iter().find(|answer| answer[2] == item);
        let value = [3, service | 0x40, item, 1, 0, 0, 0, 0];
        Some(frame_of(ENGINE, supported.copied().unwrap_or(value)))
    }

    /// Asks at each time; answers come at once from the engine, if it answers.
    fn check(poller: &mut Poller, answers: bool, times_ms: &[u64], expected: &[Option<&str>]) {
        let mut found = Vec::new();
        for now_ms in times_ms {
            let question = poller.poll_output(*now_ms);
            if let Some(answer) = question.as_ref().and_then(answer).filter(|_| answers) {
                poller.handle_frame(&answer, *now_ms);
            }
            found.push(question.map(show));
        }
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    const FIRST_BLOCK: Option<&str> = Some("7DF [02, 01, 00]");
    const SECOND_BLOCK: Option<&str> = Some("7DF [02, 01, 20]");
    const SPEED: Option<&str> = Some("7DF [02, 01, 0d]");
    const FUEL: Option<&str> = Some("7DF [02, 01, 2f]");

    #[test]
    fn what_is_supported_is_asked_first_and_what_is_not_never() {
        let mut poller = poller(&[("engine_speed", 1), ("speed", 1), ("fuel_level", 1), ("odometer", 1)]);
        check(&mut poller, true, &[0, 50, 100, 150], &[FIRST_BLOCK, SPEED, SECOND_BLOCK, FUEL]);
        check(&mut poller, true, &[200, 1_050, 1_150, 1_200, 2_050], &[None, SPEED, FUEL, None, SPEED]);
        assert_eq!(poller.unsupported().map(|q| q.to_string()).collect::<Vec<_>>(), ["engine_speed", "odometer"]);
        assert_eq!(poller.tally(), Tally { requests: 7, answers: 7, timeouts: 0 });
    }

    #[test]
    fn each_quantity_keeps_its_period_and_questions_their_pause() {
        let mut poller = informed(&[("speed", 1), ("fuel_level", 60)]);
        check(&mut poller, true, &[0, 10, 50, 60, 100, 999, 1_000], &[SPEED, None, FUEL, None, None, None, SPEED]);
        check(&mut poller, true, &[2_000, 3_000, 60_049, 60_099], &[SPEED, SPEED, SPEED, FUEL]);
    }

    #[test]
    fn the_next_question_waits_for_the_answer_or_its_time() {
        let mut poller = informed(&[("speed", 1), ("fuel_level", 1)]);
        check(&mut poller, false, &[0, 100, 249, 250], &[SPEED, None, None, FUEL]);
        assert_eq!(poller.poll_timeout(), Some(500));
        check(&mut poller, false, &[500, 999, 1_000], &[None, None, SPEED]);
        assert_eq!(poller.tally(), Tally { requests: 3, answers: 0, timeouts: 2 });
    }

    #[test]
    fn a_vehicle_that_does_not_answer_is_let_sleep_and_asked_now_and_then_what_it_supports() {
        let mut poller = informed(&[("speed", 1)]);
        let times: Vec<u64> = (0..10).map(|n| n * 1_250).collect();
        check(&mut poller, false, &times, &[SPEED; 10]);
        let asleep_from = 9 * 1_250 + ANSWER_MS_MAX;
        check(&mut poller, false, &[asleep_from, asleep_from + ASLEEP_MS - 1], &[None, None]);
        assert!(poller.is_asleep());
        check(&mut poller, false, &[asleep_from + ASLEEP_MS], &[FIRST_BLOCK]);
        let again = asleep_from + ASLEEP_MS + ANSWER_MS_MAX;
        check(&mut poller, true, &[again, again + ASLEEP_MS], &[None, FIRST_BLOCK]);
        assert!(!poller.is_asleep());
        check(&mut poller, true, &[again + ASLEEP_MS + PAUSE_MS], &[SPEED]);
    }

    #[test]
    fn what_is_supported_is_asked_again_after_an_hour_and_when_the_bus_was_opened_anew() {
        let mut poller = informed(&[("odometer", 1)]);
        check(&mut poller, true, &[0, SUPPORT_MS_MAX - 1], &[None, None]);
        assert_eq!(poller.poll_timeout(), Some(SUPPORT_MS_MAX));
        check(&mut poller, true, &[SUPPORT_MS_MAX], &[FIRST_BLOCK]);
        poller.reopened(SUPPORT_MS_MAX + 1);
        check(&mut poller, true, &[SUPPORT_MS_MAX + 1], &[FIRST_BLOCK]);
    }

    #[test]
    fn an_answer_of_several_frames_is_let_through() {
        for (from, to) in [
            (CanId::Standard(0x7ea), CanId::Standard(0x7e2)),
            (CanId::Extended(0x18da_f110), CanId::Extended(0x18da_10f1)),
        ] {
            let mut poller = poller(&[("vin", 3_600)]);
            assert_eq!(poller.poll_output(0).map(show).as_deref(), Some("7DF [02, 09, 00]"));
            poller.handle_frame(&frame_of(from, [6, 0x49, 0x00, 0x40, 0, 0, 0, 0]), 0);
            assert_eq!(poller.poll_output(PAUSE_MS).map(show).as_deref(), Some("7DF [02, 09, 02]"));
            poller.handle_frame(&frame_of(from, [0x10, 0x14, 0x49, 0x02, 0x01, 0, 0, 0]), 60);
            assert_eq!(poller.poll_output(60), Some(frame_of(to, FLOW_CONTROL)));
            assert_eq!(poller.poll_output(60), None);
        }
    }

    #[test]
    fn a_trucks_number_is_asked_for_by_a_request_and_answered_by_a_broadcast() {
        let mut poller = poller(&[("j1939_vin", 3_600)]);
        assert_eq!(poller.poll_output(0).map(show).as_deref(), Some("18EAFFF9x [ec, fe, 00]"));
        let of_another_group = frame_of(CanId::Extended(0x18ec_ff00), [0x20, 10, 0, 2, 0xff, 0xca, 0xfe, 0]);
        poller.handle_frame(&of_another_group, 100);
        assert_eq!(poller.tally().answers, 0);
        poller.handle_frame(&frame_of(CanId::Extended(0x18ec_ff00), [0x20, 18, 0, 3, 0xff, 0xec, 0xfe, 0]), 200);
        assert_eq!((poller.tally().answers, poller.poll_timeout()), (1, Some(3_600_000)));
    }

    #[test]
    fn frames_that_answer_something_else_do_not_count() {
        let mut poller = informed(&[("speed", 1), ("fuel_level", 1)]);
        assert!(poller.poll_output(0).is_some());
        for (id, bytes) in [
            (ENGINE, [3, 0x41, 0x2f, 1, 0, 0, 0, 0]),
            (CanId::Standard(0x123), [3, 0x41, 0x0d, 1, 0, 0, 0, 0]),
            (ENGINE, [3, 0x7f, 0x01, 0x12, 0, 0, 0, 0]),
        ] {
            poller.handle_frame(&frame_of(id, bytes), 10);
            assert_eq!(poller.poll_output(200), None);
        }
        assert_eq!(poller.tally().answers, 0);
    }

    #[test]
    fn nothing_to_ask_for_asks_nothing() {
        let mut poller = poller(&[]);
        assert_eq!((poller.poll_output(0), poller.poll_timeout()), (None, None));
    }

    proptest! {
        /// However often it is asked, whatever is on the bus: the bus gets no more than a question a pause.
        #[test]
        fn a_bus_is_never_flooded(steps in proptest::collection::vec((0_u64..200, any::<[u8; 8]>(), 0_u16..16), 1..300)) {
            let mut poller = poller(&[("speed", 1), ("fuel_level", 1), ("vin", 1), ("j1939_vin", 1)]);
            let mut now_ms = 0;
            for (pass_ms, bytes, unit) in &steps {
                now_ms += pass_ms;
                poller.handle_frame(&frame_of(CanId::Standard(0x7e0 + unit), *bytes), now_ms);
                while poller.poll_output(now_ms).is_some() {}
            }
            let Tally { requests, answers, timeouts } = poller.tally();
            prop_assert!(requests <= 1 + now_ms / PAUSE_MS, "{requests} in {now_ms} ms");
            prop_assert!(answers + timeouts <= requests && requests <= answers + timeouts + 1);
        }
    }
}
