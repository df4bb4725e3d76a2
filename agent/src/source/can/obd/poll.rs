//! When to ask a vehicle what nobody else asks it (OBD-II, mode 01 and the VIN of mode 09).
//!
//! Promise: pure, and off unless somebody makes a [`Poller`] of what the configuration lists. One question is under way
//! at a time, and the next follows no sooner than [`PAUSE_MS`] after its answer, so a diagnostic tool on the same bus
//! still gets a word in. A vehicle that stops answering is asked once every [`ASLEEP_MS`] only: questions keep control
//! units awake, and their battery is the customer's.

use std::collections::VecDeque;
use std::str::FromStr;

use super::super::{CanId, Data, Frame, FrameBody};
use super::is_answer;

/// Between an answer and the next question, milliseconds.
pub const PAUSE_MS: u64 = 50;
/// Without an answer for so long, milliseconds, there will be none (ISO 15765-4 allows units 50, gateways take longer).
pub const ANSWER_MS_MAX: u64 = 250;
/// So many questions in a row without an answer: the vehicle sleeps.
pub const UNANSWERED_MAX: u32 = 10;
/// Between questions to a vehicle that sleeps, milliseconds.
pub const ASLEEP_MS: u64 = 60_000;
/// Most frames waiting to be sent.
const WAITING_MAX: usize = 8;

const CURRENT_DATA: u8 = 0x01;
const VEHICLE_INFORMATION: u8 = 0x09;
const VIN_ITEM: u8 = 0x02;
/// Go on without waiting, all frames at once.
const FLOW_CONTROL: [u8; 8] = [0x30, 0, 0, 0, 0, 0, 0, 0];

/// What can be asked for: a service and one of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    service: u8,
    item: u8,
}

/// The words of the configuration.
const QUANTITIES: [(&str, Quantity); 15] = [
    ("engine_load", current(0x04)),
    ("coolant_temperature", current(0x05)),
    ("engine_speed", current(0x0c)),
    ("speed", current(0x0d)),
    ("intake_temperature", current(0x0f)),
    ("air_flow", current(0x10)),
    ("throttle", current(0x11)),
    ("run_time", current(0x1f)),
    ("fuel_level", current(0x2f)),
    ("module_voltage", current(0x42)),
    ("ambient_temperature", current(0x46)),
    ("oil_temperature", current(0x5c)),
    ("fuel_rate", current(0x5e)),
    ("odometer", current(0xa6)),
    ("vin", Quantity { service: VEHICLE_INFORMATION, item: VIN_ITEM }),
];

const fn current(item: u8) -> Quantity {
    Quantity { service: CURRENT_DATA, item }
}

/// A word of `poll` that names nothing that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} cannot be asked for; use {}", QUANTITIES.map(|(word, _)| word).join(", "))]
pub struct UnknownQuantity {
    found: String,
}

impl FromStr for Quantity {
    type Err = UnknownQuantity;

    fn from_str(word: &str) -> Result<Self, UnknownQuantity> {
        let known = QUANTITIES.iter().find(|(known, _)| *known == word);
        known.map(|(_, quantity)| *quantity).ok_or_else(|| UnknownQuantity { found: word.to_owned() })
    }
}

/// Which identifiers the vehicle's diagnosis uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// 11 bits: questions to 7DF.
    Standard,
    /// 29 bits: questions to 18DB33F1.
    Extended,
}

/// Asks for some quantities, one after the other.
#[derive(Debug, Clone)]
pub struct Poller {
    quantities: Vec<Quantity>,
    addressing: Addressing,
    /// A round of questions begins this often.
    interval_ms: u64,
    /// The question that is next in this round.
    next: usize,
    round_began_ms: u64,
    state: State,
    /// Questions in a row that nobody answered.
    unanswered: u32,
    outgoing: VecDeque<Frame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next question may go at this time.
    Idle { due_ms: u64 },
    /// A question was sent; its answer comes before this time or not at all.
    Asked { quantity: Quantity, until_ms: u64 },
}

impl Poller {
    /// Asks for each of `quantities` every `interval_ms`, from `now_ms` on; times are those of one monotonic clock.
    #[must_use]
    pub const fn new(quantities: Vec<Quantity>, addressing: Addressing, interval_ms: u64, now_ms: u64) -> Self {
        Self {
            quantities,
            addressing,
            interval_ms,
            next: 0,
            round_began_ms: now_ms,
            state: State::Idle { due_ms: now_ms },
            unanswered: 0,
            outgoing: VecDeque::new(),
        }
    }

    /// Takes every frame of the bus; only answers to the question under way matter.
    pub fn handle_frame(&mut self, frame: &Frame, now_ms: u64) {
        let FrameBody::Data(data) = &frame.body else { return };
        let State::Asked { quantity, .. } = self.state else { return };
        if !is_answer(frame.id) {
            return;
        }
        match *data.as_bytes() {
            // The first of several frames: the unit goes on when it is told to.
            [first, _, service, item, ..] if first >> 4 == 1 && quantity.is_answered_by(service, item) => {
                if self.outgoing.len() < WAITING_MAX {
                    self.outgoing.push_back(frame_of(reply_id(frame.id), FLOW_CONTROL));
                }
            }
            [first, service, item, ..] if first >> 4 == 0 && quantity.is_answered_by(service, item) => {}
            _ => return,
        }
        self.unanswered = 0;
        self.go_on(now_ms + PAUSE_MS);
    }

    /// The next frame to send, if one is due.
    pub fn poll_output(&mut self, now_ms: u64) -> Option<Frame> {
        if let Some(frame) = self.outgoing.pop_front() {
            return Some(frame);
        }
        if let State::Asked { until_ms, .. } = self.state
            && now_ms >= until_ms
        {
            self.unanswered = self.unanswered.saturating_add(1);
            self.go_on(if self.unanswered >= UNANSWERED_MAX { now_ms + ASLEEP_MS } else { now_ms });
        }
        let State::Idle { due_ms } = self.state else { return None };
        if now_ms < due_ms {
            return None;
        }
        let quantity = *self.quantities.get(self.next)?;
        if self.next == 0 {
            self.round_began_ms = now_ms;
        }
        self.state = State::Asked { quantity, until_ms: now_ms + ANSWER_MS_MAX };
        Some(frame_of(self.addressing.question_id(), [2, quantity.service, quantity.item, 0, 0, 0, 0, 0]))
    }

    /// When [`Self::poll_output`] is to be asked again; none while there is nothing to ask for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.quantities.is_empty() {
            return None;
        }
        match self.state {
            _ if !self.outgoing.is_empty() => Some(0),
            State::Idle { due_ms } => Some(due_ms),
            State::Asked { until_ms, .. } => Some(until_ms),
        }
    }

    /// On to the next question, no sooner than `due_ms`, and to the next round no sooner than the interval says.
    fn go_on(&mut self, due_ms: u64) {
        self.next += 1;
        let mut due_ms = due_ms;
        if self.next >= self.quantities.len() {
            self.next = 0;
            due_ms = due_ms.max(self.round_began_ms + self.interval_ms);
        }
        self.state = State::Idle { due_ms };
    }
}

impl Quantity {
    const fn is_answered_by(self, service: u8, item: u8) -> bool {
        self.service | 0x40 == service && self.item == item
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
    use super::*;

    fn poller(words: &[&str], interval_ms: u64) -> Poller {
        let quantities = words.iter().map(|word| word.parse().expect("known")).collect();
        Poller::new(quantities, Addressing::Standard, interval_ms, 0)
    }

    fn show(frame: Frame) -> String {
        let FrameBody::Data(data) = frame.body else { panic!("data") };
        format!("{} {:02x?}", frame.id, &data.as_bytes()[..3])
    }

    /// Asks at each time; answers come at once from the engine, if it answers.
    fn check(poller: &mut Poller, answers: bool, times_ms: &[u64], expected: &[Option<&str>]) {
        let mut found = Vec::new();
        for now_ms in times_ms {
            let question = poller.poll_output(*now_ms);
            if let (Some(Frame { body: FrameBody::Data(data), .. }), true) = (question, answers) {
                let &[_, service, item, ..] = data.as_bytes() else { panic!("question") };
                let answer = frame_of(CanId::Standard(0x7e8), [3, service | 0x40, item, 1, 0, 0, 0, 0]);
                poller.handle_frame(&answer, *now_ms);
            }
            found.push(question.map(show));
        }
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    const SPEED: Option<&str> = Some("7DF [02, 01, 0d]");
    const FUEL: Option<&str> = Some("7DF [02, 01, 2f]");

    #[test]
    fn questions_alternate_with_a_pause_and_rounds_keep_their_interval() {
        let mut poller = poller(&["speed", "fuel_level"], 1_000);
        check(&mut poller, true, &[0, 10, 50, 60, 100, 999, 1_000], &[SPEED, None, FUEL, None, None, None, SPEED]);
    }

    #[test]
    fn the_next_question_waits_for_the_answer_or_its_time() {
        let mut poller = poller(&["speed", "fuel_level"], 1_000);
        check(&mut poller, false, &[0, 100, 249, 250], &[SPEED, None, None, FUEL]);
        assert_eq!(poller.poll_timeout(), Some(500));
    }

    #[test]
    fn a_vehicle_that_does_not_answer_is_let_sleep_and_asked_now_and_then() {
        let mut poller = poller(&["speed"], 250);
        let times: Vec<u64> = (0..10).map(|n| n * ANSWER_MS_MAX).collect();
        check(&mut poller, false, &times, &[SPEED; 10]);
        let asleep_from = 10 * ANSWER_MS_MAX;
        check(&mut poller, false, &[asleep_from, asleep_from + 59_999], &[None, None]);
        check(&mut poller, true, &[asleep_from + ASLEEP_MS], &[SPEED]);
        assert_eq!(poller.poll_timeout(), Some(asleep_from + ASLEEP_MS + 250), "it is awake again");
    }

    #[test]
    fn an_answer_of_several_frames_is_let_through() {
        for (from, to) in [
            (CanId::Standard(0x7ea), CanId::Standard(0x7e2)),
            (CanId::Extended(0x18da_f110), CanId::Extended(0x18da_10f1)),
        ] {
            let mut poller = poller(&["vin"], 1_000);
            assert_eq!(poller.poll_output(0).map(show).as_deref(), Some("7DF [02, 09, 02]"));
            poller.handle_frame(&frame_of(from, [0x10, 0x14, 0x49, 0x02, 0x01, 0, 0, 0]), 5);
            assert_eq!(poller.poll_output(5), Some(frame_of(to, FLOW_CONTROL)));
            assert_eq!(poller.poll_output(5), None);
        }
    }

    #[test]
    fn frames_that_answer_something_else_do_not_count() {
        let mut poller = poller(&["speed", "fuel_level"], 1_000);
        assert!(poller.poll_output(0).is_some());
        for (id, bytes) in [
            (CanId::Standard(0x7e8), [3, 0x41, 0x2f, 1, 0, 0, 0, 0]),
            (CanId::Standard(0x123), [3, 0x41, 0x0d, 1, 0, 0, 0, 0]),
            (CanId::Standard(0x7e8), [3, 0x7f, 0x01, 0x12, 0, 0, 0, 0]),
        ] {
            poller.handle_frame(&frame_of(id, bytes), 10);
            assert_eq!(poller.poll_output(200), None);
        }
    }

    #[test]
    fn nothing_to_ask_for_asks_nothing() {
        let mut poller = poller(&[], 1_000);
        assert_eq!((poller.poll_output(0), poller.poll_timeout()), (None, None));
    }

    #[test]
    fn an_unknown_word_is_refused_with_those_that_are_known() {
        let error = "velocity".parse::<Quantity>().expect_err("unknown").to_string();
        assert!(error.starts_with("\"velocity\" cannot be asked for; use engine_load, "), "{error}");
    }
}
