//! A recording as lines with their times.
//!
//! Promise: pure. Lines keep their order; offsets never step back. A line without a time of its own goes with the one
//! before it. Midnight is crossed; a step back, or a pause of more than twelve hours, passes without waiting.

use std::time::Duration;

use milepost_proto::Timestamp;

use crate::source::nmea::{Decoder, Epoch, time_of_day_ms};

const DAY_MS: u32 = 86_400_000;

/// What a receiver said, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The time at the first line, worked out from the first dated fix; absent when there is none.
    pub began: Option<Timestamp>,
    /// The lines, in order.
    pub lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Recorded time since the first line.
    pub offset: Duration,
    /// Without its line end.
    pub text: Vec<u8>,
}

impl Recording {
    /// Reads a recording; empty lines and those that begin with `#` are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut offsets = Offsets::default();
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let lines: Vec<_> = lines.map(|line| Line { offset: offsets.next(line), text: line.to_vec() }).collect();
        Self { began: began(&lines), lines }
    }
}

/// The time at offset zero, by the first epoch that has a position and a date.
fn began(lines: &[Line]) -> Option<Timestamp> {
    let mut decoder = Decoder::default();
    let mut first: Option<Epoch> = None;
    let mut keep = |epoch: Epoch| {
        if first.is_none() && epoch.position.is_some() && epoch.event_time.is_some() {
            first = Some(epoch);
        }
    };
    for line in lines {
        decoder.push(&line.text, &mut keep);
        decoder.push(b"\n", &mut keep);
    }
    decoder.flush().into_iter().for_each(keep);
    let first = first?;
    let at = lines.iter().find(|line| time_of_day_ms(&line.text) == first.time_of_day_ms)?;
    let offset_ms = i64::try_from(at.offset.as_millis()).ok()?;
    first.event_time.map(|time| time.plus_millis(-offset_ms))
}

/// Times of day into offsets.
#[derive(Debug, Default)]
struct Offsets {
    last_ms: Option<u32>,
    offset: Duration,
}

impl Offsets {
    fn next(&mut self, line: &[u8]) -> Duration {
        if let Some(now_ms) = time_of_day_ms(line) {
            let last_ms = self.last_ms.replace(now_ms).unwrap_or(now_ms);
            let step_ms = (now_ms + DAY_MS).saturating_sub(last_ms) % DAY_MS;
            if step_ms < DAY_MS / 2 {
                self.offset += Duration::from_millis(step_ms.into());
            }
        }
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}")
    }

    fn gll(time: &str) -> String {
        sentence(&format!("GPGLL,5200.0,N,00454.0,E,{time},A"))
    }

    #[test]
    fn lines_are_paced_by_their_times_across_midnight_and_never_back() {
        let lines = [
            "# comment".to_owned(),
            gll("235958"),
            sentence("GPGSA,A,3,,,,,,,,,,,,,1.0,1.0,1.0"),
            gll("235959.5"),
            String::new(),
            gll("000001"),
            gll("000000"),
            gll("000002"),
        ];
        let recording = Recording::parse(lines.join("\r\n").as_bytes());
        let offsets: Vec<_> = recording.lines.iter().map(|line| line.offset.as_millis()).collect();
        assert_eq!(offsets, [0, 0, 1_500, 3_000, 3_000, 5_000]);
        assert_eq!(recording.began, None);
    }

    #[test]
    fn the_start_is_worked_out_from_the_first_dated_fix() {
        let lines =
            [sentence("GPRMC,115950,V,,,,,,,,,"), sentence("GPRMC,120000,A,5200.0,N,00454.0,E,10.0,90.0,010621,,,A")];
        let recording = Recording::parse(lines.join("\n").as_bytes());
        assert_eq!(recording.began.map(|time| time.to_string()).as_deref(), Some("2021-06-01T11:59:50.000Z"));
    }
}
