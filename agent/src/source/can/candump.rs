//! Lines of candump: its log form and its console form.
//!
//! Promise: nothing is allocated; a line that cannot be read is `None`, whatever bytes it holds.
//!
//! ```text
//! (1635188455.020850) can1 18F00E00#821639C4FFFFFFFF     log form (-L, -l)
//! (1635188455.020850) can1 123##1AABBCC                  CAN FD: flags, then data
//! (1635188455.020850) can1 123#R8                        a request, no data
//! (1635188455.020850)  can1  18F00E00   [4]  82 16 39 C4  console form; its time is optional
//! ```
//! A line number before the time, and what follows the data (direction, text), are passed over.

use super::{CanId, Data, Frame, FrameBody};

/// Set in the identifier of an error frame.
const ERROR_FLAG: u32 = 0x2000_0000;
/// Largest 11-bit identifier.
const STANDARD_ID_MAX: u32 = 0x7ff;
/// Largest 29-bit identifier.
const EXTENDED_ID_MAX: u32 = 0x1fff_ffff;

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Microseconds, from wherever the log counts; absent when the line has no time.
    pub time_us: Option<u64>,
    /// The interface, such as `can0`.
    pub bus: &'a str,
    /// The frame.
    pub frame: Frame,
}

/// Reads a line without its line end.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let mut word = words.next()?;
    if word.iter().all(u8::is_ascii_digit) {
        word = words.next()?;
    }
    let mut time_us = None;
    if let [b'(', time @ .., b')'] = word {
        time_us = Some(microseconds(time)?);
        word = words.next()?;
    }
    let bus = std::str::from_utf8(word).ok()?;
    let word = words.next()?;
    let frame = match word.iter().position(|byte| *byte == b'#') {
        Some(hash) => log_frame(&word[..hash], &word[hash + 1..])?,
        None => console_frame(word, words)?,
    };
    Some(Line { time_us, bus, frame })
}

fn log_frame(id: &[u8], rest: &[u8]) -> Option<Frame> {
    let (id, error) = identifier(id)?;
    let body = match rest {
        _ if error => FrameBody::Error,
        [b'R', length @ ..] => length.iter().all(u8::is_ascii_hexdigit).then_some(FrameBody::RemoteRequest)?,
        [b'#', _flags, data @ ..] => FrameBody::Data(hex_data(data, super::FRAME_BYTES_MAX)?),
        data => FrameBody::Data(hex_data(data, 8)?),
    };
    Some(Frame { id, body })
}

fn console_frame<'a>(id: &[u8], mut words: impl Iterator<Item = &'a [u8]>) -> Option<Frame> {
    let (id, error) = identifier(id)?;
    let length = match words.next()? {
        [b'[', length @ .., b']'] => std::str::from_utf8(length).ok()?.parse::<usize>().ok()?,
        _ => return None,
    };
    if error {
        return Some(Frame { id, body: FrameBody::Error });
    }
    let mut data = Data::EMPTY;
    for _ in 0..length {
        match words.next()? {
            b"remote" => return Some(Frame { id, body: FrameBody::RemoteRequest }),
            &[high, low] => data.push(nibble(high)? << 4 | nibble(low)?).then_some(())?,
            _ => return None,
        }
    }
    if length == 0 && words.next() == Some(b"remote") {
        return Some(Frame { id, body: FrameBody::RemoteRequest });
    }
    Some(Frame { id, body: FrameBody::Data(data) })
}

/// The identifier, and whether it marks an error frame. Eight digits are an extended one, even when it is small.
fn identifier(digits: &[u8]) -> Option<(CanId, bool)> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let value = digits.iter().try_fold(0_u32, |value, digit| Some(value << 4 | u32::from(nibble(*digit)?)))?;
    let (id, error) = (value & !ERROR_FLAG, value & ERROR_FLAG != 0);
    if digits.len() > 3 {
        return (id <= EXTENDED_ID_MAX).then_some((CanId::Extended(id), error));
    }
    let id = u16::try_from(id).ok().filter(|id| u32::from(*id) <= STANDARD_ID_MAX)?;
    Some((CanId::Standard(id), error))
}

/// Pairs of digits; candump separates them by dots when asked to.
fn hex_data(digits: &[u8], bytes_max: usize) -> Option<Data> {
    let mut data = Data::EMPTY;
    let mut high = None;
    for &digit in digits.iter().filter(|digit| **digit != b'.') {
        let value = nibble(digit)?;
        match high.take() {
            None => high = Some(value),
            Some(high) => data.push(high << 4 | value).then_some(())?,
        }
    }
    (high.is_none() && data.as_bytes().len() <= bytes_max).then_some(data)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// `seconds[.fraction]`; digits beyond the sixth are dropped.
fn microseconds(time: &[u8]) -> Option<u64> {
    let (seconds, fraction) = match time.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&time[..dot], &time[dot + 1..]),
        None => (time, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = fraction.iter().chain(std::iter::repeat(&b'0')).take(6);
    seconds.iter().chain(padded).try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `time bus id data`, or why not.
    fn check(line: &str, expected: &str) {
        let shown = parse(line.as_bytes()).map_or("unreadable".to_owned(), |line| {
            let body = match line.frame.body {
                FrameBody::Data(data) => format!("{:02X?}", data.as_bytes()),
                FrameBody::RemoteRequest => "request".to_owned(),
                FrameBody::Error => "error".to_owned(),
            };
            format!("{:?} {} {} {body}", line.time_us, line.bus, line.frame.id)
        });
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn every_form_of_a_frame_is_read() {
        check("(1.020850) can1 18F00E00#8216", "Some(1020850) can1 18F00E00x [82, 16]");
        check("2 (1612543138.001) vcan0 00000123#", "Some(1612543138001000) vcan0 00000123x []");
        check("(1.5) can0 7FF#01.02 R", "Some(1500000) can0 7FF [01, 02]");
        check("(1.5) can0 123##3AABBCC", "Some(1500000) can0 123 [AA, BB, CC]");
        check("(1.5) can0 123#R", "Some(1500000) can0 123 request");
        check("(1.5) can0 123#R8", "Some(1500000) can0 123 request");
        check("(1.5) can0 20000080#0000000000000000", "Some(1500000) can0 00000080x error");
        check("  can0  18FEF100   [3]  00 11 FF   '..'", "None can0 18FEF100x [00, 11, FF]");
        check(" (7.25)  can0  123   [2]  remote request", "Some(7250000) can0 123 request");
        check(" (7.25)  can0  123   [0]", "Some(7250000) can0 123 []");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for line in [
            "",
            "(1.0)",
            "(1.0) can0",
            "(x) can0 123#00",
            "(1.x) can0 123#00",
            "(1.0) can0 #00",
            "(1.0) can0 800#00",
            "(1.0) can0 FFFFFFFFF#00",
            "(1.0) can0 123#0",
            "(1.0) can0 123#0G",
            "(1.0) can0 123#001122334455667788",
            "(1.0) can0 123 [2] 00",
            "(1.0) can0 123 [99999999999999999999] 00",
        ] {
            check(line, "unreadable");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = parse(&line);
            prop_assert!(read.is_none_or(|read| read.bus.len() <= line.len()));
        }

        #[test]
        fn a_frame_written_is_read_back(id in 0_u32..=EXTENDED_ID_MAX, bytes in proptest::collection::vec(any::<u8>(), 0..=8)) {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            let line = format!("(12.000001) can0 {id:08X}#{digits}");
            let read = parse(line.as_bytes()).expect("frame");
            prop_assert_eq!(read.time_us, Some(12_000_001));
            prop_assert_eq!(read.frame.id, CanId::Extended(id));
            let FrameBody::Data(data) = read.frame.body else { panic!("data") };
            prop_assert_eq!(data.as_bytes(), bytes);
        }
    }
}
