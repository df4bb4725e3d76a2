//! Sentences into fix epochs.
//!
//! Promise: the fix sentences of one time of day become one [`Epoch`], given out at the last sentence of a receiver's
//! known cycle, when the time of day changes, or when the shell says that the receiver fell silent. What comes between
//! that and the next fix sentence counts for the next epoch. A date is taken only from a receiver that has a fix, and
//! from ZDA rather than from RMC, which has two digits for the year. A void epoch never carries a position, whatever stale values its
//! sentences hold: where there is an RMC its status decides, otherwise a position needs one sentence that is valid.

use milepost_proto::reading::FixType;
use milepost_proto::{Position, Timestamp};

use crate::source::Observation;
use crate::source::fault::Fault;

use super::cycle::Cycle;
use super::day::Day;
use super::sentence::{Dimensions, Fix, FixError, FixKind, Motion, Sentence, Solution};

/// How many epochs a GSA or ZDA holds good for: some receivers send it with every fifth fix only.
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
    /// What came between epochs, for the next one.
    waiting: Waiting,
    /// The epoch given out before the next one began: what still comes for it is late.
    ended: Option<Ended>,
    cycle: Cycle,
    date: Option<Dated>,
    /// The latest ZDA, and the number of the epoch it came with.
    zda: Option<(Dated, u64)>,
    active: Option<Active>,
    epochs: u64,
}

/// What one sentence ended: the epoch before it, and its own if it is the last of its cycle.
pub(super) type EndedEpochs = [Option<Epoch>; 2];

#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    motion: Motion,
    error: Option<FixError>,
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    time_of_day_ms: Option<u32>,
    /// Whether the cycle was thought to be over, rather than the line silent.
    announced: bool,
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
    error: Option<FixError>,
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
    /// Takes a sentence; gives the epochs that it ends.
    pub(super) fn push(&mut self, sentence: Sentence) -> Result<EndedEpochs, Fault> {
        let mut before = None;
        match sentence {
            Sentence::Fix(fix) => before = self.fix(fix)?,
            Sentence::Motion(motion) => match &mut self.open {
                Some(open) => open.motion = motion,
                None => self.waiting.motion = motion,
            },
            Sentence::Active { dimensions, hdop_centi } => self.active(dimensions, hdop_centi),
            Sentence::Error(error) => self.error(error),
            Sentence::Date { time_of_day_ms, day } => self.zda = Some((Dated { day, time_of_day_ms }, self.epochs)),
            Sentence::Unused => {}
        }
        let last_of_cycle = sentence.kind().is_some_and(|kind| self.cycle.heard(kind));
        // RMC alone has status, motion and date: without it, something may still come that matters.
        let has_rmc = self.open.is_some_and(|open| open.rmc_valid.is_some());
        Ok([before, if last_of_cycle && has_rmc { self.end(true) } else { None }])
    }

    /// The receiver fell silent: its cycle has ended.
    pub(super) fn flush(&mut self) -> Option<Epoch> {
        self.end(false)
    }

    fn end(&mut self, announced: bool) -> Option<Epoch> {
        let open = self.open.take()?;
        self.cycle.ended();
        self.ended = Some(Ended { time_of_day_ms: open.time_of_day_ms, announced });
        Some(self.close(open))
    }

    fn fix(&mut self, fix: Fix) -> Result<Option<Epoch>, Fault> {
        if let Some(ended) =
            self.ended.filter(|ended| fix.time_of_day_ms.is_some() && ended.time_of_day_ms == fix.time_of_day_ms)
        {
            if ended.announced {
                self.cycle.was_wrong();
            }
            // A receiver whose clock stands still has no fix either; it must be heard, or it would seem dead.
            if fix.valid {
                return Err(Fault::Late);
            }
        }
        let continues = self.open.as_ref().is_some_and(|open| open.time_of_day_ms == fix.time_of_day_ms);
        let before = if continues { None } else { self.end(false) };
        if !continues {
            self.ended = None;
        }
        self.open.get_or_insert_with(|| Open::begin(fix.time_of_day_ms, std::mem::take(&mut self.waiting))).add(fix);
        Ok(before)
    }

    /// GST or GBS, which say for which epoch they are.
    fn error(&mut self, error: FixError) {
        let open =
            self.open.as_mut().filter(|open| error.time_of_day_ms.is_none_or(|ms| open.time_of_day_ms == Some(ms)));
        let held = open.map_or(&mut self.waiting.error, |open| &mut open.error);
        if held.is_none_or(|held| held.kind <= error.kind || held.time_of_day_ms != error.time_of_day_ms) {
            *held = Some(error);
        }
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
        let position = open.position(active);
        if position.is_none() {
            // A receiver that has no fix may date its sentences from anywhere.
            self.zda = None;
        } else if let Some((zda, _)) = self.zda.filter(|(_, epoch)| self.epochs - epoch <= ACTIVE_EPOCHS_MAX) {
            self.date = Some(zda);
        } else if let Some((day, time_of_day_ms)) = open.fix.day.zip(open.time_of_day_ms) {
            self.date = Some(Dated { day, time_of_day_ms });
        }
        self.epochs += 1;
        Epoch {
            time_of_day_ms: open.time_of_day_ms,
            event_time: open.time_of_day_ms.zip(self.date).map(|(time_of_day_ms, date)| date.at(time_of_day_ms)),
            position,
        }
    }
}

impl Open {
    fn begin(time_of_day_ms: Option<u32>, waiting: Waiting) -> Self {
        let error = waiting.error.filter(|error| error.time_of_day_ms.is_none_or(|ms| time_of_day_ms == Some(ms)));
        Self { time_of_day_ms, motion: waiting.motion, error, ..Self::default() }
    }

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
            held.day = held.day.or(fix.day);
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
            accuracy_cm: self.error.map(|error| error.horizontal_cm),
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
    use super::*;
    use crate::source::fault::Faults;

    fn parse(body: &str) -> Sentence {
        super::super::sentence::parse(body.as_bytes(), &mut Faults::default()).expect(body)
    }

    fn one(ended: Result<EndedEpochs, Fault>) -> Option<Epoch> {
        let [before, own] = ended.expect("in time");
        before.or(own)
    }

    /// The epochs of these sentences as `time lat speed fix`, the last one flushed.
    fn epochs(sentences: &[&str]) -> Vec<String> {
        let mut assembler = Assembler::default();
        let mut epochs = Vec::new();
        for sentence in sentences {
            epochs.extend(assembler.push(parse(sentence)).expect(sentence).into_iter().flatten());
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
        let gll = parse("GPGLL,4916.45,N,12311.12,W,235959,A");
        let mut assembler = Assembler::default();
        assert_eq!(one(assembler.push(gll)), None);
        assert!(assembler.flush().is_some());
        assert_eq!(assembler.push(gll), Err(Fault::Late));
        assert!(assembler.flush().is_none());
    }

    #[test]
    fn a_receiver_whose_clock_stands_still_is_heard_without_a_fix() {
        let void = parse("GPRMC,000000,V,,,,,,,060180,,");
        let mut assembler = Assembler::default();
        for _ in 0..3 {
            assert_eq!(one(assembler.push(void)), None);
            assert!(assembler.flush().is_some_and(|epoch| epoch.position.is_none()));
        }
    }

    /// A second's sentences, motion before the fix.
    fn second(n: u32) -> [String; 3] {
        [
            format!("GPVTG,90.0,T,,M,{n}.0,N,,K,A"),
            format!("GPGGA,1200{n:02},4916.45,N,12311.12,W,1,08,0.9,5.4,M,46.9,M,,"),
            format!("GPRMC,1200{n:02},A,4916.45,N,12311.12,W,,,191121,,,A"),
        ]
    }

    #[test]
    fn a_known_cycle_ends_its_epoch_at_once_and_what_follows_counts_for_the_next() {
        let mut assembler = Assembler::default();
        for n in 0..3 {
            second(n).iter().for_each(|sentence| assert_eq!(one(assembler.push(parse(sentence))), None));
            assert!(assembler.flush().is_some(), "the line was silent");
        }
        for n in 3..8 {
            let [vtg, gga, rmc] = second(n);
            assert_eq!(one(assembler.push(parse(&vtg))), None);
            assert_eq!(one(assembler.push(parse(&gga))), None);
            let epoch = one(assembler.push(parse(&rmc))).expect("the cycle has ended");
            assert_eq!(epoch.time_of_day_ms, Some(43_200_000 + n * 1_000));
            let knots = f64::from(epoch.position.and_then(|position| position.speed_cmps).expect("speed")) / 51.4444;
            assert!((knots - f64::from(n)).abs() < 0.1, "{knots} at {n}");
            assert_eq!(assembler.flush(), None);
        }
    }

    #[test]
    fn a_cycle_that_goes_on_after_its_known_end_is_late_once_and_then_waited_for() {
        let mut assembler = Assembler::default();
        let (gga, rmc) = (|n: u32| parse(&second(n)[1]), |n: u32| parse(&second(n)[2]));
        for n in 0..3 {
            assembler.push(rmc(n)).expect("in time");
        }
        assert!(assembler.push(rmc(3)).expect("in time").iter().all(Option::is_some), "the one before, and this one");
        assert_eq!(assembler.push(gga(3)), Err(Fault::Late));
        for n in 4..9 {
            let ended = assembler.push(rmc(n)).expect("in time");
            assert_eq!(ended.iter().flatten().count(), usize::from(n > 4), "{n}");
            assert_eq!(assembler.push(gga(n)), Ok([None, None]));
        }
    }

    #[test]
    fn a_cycle_without_rmc_is_not_cut_short() {
        let mut assembler = Assembler::default();
        for n in 0..9 {
            let ended = assembler.push(parse(&second(n)[1])).expect("in time");
            assert_eq!(ended.iter().flatten().count(), usize::from(n > 0), "{n}");
        }
        assert_eq!(assembler.push(parse(&second(8)[2])), Ok([None, None]));
        let speedless = assembler.flush().expect("an epoch");
        assert_eq!(speedless.event_time.map(|time| time.to_string()).as_deref(), Some("2021-11-19T12:00:08.000Z"));
    }

    #[test]
    fn the_year_is_taken_from_zda_and_only_while_there_is_a_fix() {
        let found = epochs(&[
            "GPZDA,120000,01,01,1999,00,00",
            "GPGLL,4916.45,N,12311.12,W,120000,V",
            "GPRMC,120001,A,4916.45,N,12311.12,W,,,191121,,,A",
            "GPRMC,120002,A,4916.45,N,12311.12,W,,,191101,,,A",
            "GPZDA,120002,19,11,2021,00,00",
        ]);
        assert_eq!(
            found,
            [
                "T+43200000 none",
                "2021-11-19T12:00:01.000Z 492741667 None Fix2d",
                "2021-11-19T12:00:02.000Z 492741667 None Fix2d",
            ]
        );
    }

    #[test]
    fn the_error_counts_for_the_epoch_it_names_and_gst_before_gbs() {
        let mut assembler = Assembler::default();
        for sentence in [
            "GPGST,120000,,,,,3.0,4.0,9.0",
            "GPGLL,4916.45,N,12311.12,W,120000,A",
            "GPGBS,120000,0.3,0.4,9.0,,,,",
            "GPGST,120009,,,,,30.0,40.0,9.0",
        ] {
            assert_eq!(one(assembler.push(parse(sentence))), None);
        }
        let accuracy_cm = |epoch: Option<Epoch>| epoch.and_then(|epoch| epoch.position).and_then(|at| at.accuracy_cm);
        assert_eq!(accuracy_cm(one(assembler.push(parse("GPGLL,4916.45,N,12311.12,W,120001,A")))), Some(500));
        assert_eq!(accuracy_cm(assembler.flush()), None);
    }
}
