//! Sentences into fix epochs.
//!
//! Promise: the fix sentences of one time of day become one [`Epoch`], given out when the time of day changes or when
//! the shell says that the receiver fell silent. A void epoch never carries a position, whatever stale values its
//! sentences hold: where there is an RMC its status decides, otherwise a position needs one sentence that is valid.

use milepost_proto::reading::FixType;
use milepost_proto::{Position, Timestamp};

use crate::source::Observation;
use crate::source::fault::Fault;

use super::day::Day;
use super::sentence::{Dimensions, Fix, FixKind, Motion, Sentence, Solution};

/// How many epochs a GSA sentence holds good for: some receivers send it with every fifth fix only.
const ACTIVE_EPOCHS_MAX: u64 = 10;

/// What a receiver said about one time of day.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Milliseconds since midnight UTC; absent when the receiver does not know the time.
    pub time_of_day_ms: Option<u32>,
    /// The instant; absent while no sentence gave a date.
    pub event_time: Option<Timestamp>,
    /// Where; absent when there is no fix.
    pub position: Option<Position>,
}

impl Epoch {
    /// The epoch as an observation, if it has a position.
    #[must_use]
    pub fn into_observation(self) -> Option<Observation> {
        let event_time = self.event_time;
        self.position.map(|position| Observation { event_time, reading: milepost_proto::Reading::Position(position) })
    }
}

/// Gathers sentences into epochs.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembler {
    open: Option<Open>,
    /// The time of day given out early because of silence: what still comes for it is late.
    flushed: Option<u32>,
    date: Option<Dated>,
    active: Option<Active>,
    epochs: u64,
}

/// The epoch under way.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    time_of_day_ms: Option<u32>,
    /// What RMC says, if there was one.
    rmc_valid: Option<bool>,
    /// Whether any other sentence is valid.
    other_valid: bool,
    /// The first value given for each, and the best coordinates, by sentences that are valid themselves.
    fix: Fix,
    /// VTG's, where RMC gives none.
    motion: Motion,
}

/// A date, and the time of day it was given for.
#[derive(Debug, Clone, Copy)]
struct Dated {
    day: Day,
    time_of_day_ms: u32,
}

/// The latest GSA, and the number of the epoch it came with.
#[derive(Debug, Clone, Copy)]
struct Active {
    epoch: u64,
    dimensions: Option<Dimensions>,
    hdop_centi: Option<u16>,
}

impl Assembler {
    /// Takes a sentence; gives the epoch that it ends.
    pub(super) fn push(&mut self, sentence: Sentence) -> Result<Option<Epoch>, Fault> {
        match sentence {
            Sentence::Fix(fix) => return self.fix(fix),
            Sentence::Motion(motion) => {
                if let Some(open) = &mut self.open {
                    open.motion = motion;
                }
            }
            Sentence::Active { dimensions, hdop_centi } => self.active(dimensions, hdop_centi),
            Sentence::Date { time_of_day_ms, day } => self.date = Some(Dated { day, time_of_day_ms }),
            Sentence::Unused => {}
        }
        Ok(None)
    }

    /// The receiver fell silent: its cycle has ended.
    pub(super) fn flush(&mut self) -> Option<Epoch> {
        let open = self.open.take()?;
        self.flushed = open.time_of_day_ms;
        Some(self.close(open))
    }

    fn fix(&mut self, fix: Fix) -> Result<Option<Epoch>, Fault> {
        // A receiver whose clock stands still has no fix either; it must be heard, or it would seem dead.
        if fix.valid && fix.time_of_day_ms.is_some() && fix.time_of_day_ms == self.flushed {
            return Err(Fault::Late);
        }
        let continues = self.open.as_ref().is_some_and(|open| open.time_of_day_ms == fix.time_of_day_ms);
        let ended = if continues { None } else { self.open.take() };
        let ended = ended.map(|open| self.close(open));
        if !continues {
            self.flushed = None;
        }
        let open = self.open.get_or_insert_with(|| Open { time_of_day_ms: fix.time_of_day_ms, ..Open::default() });
        open.add(fix);
        // A receiver that has no fix may date its sentences from anywhere.
        if let (true, Some(day), Some(time_of_day_ms)) = (fix.valid, fix.day, fix.time_of_day_ms) {
            self.date = Some(Dated { day, time_of_day_ms });
        }
        Ok(ended)
    }

    /// One constellation after the other sends its GSA; the best of an epoch stands.
    fn active(&mut self, dimensions: Option<Dimensions>, hdop_centi: Option<u16>) {
        let same_epoch = self.active.filter(|active| active.epoch == self.epochs);
        self.active = Some(Active {
            epoch: self.epochs,
            dimensions: same_epoch.and_then(|active| active.dimensions).max(dimensions),
            hdop_centi: same_epoch.and_then(|active| active.hdop_centi).or(hdop_centi),
        });
    }

    fn close(&mut self, open: Open) -> Epoch {
        let active = self.active.filter(|active| self.epochs - active.epoch <= ACTIVE_EPOCHS_MAX);
        self.epochs += 1;
        Epoch {
            time_of_day_ms: open.time_of_day_ms,
            event_time: open.time_of_day_ms.zip(self.date).map(|(time_of_day_ms, date)| date.at(time_of_day_ms)),
            position: open.position(active),
        }
    }
}

impl Open {
    fn add(&mut self, fix: Fix) {
        if fix.kind == FixKind::Rmc {
            self.rmc_valid = Some(self.rmc_valid.unwrap_or(false) || fix.valid);
        } else {
            self.other_valid |= fix.valid;
        }
        if fix.valid {
            let held = &mut self.fix;
            if fix.coordinates.is_some() && (held.coordinates.is_none() || fix.kind > held.kind) {
                (held.coordinates, held.kind) = (fix.coordinates, fix.kind);
            }
            held.motion = held.motion.or(fix.motion);
            held.altitude_cm = held.altitude_cm.or(fix.altitude_cm);
            held.satellites = held.satellites.or(fix.satellites);
            held.hdop_centi = held.hdop_centi.or(fix.hdop_centi);
            held.solution = match (held.solution, fix.solution) {
                (None | Some(Solution::Autonomous), Some(solution)) => Some(solution),
                (solution, _) => solution,
            };
        }
    }

    fn position(&self, active: Option<Active>) -> Option<Position> {
        if !self.rmc_valid.unwrap_or(self.other_valid) {
            return None;
        }
        let coordinates = self.fix.coordinates?;
        let motion = self.fix.motion.or(self.motion);
        Some(Position {
            lat_e7: coordinates.lat_e7,
            lon_e7: coordinates.lon_e7,
            altitude_cm: self.fix.altitude_cm,
            speed_cmps: motion.speed_cmps,
            course_cdeg: motion.course_cdeg,
            fix: self.fix_type(active.and_then(|active| active.dimensions)),
            satellites: self.fix.satellites,
            hdop_centi: self.fix.hdop_centi.or(active.and_then(|active| active.hdop_centi)),
            accuracy_cm: None,
        })
    }

    fn fix_type(&self, dimensions: Option<Dimensions>) -> FixType {
        match (self.fix.solution, dimensions) {
            (Some(Solution::Differential), _) => FixType::Dgps,
            (Some(Solution::RtkFixed), _) => FixType::RtkFixed,
            (Some(Solution::RtkFloat), _) => FixType::RtkFloat,
            (Some(Solution::Estimated), _) => FixType::Estimated,
            (Some(Solution::Autonomous) | None, Some(Dimensions::Three)) => FixType::Fix3d,
            (Some(Solution::Autonomous) | None, Some(Dimensions::Two)) => FixType::Fix2d,
            (Some(Solution::Autonomous) | None, None) if self.fix.altitude_cm.is_some() => FixType::Fix3d,
            (Some(Solution::Autonomous) | None, None) => FixType::Fix2d,
        }
    }
}

impl Motion {
    fn or(self, other: Self) -> Self {
        Self { speed_cmps: self.speed_cmps.or(other.speed_cmps), course_cdeg: self.course_cdeg.or(other.course_cdeg) }
    }
}

impl Dated {
    /// The instant with this time of day that is nearest to when the date was given, so midnight needs no new date.
    fn at(self, time_of_day_ms: u32) -> Timestamp {
        let ahead_ms = i64::from(time_of_day_ms) - i64::from(self.time_of_day_ms);
        let days = match ahead_ms {
            ..-43_200_000 => 1,
            43_200_001.. => -1,
            _ => 0,
        };
        self.day.plus(days).at(time_of_day_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sentence::parse;
    use super::*;

    /// The epochs of these sentences as `time lat speed fix`, the last one flushed.
    fn epochs(sentences: &[&str]) -> Vec<String> {
        let mut assembler = Assembler::default();
        let mut epochs = Vec::new();
        for sentence in sentences {
            epochs.extend(assembler.push(parse(sentence.as_bytes()).expect(sentence)).expect(sentence));
        }
        epochs.extend(assembler.flush());
        epochs.into_iter().map(show).collect()
    }

    fn show(epoch: Epoch) -> String {
        let time = epoch.event_time.map(|time| time.to_string());
        let time = time.or(epoch.time_of_day_ms.map(|ms| format!("T+{ms}"))).unwrap_or_default();
        match epoch.position {
            Some(position) => format!("{time} {} {:?} {:?}", position.lat_e7, position.speed_cmps, position.fix),
            None => format!("{time} none"),
        }
    }

    #[test]
    fn sentences_of_one_time_of_day_merge_into_one_position() {
        let found = epochs(&[
            "GNGGA,225444.00,4916.45,N,12311.12,W,1,08,0.9,5.4,M,46.9,M,,",
            "GNGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1",
            "GNVTG,271.0,T,,M,10.0,N,18.5,K,A",
            "GNRMC,225444.00,A,4916.45,N,12311.12,W,,,191121,,,A",
            "GNGGA,225445.00,4916.46,N,12311.12,W,4,08,0.9,5.4,M,46.9,M,,",
        ]);
        assert_eq!(
            found,
            ["2021-11-19T22:54:44.000Z 492741667 Some(514) Fix3d", "2021-11-19T22:54:45.000Z 492743333 None RtkFixed",]
        );
    }

    #[test]
    fn a_void_epoch_has_no_position_and_no_date() {
        let found = epochs(&[
            "GPRMC,225444,V,4916.45,N,12311.12,W,000.5,054.7,060180,020.3,E",
            "GPGGA,225444,4916.45,N,12311.12,W,1,08,0.9,5.4,M,46.9,M,,",
            "GPGGA,225445,4916.45,N,12311.12,W,0,08,0.9,5.4,M,46.9,M,,",
        ]);
        assert_eq!(found, ["T+82484000 none", "T+82485000 none"]);
    }

    #[test]
    fn midnight_and_a_leap_second_need_no_new_date() {
        let found = epochs(&[
            "GPZDA,235959,31,12,2016,00,00",
            "GPGLL,4916.45,N,12311.12,W,235959,A",
            "GPGLL,4916.45,N,12311.12,W,235960,A",
            "GPGLL,4916.45,N,12311.12,W,000001,A",
        ]);
        assert_eq!(
            found,
            [
                "2016-12-31T23:59:59.000Z 492741667 None Fix2d",
                "2017-01-01T00:00:00.000Z 492741667 None Fix2d",
                "2017-01-01T00:00:01.000Z 492741667 None Fix2d",
            ]
        );
    }

    #[test]
    fn what_comes_after_a_flush_for_the_same_time_is_late() {
        let gll = parse(b"GPGLL,4916.45,N,12311.12,W,235959,A").expect("sentence");
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push(gll), Ok(None));
        assert!(assembler.flush().is_some());
        assert_eq!(assembler.push(gll), Err(Fault::Late));
        assert!(assembler.flush().is_none());
    }

    #[test]
    fn a_receiver_whose_clock_stands_still_is_heard_without_a_fix() {
        let void = parse(b"GPRMC,000000,V,,,,,,,060180,,").expect("sentence");
        let mut assembler = Assembler::default();
        for _ in 0..3 {
            assert_eq!(assembler.push(void), Ok(None));
            assert!(assembler.flush().is_some_and(|epoch| epoch.position.is_none()));
        }
    }
}
