//! Bytes into checked sentences.
//!
//! Promise: every `$…*hh` whose checksum holds is found, whatever lies around it, and nothing before a new `$` can spoil
//! what follows it. Memory is one sentence of [`SENTENCE_BYTES_MAX`]; a longer one is counted and skipped. A sentence
//! ends at its checksum, so one that lost its line end is heard as soon as any other.

use crate::source::fault::{Fault, Faults};

/// Longest sentence, bytes between `$` and `*`. The standard says 79; receivers with many constellations send more.
pub const SENTENCE_BYTES_MAX: usize = 256;

/// What to make of a sentence that ends without a checksum. A wrong one is never believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// It is counted and not used.
    #[default]
    Required,
    /// It is counted and used all the same: some old receivers send none, and nothing then protects what they send.
    Optional,
}

/// Finds sentences in a stream of bytes.
#[derive(Debug, Clone)]
pub(super) struct Framer {
    checksum: Checksum,
    state: State,
    body: [u8; SENTENCE_BYTES_MAX],
    length: usize,
}

/// Where in the stream the framer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between sentences; `noisy` once this run of foreign bytes was counted.
    Outside { noisy: bool },
    /// After `$`.
    Body,
    /// After `*`.
    FirstDigit,
    /// After `*h`, with its value.
    SecondDigit(u8),
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Checksum::Required)
    }
}

impl Framer {
    /// Nothing heard yet.
    pub(super) const fn new(checksum: Checksum) -> Self {
        Self { checksum, state: State::Outside { noisy: false }, body: [0; SENTENCE_BYTES_MAX], length: 0 }
    }

    /// Takes bytes; calls `sentence` with the body (without `$` and checksum) of each sentence that can be used.
    pub(super) fn push(&mut self, mut bytes: &[u8], faults: &mut Faults, mut sentence: impl FnMut(&[u8], &mut Faults)) {
        while let Some(&byte) = bytes.first() {
            if self.state == State::Body {
                let (rest, complete) = self.body(bytes, faults);
                bytes = rest;
                if complete {
                    sentence(&self.body[..self.length], faults);
                }
                continue;
            }
            bytes = &bytes[1..];
            if self.step(byte, faults) {
                sentence(&self.body[..self.length], faults);
            }
        }
    }

    /// The body of the last sentence, or of what was heard of the one under way.
    pub(super) fn latest(&self) -> &[u8] {
        &self.body[..self.length]
    }

    /// Takes as much of a sentence's body as there is; returns what follows, and whether it completed a sentence.
    fn body<'a>(&mut self, bytes: &'a [u8], faults: &mut Faults) -> (&'a [u8], bool) {
        let run = bytes.iter().position(|byte| !is_body(*byte)).unwrap_or(bytes.len());
        let Some(room) = self.body[self.length..].get_mut(..run) else {
            faults.count(Fault::TooLong);
            self.state = State::Outside { noisy: true };
            return (&bytes[run..], false);
        };
        room.copy_from_slice(&bytes[..run]);
        self.length += run;
        let Some(&end) = bytes.get(run) else { return (&[], false) };
        let mut complete = false;
        self.state = match end {
            b'*' => State::FirstDigit,
            b'$' => self.begin(faults),
            b'\r' | b'\n' => {
                faults.count(Fault::NoChecksum);
                complete = self.checksum == Checksum::Optional;
                State::Outside { noisy: false }
            }
            _ => {
                faults.count(Fault::NotAscii);
                State::Outside { noisy: true }
            }
        };
        (&bytes[run + 1..], complete)
    }

    /// Takes one byte outside a body; whether it completed a sentence whose checksum holds.
    fn step(&mut self, byte: u8, faults: &mut Faults) -> bool {
        if byte == b'$' {
            self.state = self.begin(faults);
            return false;
        }
        match (self.state, hex(byte)) {
            (State::FirstDigit, Some(high)) => self.state = State::SecondDigit(high),
            (State::SecondDigit(high), Some(low)) => {
                self.state = State::Outside { noisy: false };
                let holds = checksum(self.latest()) == high << 4 | low;
                if !holds {
                    faults.count(Fault::BadChecksum);
                }
                return holds;
            }
            (State::FirstDigit | State::SecondDigit(_), None) => {
                faults.count(Fault::BadChecksum);
                self.state = State::Outside { noisy: true };
            }
            (State::Outside { noisy }, _) => {
                let line_end = matches!(byte, b'\r' | b'\n');
                if !line_end && !noisy {
                    faults.count(Fault::Noise);
                }
                self.state = State::Outside { noisy: !line_end };
            }
            (State::Body, _) => {}
        }
        false
    }

    /// A `$`: whatever was under way is lost, except that `$$` is only a stutter.
    fn begin(&mut self, faults: &mut Faults) -> State {
        let torn = match self.state {
            State::Outside { .. } => false,
            State::Body => self.length > 0,
            State::FirstDigit | State::SecondDigit(_) => true,
        };
        if torn {
            faults.count(Fault::Torn);
        }
        self.length = 0;
        State::Body
    }
}

const fn is_body(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'$' && byte != b'*'
}

fn checksum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum ^ byte)
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZDA: &str = "GPZDA,160012.71,11,03,2004,-1,00*7D";

    /// Feeds `input` in pieces of every size and expects the same sentences and faults each time.
    fn check(input: &[u8], sentences: &[&str], kinds: &[(&str, u64)]) {
        for piece in [1, 2, 7, input.len().max(1)] {
            let (mut framer, mut faults, mut found) = (Framer::default(), Faults::default(), Vec::new());
            for bytes in input.chunks(piece) {
                framer.push(bytes, &mut faults, |body, _| found.push(String::from_utf8_lossy(body).into_owned()));
            }
            assert_eq!(found, sentences, "in pieces of {piece}");
            assert_eq!(faults.take().into_iter().collect::<Vec<_>>(), kinds, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_sentence_is_found_with_any_line_end_or_none() {
        let body = ZDA.split('*').next().expect("body");
        for end in ["\r\n", "\n", "\r", "\n\r", ""] {
            check(format!("${ZDA}{end}${ZDA}{end}").as_bytes(), &[body, body], &[]);
        }
    }

    #[test]
    fn a_new_dollar_aborts_the_sentence_before_it() {
        let body = ZDA.split('*').next().expect("body");
        check(format!("$GPRMC,1234${ZDA}\r\n").as_bytes(), &[body], &[("torn", 1)]);
        check(format!("$GPRMC,1234*${ZDA}\r\n").as_bytes(), &[body], &[("torn", 1)]);
        check(format!("$GPRMC,1234*7${ZDA}\r\n").as_bytes(), &[body], &[("torn", 1)]);
        check(format!("$${ZDA}\r\n").as_bytes(), &[body], &[]);
    }

    #[test]
    fn damage_is_counted_by_kind_and_spoils_nothing_after_it() {
        let body = ZDA.split('*').next().expect("body");
        let after = |damage: &[u8]| [damage, b"$", ZDA.as_bytes(), b"\r\n"].concat();
        check(&after(b"$GPRMC,1*00\r\n"), &[body], &[("bad_checksum", 1)]);
        check(&after(b"$GPRMC,1*xx\r\n"), &[body], &[("bad_checksum", 1)]);
        check(&after(b"$GPRMC,1\r\n"), &[body], &[("no_checksum", 1)]);
        check(&after(b"$GP\0RMC,1*00\r\n"), &[body], &[("not_ascii", 1)]);
        check(&after(b"\xff\0\xfe"), &[body], &[("noise", 1)]);
        check(&after(b"# a comment\n# another\n"), &[body], &[("noise", 2)]);
        check(&after(&[&b"$"[..], &[b'x'; SENTENCE_BYTES_MAX + 1], b"*00\r\n"].concat()), &[body], &[("too_long", 1)]);
    }

    #[test]
    fn a_missing_checksum_is_counted_and_a_matter_of_policy_and_a_wrong_one_is_not() {
        for (checksum, expected) in [(Checksum::Required, &[][..]), (Checksum::Optional, &["GPRMC,1"][..])] {
            let (mut framer, mut faults, mut found) = (Framer::new(checksum), Faults::default(), Vec::new());
            framer.push(b"$GPRMC,1\r\n$GPRMC,2*00\r\n$GPRMC,3*\r\n", &mut faults, |body, _| {
                found.push(String::from_utf8_lossy(body).into_owned());
            });
            assert_eq!(found, expected);
            assert_eq!(faults.take().into_iter().collect::<Vec<_>>(), [("bad_checksum", 2), ("no_checksum", 1)]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_before_a_sentence_can_hide_it(garbage in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (mut framer, mut faults, mut last) = (Framer::default(), Faults::default(), Vec::new());
            framer.push(&garbage, &mut faults, |_, _| {});
            framer.push(format!("${ZDA}").as_bytes(), &mut faults, |body, _| last = body.to_vec());
            prop_assert_eq!(last, ZDA.split('*').next().expect("body").as_bytes());
        }
    }
}
