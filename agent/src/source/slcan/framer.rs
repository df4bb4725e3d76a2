//! The LAWICEL protocol: what an adapter says, found in a stream of bytes.
//!
//! Promise: pure; no byte sequence panics, memory is [`LINE_BYTES_MAX`], nothing is allocated. Whatever is no line is
//! counted, and the next frame is found: `t`, `T`, `r` and `R` begin a frame wherever they stand, for they are no digits.
//!
//! ```text
//! t1232AABB\r       11-bit identifier, length, data            r1232\r   a request for such a frame
//! T18FEF1002AABB\r  29-bit identifier                          R…        a request
//! d… D… b… B…       CAN FD frames, the length as its code      …hhhh\r   milliseconds, 0 to 59999, if asked for
//! \r                the command was done                       BEL       it was refused
//! F04\r             status flags                               z\r Z\r   a frame was sent
//! ```

use crate::source::can::{CanId, Data, Frame, FrameBody};
use crate::source::fault::{Fault, Faults};

/// Longest line: a CAN FD frame of 64 bytes with a time.
pub const LINE_BYTES_MAX: usize = 1 + 8 + 1 + 128 + 4;

const BEL: u8 = 0x07;
/// Largest 29-bit identifier.
const EXTENDED_ID_MAX: u32 = 0x1fff_ffff;
/// Largest 11-bit identifier.
const STANDARD_ID_MAX: u32 = 0x7ff;
/// Bytes for the length codes above 8.
const FD_LENGTHS: [usize; 7] = [12, 16, 20, 24, 32, 48, 64];

/// What an adapter said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A frame of the bus. Its time is not used: it wraps every minute.
    Frame(Frame),
    /// The last command was done.
    Done,
    /// The last command was refused.
    Refused,
    /// Status flags.
    Flags(u8),
    /// Something else it may say, such as its version.
    Other,
}

/// The command that sends a frame: `t7DF802010D0000000000\r`. Nothing for what is no data frame of at most eight bytes.
#[must_use]
pub fn command(frame: &Frame) -> Option<String> {
    let FrameBody::Data(data) = &frame.body else { return None };
    let bytes = data.as_bytes();
    if bytes.len() > 8 {
        return None;
    }
    let id = match frame.id {
        CanId::Standard(id) => format!("t{id:03X}"),
        CanId::Extended(id) => format!("T{id:08X}"),
    };
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    Some(format!("{id}{}{digits}\r", bytes.len()))
}

/// Finds lines.
#[derive(Debug, Clone)]
pub struct Framer {
    line: [u8; LINE_BYTES_MAX],
    length: usize,
    /// What is heard is no line, until the next one begins.
    skipping: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Self { line: [0; LINE_BYTES_MAX], length: 0, skipping: false }
    }
}

impl Framer {
    /// Takes bytes; calls `said` with each thing the adapter said.
    pub fn push(&mut self, bytes: &[u8], faults: &mut Faults, mut said: impl FnMut(Said)) {
        for &byte in bytes {
            match byte {
                b'\r' => self.end(faults).into_iter().for_each(&mut said),
                BEL => {
                    self.abandon(faults);
                    self.skipping = false;
                    said(Said::Refused);
                }
                b'\n' => {}
                b't' | b'T' | b'r' | b'R' => {
                    self.abandon(faults);
                    self.skipping = false;
                    self.append(byte, faults);
                }
                byte if byte.is_ascii_alphanumeric() => self.append(byte, faults),
                _ => {
                    self.abandon(faults);
                    if !std::mem::replace(&mut self.skipping, true) {
                        faults.count(Fault::Noise);
                    }
                }
            }
        }
    }

    fn append(&mut self, byte: u8, faults: &mut Faults) {
        if self.skipping {
            return;
        }
        let Some(slot) = self.line.get_mut(self.length) else {
            faults.count(Fault::TooLong);
            self.length = 0;
            self.skipping = true;
            return;
        };
        *slot = byte;
        self.length += 1;
    }

    /// A line that did not come to its end.
    fn abandon(&mut self, faults: &mut Faults) {
        if self.length > 0 {
            faults.count(Fault::Torn);
        }
        self.length = 0;
    }

    fn end(&mut self, faults: &mut Faults) -> Option<Said> {
        let length = std::mem::take(&mut self.length);
        if std::mem::take(&mut self.skipping) {
            return None;
        }
        let said = parse(&self.line[..length]);
        if said.is_none() {
            faults.count(Fault::Malformed);
        }
        said
    }
}

/// What a line says.
fn parse(line: &[u8]) -> Option<Said> {
    let Some((&kind, rest)) = line.split_first() else { return Some(Said::Done) };
    let (id_digits, request, fd) = match kind {
        b't' => (3, false, false),
        b'T' => (8, false, false),
        b'r' => (3, true, false),
        b'R' => (8, true, false),
        b'd' | b'b' => (3, false, true),
        b'D' | b'B' => (8, false, true),
        b'F' => return Some(Said::Flags(u8::try_from(hex(rest).filter(|_| rest.len() == 2)?).ok()?)),
        b'z' | b'Z' => return rest.is_empty().then_some(Said::Done),
        b'V' | b'v' | b'N' => return Some(Said::Other),
        _ => return None,
    };
    let (id, rest) = rest.split_at_checked(id_digits)?;
    let id = identifier(hex(id)?, id_digits)?;
    let (length, rest) = rest.split_first()?;
    let length = data_length(hex(std::slice::from_ref(length))?, fd)?;
    let (digits, time) = rest.split_at_checked(if request { 0 } else { length * 2 })?;
    // Without a time, or with one.
    if !time.is_empty() && (time.len() != 4 || hex(time).is_none()) {
        return None;
    }
    let body = if request { FrameBody::RemoteRequest } else { FrameBody::Data(data(digits)?) };
    Some(Said::Frame(Frame { id, body }))
}

fn identifier(id: u32, digits: usize) -> Option<CanId> {
    if digits == 8 {
        return (id <= EXTENDED_ID_MAX).then_some(CanId::Extended(id));
    }
    let id = u16::try_from(id).ok().filter(|id| u32::from(*id) <= STANDARD_ID_MAX)?;
    Some(CanId::Standard(id))
}

/// Bytes of data by the length's digit.
fn data_length(code: u32, fd: bool) -> Option<usize> {
    match usize::try_from(code).ok()? {
        length @ 0..=8 => Some(length),
        code if fd => FD_LENGTHS.get(code - 9).copied(),
        _ => None,
    }
}

fn data(digits: &[u8]) -> Option<Data> {
    let mut data = Data::EMPTY;
    for pair in digits.chunks_exact(2) {
        data.push(u8::try_from(hex(pair)?).ok()?).then_some(())?;
    }
    Some(data)
}

/// A number of at most eight digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::can::log_line::LogLine;

    fn push(bytes: &[u8], pieces_of: usize) -> (Vec<Said>, Vec<(&'static str, u64)>) {
        let (mut framer, mut faults, mut found) = (Framer::default(), Faults::default(), Vec::new());
        for piece in bytes.chunks(pieces_of) {
            framer.push(piece, &mut faults, |said| found.push(said));
        }
        (found, faults.take().into_iter().collect())
    }

    /// What is heard in `bytes`, and which faults.
    fn check(bytes: &str, expected: &[&str], faults: &[(&'static str, u64)]) {
        let (found, counted) = push(bytes.as_bytes(), 1);
        let shown = found.into_iter().map(|said| match said {
            Said::Frame(frame) => LogLine { bus: "s", frame: &frame }.to_string()[2..].to_owned(),
            other => format!("{other:?}"),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{bytes:?}");
        assert_eq!(counted, faults, "{bytes:?}");
    }

    #[test]
    fn every_form_of_a_line_is_understood() {
        check("t1232AABB\r", &["123#AABB"], &[]);
        check("t7FF0\r", &["7FF#"], &[]);
        check("T18FEF1008F3005AFFFFFFFFFF\r", &["18FEF100#F3005AFFFFFFFFFF"], &[]);
        check("t1232aabb1A2B\r", &["123#AABB"], &[]);
        check("r1238\rR18FEF10081234\r", &["123#R", "18FEF100#R"], &[]);
        check(&format!("b123B{}\r", "11".repeat(20)), &[&format!("123##0{}", "11".repeat(20))], &[]);
        check(&format!("D18FEF100F{}\r", "22".repeat(64)), &[&format!("18FEF100##0{}", "22".repeat(64))], &[]);
        check("\r\u{7}F24\rz\rV1013\rN1234\r", &["Done", "Refused", "Flags(36)", "Done", "Other", "Other"], &[]);
        check("t1230\r\nt1240\r\n", &["123#", "124#"], &[]);
    }

    #[test]
    fn what_is_no_line_is_counted_and_the_next_frame_is_found() {
        check("t8000\r", &[], &[("malformed", 1)]);
        check("T200000000\r", &[], &[("malformed", 1)]);
        check("t1239000000000000000000\r", &[], &[("malformed", 1)]);
        check("t1232AAB\r", &[], &[("malformed", 1)]);
        check("t1232AABBC\r", &[], &[("malformed", 1)]);
        check("F1\rxyz\r", &[], &[("malformed", 2)]);
        check("\0\u{1}t1230\r", &["123#"], &[("noise", 1)]);
        check("t12t1230\r", &["123#"], &[("torn", 1)]);
        check("t1232AA\u{7f}BB\rt1230\r", &["123#"], &[("noise", 1), ("torn", 1)]);
        check("t1232AA\u{7}t1230\r", &["Refused", "123#"], &[("torn", 1)]);
        check(&format!("{}\rt1230\r", "0".repeat(500)), &["123#"], &[("too_long", 1)]);
    }

    fn frames(found: &[Said]) -> Vec<Frame> {
        let frame = |said: &Said| if let Said::Frame(frame) = said { Some(*frame) } else { None };
        found.iter().filter_map(frame).collect()
    }

    fn line(frame: &Frame) -> String {
        let FrameBody::Data(data) = &frame.body else { panic!("data") };
        let digits: String = data.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        let length = data.as_bytes().len();
        match frame.id {
            CanId::Standard(id) => format!("t{id:03X}{length}{digits}\r"),
            CanId::Extended(id) => format!("T{id:08X}{length}{digits}\r"),
        }
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let id = prop_oneof![(0_u16..0x800).prop_map(CanId::Standard), (0_u32..0x2000_0000).prop_map(CanId::Extended),];
        (id, proptest::collection::vec(any::<u8>(), 0..=8)).prop_map(|(id, bytes)| {
            let mut data = Data::EMPTY;
            assert!(bytes.iter().all(|byte| data.push(*byte)));
            Frame { id, body: FrameBody::Data(data) }
        })
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_cost_at_most_one_thing_said_a_byte(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let (found, faults) = push(&bytes, 7);
            let total: u64 = faults.iter().map(|(_, count)| count).sum();
            prop_assert!(found.len() <= bytes.len() && total <= 2 * bytes.len() as u64);
        }

        /// Garbage may swallow nothing of what follows it. What looks like a frame of its own may be heard too.
        #[test]
        fn frames_between_garbage_are_kept(
            parts in proptest::collection::vec((any_frame(), proptest::collection::vec(any::<u8>(), 0..40)), 1..20),
            pieces_of in 1_usize..64,
        ) {
            for (frame, _) in &parts {
                prop_assert_eq!(command(frame), Some(line(frame)), "as an adapter says it, it is told to send it");
            }
            let sent: Vec<Frame> = parts.iter().map(|(frame, _)| *frame).collect();
            let mut bytes = Vec::new();
            for (frame, garbage) in &parts {
                bytes.extend_from_slice(garbage);
                bytes.extend_from_slice(line(frame).as_bytes());
            }
            let heard = frames(&push(&bytes, pieces_of).0);
            let mut rest = heard.iter();
            prop_assert!(sent.iter().all(|frame| rest.any(|other| other == frame)), "{sent:?} in {heard:?}");
        }
    }
}
