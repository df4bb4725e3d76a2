//! OBD-II answers (SAE J1979 on ISO 15765-4), overheard while somebody else asks.
//!
//! Promise: pure, bounded and passive. Answers of current data (mode 01) and of the vehicle's number (mode 09) are read
//! with 11-bit (7E8 to 7EF) and 29-bit (18DAF1xx) identifiers, in one frame or several (ISO 15765-2); at most
//! [`SESSIONS_MAX`] long answers are put together at once, the one idle longest gives way. An answer that lost a frame
//! gives nothing and is counted. Frames that are no answers are not touched.

use crate::source::fault::Fault;

use super::CanId;
use super::vin::Vin;

pub mod pid;
pub mod poll;

use pid::Pid;

/// Most answers of several frames under way at once.
pub const SESSIONS_MAX: usize = 8;
/// Longest answer, bytes.
pub const ANSWER_BYTES_MAX: usize = 256;

const CURRENT_DATA: u8 = 0x41;
const VEHICLE_INFORMATION: u8 = 0x49;
const VIN_ITEM: u8 = 0x02;
/// Says which items a unit has: no value.
const SUPPORT_ITEM: u8 = 0x00;

/// Whether frames with this identifier are a unit's answers.
#[must_use]
pub const fn is_answer(id: CanId) -> bool {
    match id {
        CanId::Standard(id) => matches!(id, 0x7e8..=0x7ef),
        CanId::Extended(id) => id & 0x1fff_ff00 == 0x18da_f100,
    }
}

/// Puts answers together.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    sessions: Vec<Session>,
    /// Frames heard, to tell which session is idle longest.
    heard: u64,
}

/// One long answer; kept when it has ended, so that its memory is used again.
#[derive(Debug, Clone)]
struct Session {
    id: CanId,
    under_way: bool,
    length: usize,
    filled: usize,
    /// Sequence number of the next frame, 0 to 15.
    next: u8,
    last_heard: u64,
    bytes: [u8; ANSWER_BYTES_MAX],
}

/// A complete answer that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Mode 01: parameters with their data; none where a unit only says what it has.
    CurrentData(CurrentData<'a>),
    /// Mode 09: which vehicle this is.
    Vin(Vin),
}

impl Answers {
    /// Takes a frame for which [`is_answer`]; gives the answer that it completes.
    ///
    /// # Errors
    /// The [`Fault`] to count.
    pub fn push<'a>(&'a mut self, id: CanId, data: &'a [u8]) -> Result<Option<Answer<'a>>, Fault> {
        self.heard += 1;
        let &[first, ref rest @ ..] = data else { return Err(Fault::ShortFrame) };
        let low = first & 0x0f;
        match first >> 4 {
            0 => single(low, rest).and_then(|answer| read(answer).map(Some)),
            1 => self.begin(id, low, rest).map(|()| None),
            2 => self.consecutive(id, low, rest)?.map(read).transpose(),
            // Flow control: a unit lets a long question pass.
            3 => Ok(None),
            _ => Err(Fault::UnknownId),
        }
    }

    fn begin(&mut self, id: CanId, high: u8, rest: &[u8]) -> Result<(), Fault> {
        let &[low, ref part @ ..] = rest else { return Err(Fault::ShortFrame) };
        let length = usize::from(high) << 8 | usize::from(low);
        if length > ANSWER_BYTES_MAX || part.len() < 6 || part.len() >= length {
            return Err(Fault::TransportBroken);
        }
        let heard = self.heard;
        let session = self.session(id);
        // The unit has given up what it had begun before, or another answer had to make room.
        let broken = session.under_way;
        session.bytes[..part.len()].copy_from_slice(part);
        (session.id, session.under_way, session.last_heard) = (id, true, heard);
        (session.length, session.filled, session.next) = (length, part.len(), 1);
        if broken { Err(Fault::TransportBroken) } else { Ok(()) }
    }

    /// The session for a unit: its own, a new one, or the one idle longest.
    fn session(&mut self, id: CanId) -> &mut Session {
        let own = self.sessions.iter().position(|session| session.id == id);
        let index = own.unwrap_or_else(|| {
            if self.sessions.len() < SESSIONS_MAX {
                self.sessions.push(Session::unused(id));
                return self.sessions.len() - 1;
            }
            let idle =
                self.sessions.iter().enumerate().min_by_key(|(_, session)| (session.under_way, session.last_heard));
            idle.map_or(0, |(index, _)| index)
        });
        &mut self.sessions[index]
    }

    fn consecutive(&mut self, id: CanId, number: u8, part: &[u8]) -> Result<Option<&[u8]>, Fault> {
        let heard = self.heard;
        let under_way = self.sessions.iter_mut().find(|session| session.id == id && session.under_way);
        let session = under_way.ok_or(Fault::TransportBroken)?;
        session.last_heard = heard;
        let wanted = session.length - session.filled;
        // Every frame but the last is full.
        if number != session.next || part.len() < wanted.min(7) {
            session.under_way = false;
            return Err(Fault::TransportBroken);
        }
        let taken = wanted.min(part.len());
        session.bytes[session.filled..session.filled + taken].copy_from_slice(&part[..taken]);
        session.filled += taken;
        session.next = (session.next + 1) % 16;
        if session.filled < session.length {
            return Ok(None);
        }
        session.under_way = false;
        Ok(Some(&session.bytes[..session.length]))
    }
}

impl Session {
    const fn unused(id: CanId) -> Self {
        let bytes = [0; ANSWER_BYTES_MAX];
        Self { id, under_way: false, length: 0, filled: 0, next: 0, last_heard: 0, bytes }
    }
}

/// An answer in one frame; longer than seven bytes only with CAN FD, where the length has a byte of its own.
fn single(length: u8, rest: &[u8]) -> Result<&[u8], Fault> {
    let (length, rest) = match (length, rest) {
        (0, &[length, ref rest @ ..]) if rest.len() > 6 => (length, rest),
        _ => (length, rest),
    };
    rest.get(..usize::from(length)).filter(|answer| !answer.is_empty()).ok_or(Fault::ShortFrame)
}

fn read(answer: &[u8]) -> Result<Answer<'_>, Fault> {
    match answer {
        [CURRENT_DATA, data @ ..] => Ok(Answer::CurrentData(CurrentData { data })),
        [VEHICLE_INFORMATION, SUPPORT_ITEM, ..] => Ok(Answer::CurrentData(CurrentData { data: &[] })),
        [VEHICLE_INFORMATION, VIN_ITEM, _count, vin @ ..] => {
            let padding = vin.iter().take_while(|byte| **byte == 0).count();
            Vin::read(&vin[padding..]).map(Answer::Vin).ok_or(Fault::Unparsed)
        }
        _ => Err(Fault::UnknownId),
    }
}

/// Parameters, each with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentData<'a> {
    data: &'a [u8],
}

impl<'a> CurrentData<'a> {
    /// Each value; a parameter that is not known, or too short, ends the answer with a [`Fault`].
    ///
    /// Some parameters have grown over the editions of the standard. When the lengths known here do not add up, only
    /// the first parameter is certain.
    pub fn values(&self) -> impl Iterator<Item = Result<(&'static Pid, f64), Fault>> + use<'a> {
        let certain = self.adds_up();
        let mut rest = self.data;
        let mut first = true;
        std::iter::from_fn(move || {
            while let &[number, ref data @ ..] = rest {
                rest = &[];
                if !first && !certain {
                    return Some(Err(Fault::UnknownId));
                }
                first = false;
                let Some(length) = pid::data_bytes(number) else { return Some(Err(Fault::UnknownId)) };
                let Some((data, others)) = data.split_at_checked(length) else { return Some(Err(Fault::ShortFrame)) };
                rest = others;
                if let Some((pid, value)) = pid::find(number).and_then(|pid| Some((pid, pid.value(data)?))) {
                    return Some(Ok((pid, value)));
                }
            }
            None
        })
    }

    fn adds_up(&self) -> bool {
        let mut rest = self.data;
        while let &[number, ref data @ ..] = rest {
            let Some(others) = pid::data_bytes(number).and_then(|length| data.get(length..)) else { return false };
            rest = others;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENGINE: CanId = CanId::Standard(0x7e8);

    /// Frames of some units, and what each gives.
    fn check(frames: &[(CanId, &[u8])], expected: &[&str]) {
        let mut answers = Answers::default();
        let found: Vec<_> = frames.iter().map(|(id, data)| show(answers.push(*id, data))).collect();
        assert_eq!(found, expected);
    }

    fn show(outcome: Result<Option<Answer<'_>>, Fault>) -> String {
        match outcome {
            Ok(None) => "-".to_owned(),
            Ok(Some(Answer::Vin(vin))) => vin.as_str().to_owned(),
            Ok(Some(Answer::CurrentData(data))) => {
                let values = data.values().map(|value| match value {
                    Ok((pid, value)) => format!("{} {value} {}", pid.name, pid.unit),
                    Err(fault) => fault.as_str().to_owned(),
                });
                values.collect::<Vec<_>>().join(", ")
            }
            Err(fault) => fault.as_str().to_owned(),
        }
    }

    #[test]
    fn an_answer_in_one_frame_is_read() {
        check(&[(ENGINE, &[3, 0x41, 0x0d, 0x35, 0, 0, 0, 0])], &["Speed 53 km/h"]);
        check(
            &[(CanId::Extended(0x18da_f110), &[4, 0x41, 0x0c, 0x1b, 0xe4, 0xaa, 0xaa, 0xaa])],
            &["EngineSpeed 1785 rpm"],
        );
        check(&[(ENGINE, &[6, 0x41, 0x0d, 0x35, 0x05, 0x86, 0, 0])], &["Speed 53 km/h, unknown_id"]);
        check(&[(ENGINE, &[5, 0x41, 0x0d, 0x35, 0x05, 0x86, 0, 0])], &["Speed 53 km/h, CoolantTemperature 94 °C"]);
    }

    #[test]
    fn what_is_supported_is_no_value() {
        check(&[(ENGINE, &[6, 0x41, 0x00, 0xbe, 0x3e, 0xb8, 0x11, 0])], &[""]);
        check(&[(ENGINE, &[6, 0x49, 0x00, 0x40, 0x00, 0x00, 0x00, 0])], &[""]);
    }

    #[test]
    fn what_is_no_answer_of_these_modes_is_counted() {
        check(&[(ENGINE, &[3, 0x7f, 0x01, 0x12, 0, 0, 0, 0])], &["unknown_id"]);
        check(&[(ENGINE, &[3, 0x41, 0xfe, 0x12, 0, 0, 0, 0])], &["unknown_id"]);
        check(&[(ENGINE, &[2, 0x43, 0x00, 0, 0, 0, 0, 0])], &["unknown_id"]);
        check(&[(ENGINE, &[0, 0, 0, 0, 0, 0, 0, 0])], &["short_frame"]);
        check(&[(ENGINE, &[7, 0x41])], &["short_frame"]);
        check(&[(ENGINE, &[])], &["short_frame"]);
        check(&[(ENGINE, &[0x40, 0x41])], &["unknown_id"]);
    }

    const VIN_FRAMES: [&[u8]; 3] = [
        &[0x10, 0x14, 0x49, 0x02, 0x01, b'1', b'X', b'P'],
        &[0x21, b'B', b'D', b'4', b'9', b'X', b'1', b'M'],
        &[0x22, b'D', b'0', b'0', b'0', b'0', b'0', b'1'],
    ];

    #[test]
    fn a_vin_in_three_frames_is_put_together_and_units_do_not_mix() {
        let [a, b, c] = VIN_FRAMES;
        let other = CanId::Standard(0x7e9);
        check(&[(ENGINE, a), (ENGINE, b), (ENGINE, c)], &["-", "-", "1XPBD49X1MD000001"]);
        let frames = [(ENGINE, a), (other, a), (other, b), (ENGINE, b), (ENGINE, c), (other, c)];
        check(&frames, &["-", "-", "-", "-", "1XPBD49X1MD000001", "1XPBD49X1MD000001"]);
    }

    #[test]
    fn a_broken_answer_gives_nothing_and_is_counted() {
        let [a, b, c] = VIN_FRAMES;
        check(&[(ENGINE, a), (ENGINE, c), (ENGINE, b)], &["-", "transport_broken", "transport_broken"]);
        check(&[(ENGINE, a), (ENGINE, a), (ENGINE, b)], &["-", "transport_broken", "-"]);
        check(&[(ENGINE, &[0x1f, 0xff, 0x49, 2, 1, 0, 0, 0])], &["transport_broken"]);
        check(&[(ENGINE, &[0x10, 0x06, 0x49, 2, 1, 0, 0, 0])], &["transport_broken"]);
        check(&[(ENGINE, a), (ENGINE, &b[..4])], &["-", "transport_broken"]);
    }

    #[test]
    fn flow_control_is_passed_over() {
        check(&[(ENGINE, &[0x30, 0, 0, 0, 0, 0, 0, 0])], &["-"]);
    }

    #[test]
    fn only_answers_are_touched() {
        for (id, expected) in [
            (CanId::Standard(0x7e7), false),
            (CanId::Standard(0x7e8), true),
            (CanId::Standard(0x7ef), true),
            (CanId::Standard(0x7f0), false),
            (CanId::Extended(0x7e8), false),
            (CanId::Extended(0x18da_f110), true),
            (CanId::Extended(0x18da_10f1), false),
        ] {
            assert_eq!(is_answer(id), expected, "{id}");
        }
    }

    proptest! {
        #[test]
        fn any_frames_keep_memory_bounded(
            frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..=64)), 0..200)
        ) {
            let mut answers = Answers::default();
            for (unit, data) in frames {
                if let Ok(Some(Answer::CurrentData(data))) = answers.push(CanId::Extended(0x18da_f100 | u32::from(unit)), &data) {
                    prop_assert!(data.values().count() <= ANSWER_BYTES_MAX);
                }
            }
            prop_assert!(answers.sessions.len() <= SESSIONS_MAX);
        }
    }
}
