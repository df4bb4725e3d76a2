//! gpsd's bytes into fixes.
//!
//! Promise: pure and bounded by [`LINE_BYTES_MAX`]. A line that cannot be used is counted and spoils nothing after it.
//! gpsd may report a time more than once, knowing more each time: one fix comes out, when the time changes or the shell
//! says that gpsd fell silent.

use milepost_proto::{Position, Timestamp};

use super::report::{self, Fix, Report};
use crate::source::fault::{Fault, Faults};

/// Longest line: a SKY of every satellite there is takes about 10 KiB.
pub const LINE_BYTES_MAX: usize = 32_768;

/// What gpsd said of one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// The time; absent when gpsd gives none.
    pub event_time: Option<Timestamp>,
    /// Where; absent when there is no fix.
    pub position: Option<Position>,
}

/// Decodes one connection's bytes.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    /// The only device to listen to, if any.
    device: Option<String>,
    line: Vec<u8>,
    too_long: bool,
    open: Option<Epoch>,
    /// The time given out because of silence: what still comes for it is late.
    ended: Option<Timestamp>,
    hdop_centi: Option<u16>,
    satellites: Option<u8>,
    faults: Faults,
}

impl Decoder {
    /// A decoder of what gpsd says of `device`, or of all.
    #[must_use]
    pub fn new(device: Option<String>) -> Self {
        Self { device, ..Self::default() }
    }

    /// Takes bytes; calls `ended` with each epoch they end, in order.
    pub fn push(&mut self, bytes: &[u8], mut ended: impl FnMut(Epoch)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LINE_BYTES_MAX {
                self.too_long = true;
                self.line.clear();
            } else if !self.too_long {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line().into_iter().for_each(&mut ended);
            }
        }
    }

    /// gpsd fell silent: the epoch under way is complete.
    pub fn flush(&mut self) -> Option<Epoch> {
        let open = self.open.take()?;
        self.ended = open.event_time;
        Some(open)
    }

    /// What could not be used.
    pub const fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    fn end_line(&mut self) -> Option<Epoch> {
        if std::mem::take(&mut self.too_long) {
            self.faults.count(Fault::TooLong);
            return None;
        }
        let mut line = std::mem::take(&mut self.line);
        let report = report::parse(line.trim_ascii());
        line.clear();
        self.line = line;
        match report {
            Ok(Report::Fix(fix)) if self.listens_to(fix.device.as_deref()) => self.fix(fix),
            Ok(Report::Sky { device, hdop_centi, satellites }) if self.listens_to(device.as_deref()) => {
                self.hdop_centi = hdop_centi.or(self.hdop_centi);
                self.satellites = satellites.or(self.satellites);
                None
            }
            Ok(_) => None,
            Err(fault) => {
                self.faults.count(fault);
                None
            }
        }
    }

    fn listens_to(&self, device: Option<&str>) -> bool {
        self.device.is_none() || device.is_none() || self.device.as_deref() == device
    }

    fn fix(&mut self, fix: Fix) -> Option<Epoch> {
        if fix.event_time.is_some() && fix.event_time == self.ended {
            self.faults.count(Fault::Late);
            return None;
        }
        let continues = self.open.as_ref().is_some_and(|open| open.event_time == fix.event_time);
        let before = if continues { None } else { self.open.take() };
        self.ended = None;
        let position = fix.position.map(|position| Position {
            hdop_centi: self.hdop_centi,
            satellites: self.satellites,
            ..position
        });
        let known = self.open.take().and_then(|open| open.position);
        let position = position.map(|position| match known {
            Some(known) => completed(&position, &known),
            None => position,
        });
        self.open = Some(Epoch { event_time: fix.event_time, position });
        before
    }
}

/// What was said later of the same time, with what only was said before.
fn completed(later: &Position, before: &Position) -> Position {
    Position {
        altitude_cm: later.altitude_cm.or(before.altitude_cm),
        speed_cmps: later.speed_cmps.or(before.speed_cmps),
        course_cdeg: later.course_cdeg.or(before.course_cdeg),
        accuracy_cm: later.accuracy_cm.or(before.accuracy_cm),
        ..later.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tpv(second: u32, rest: &str) -> String {
        format!(
            "{{\"class\":\"TPV\",\"device\":\"/dev/a\",\"mode\":3,\"time\":\"2026-06-01T12:00:{second:02}.000Z\",\"lat\":52.1,\"lon\":4.9{rest}}}\r\n"
        )
    }

    /// The epochs of `text`, in pieces of every size, as `second speed satellites`, and the faults.
    fn check(text: &str, expected: &[&str], kinds: &[(&str, u64)]) {
        for size in [1, 7, text.len().max(1)] {
            let (mut decoder, mut epochs) = (Decoder::new(Some("/dev/a".to_owned())), Vec::new());
            text.as_bytes().chunks(size).for_each(|piece| decoder.push(piece, |epoch| epochs.push(epoch)));
            epochs.extend(decoder.flush());
            let shown = epochs.iter().map(|epoch| {
                let second = epoch.event_time.map(|time| time.to_string()[17..19].to_owned()).unwrap_or_default();
                let position = epoch.position.as_ref();
                position
                    .map_or(format!("{second} none"), |at| format!("{second} {:?} {:?}", at.speed_cmps, at.satellites))
            });
            assert_eq!(shown.collect::<Vec<_>>(), expected, "in pieces of {size}");
            assert_eq!(decoder.faults().take().into_iter().collect::<Vec<_>>(), kinds, "in pieces of {size}");
        }
    }

    #[test]
    fn reports_of_one_time_are_one_fix_with_all_that_was_said() {
        let sky = "{\"class\":\"SKY\",\"device\":\"/dev/a\",\"uSat\":7}\n";
        let text = [tpv(1, ",\"speed\":2.0"), sky.to_owned(), tpv(1, ""), tpv(2, "")].concat();
        check(&text, &["01 Some(200) Some(7)", "02 None Some(7)"], &[]);
    }

    #[test]
    fn another_device_is_not_listened_to() {
        check(&[tpv(1, ""), tpv(2, "").replace("/dev/a", "/dev/b")].concat(), &["01 None None"], &[]);
    }

    #[test]
    fn a_line_without_end_is_counted_once_and_forgotten() {
        let endless = format!("{}\n", "x".repeat(LINE_BYTES_MAX + 10));
        check(
            &[endless, "what?\n".to_owned(), tpv(1, "")].concat(),
            &["01 None None"],
            &[("malformed", 1), ("too_long", 1)],
        );
    }

    #[test]
    fn what_comes_after_silence_for_the_same_time_is_late() {
        let (mut decoder, mut epochs) = (Decoder::new(None), Vec::new());
        decoder.push(tpv(1, "").as_bytes(), |epoch| epochs.push(epoch));
        epochs.extend(decoder.flush());
        decoder.push(tpv(1, "").as_bytes(), |epoch| epochs.push(epoch));
        assert_eq!((epochs.len(), decoder.flush(), decoder.faults().total()), (1, None, 1));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_memory_is_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut decoder = Decoder::new(None);
            decoder.push(&bytes, |_| {});
            prop_assert!(decoder.line.len() <= LINE_BYTES_MAX);
        }
    }
}
