//! What decoded messages say about one vehicle: readings.
//!
//! Promise: a value is passed on as its sender gives it, and of several senders one is followed; a switch and a lamp are reported when they change, a trouble code
//! as [`code_watch`](super::code_watch) decides, a VIN once. Of the two distances a bus may carry, the finer one is
//! taken as soon as it is heard. Memory is bounded whatever the bus says.

use milepost_proto::Reading;
use milepost_proto::reading::{Signal, Switch};

use crate::source::fault::{Fault, Faults};

use super::code_watch::CodeWatch;
use super::lamp_watch::LampWatch;
use super::obd::CurrentData;
use super::speaker::Speakers;
use super::table::{COARSE_DISTANCE_PGN, FINE_DISTANCE_PGN, MessageData, SwitchSpec};
use super::trouble_code::{CodeList, ListKind};
use super::vin::{Vin, VinWatch};

/// A bus without a frame for so long sleeps, milliseconds.
const ASLEEP_MS: u64 = 2_000;

/// Follows one vehicle.
#[derive(Debug, Clone, Default)]
pub struct Vehicle {
    distance: Distance,
    speakers: Speakers,
    switches: Vec<SwitchState>,
    codes: CodeWatch,
    lamps: LampWatch,
    vin: VinWatch,
    waking: WakingTime,
}

/// Which of the two distances a bus may carry is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Distance {
    /// The one in units of 125 m: no other was heard yet.
    #[default]
    Coarse,
    /// The one in units of 5 m.
    Fine,
}

/// A switch as it was last reported; as many as the table has.
#[derive(Debug, Clone, Copy)]
struct SwitchState {
    name: &'static str,
    on: bool,
}

/// How long the bus was awake, milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct WakingTime {
    heard_ms: Option<u64>,
    total_ms: u64,
}

impl Vehicle {
    /// Expects the vehicle with this VIN; any, when none is given.
    #[must_use]
    pub fn new(configured: Option<Vin>) -> Self {
        Self { vin: VinWatch::new(configured), ..Self::default() }
    }

    /// A frame was heard at `now_ms` of any clock that does not step back.
    pub fn pass_time(&mut self, now_ms: u64, mut observed: impl FnMut(Reading)) {
        let waking_ms = self.waking.heard(now_ms);
        self.codes.pass_time(waking_ms, |code| observed(Reading::Diagnostic(code)));
        self.lamps.pass_time(waking_ms, |lamp| observed(Reading::Switch(lamp)));
    }

    /// A J1939 message came.
    pub fn message(&mut self, message: MessageData<'_>, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        match (message.message.pgn, self.distance) {
            (FINE_DISTANCE_PGN, _) => self.distance = Distance::Fine,
            (COARSE_DISTANCE_PGN, Distance::Fine) => return,
            _ => {}
        }
        for (spec, value) in message.signals() {
            match value {
                Ok(value) if self.speakers.follow(spec.spn, message.source, self.waking.total_ms) => {
                    match spec.switch {
                        Some(switch) => self.switch(switch, value, &mut observed),
                        None => observed(signal(spec.reading_name(message.message), value, spec.unit)),
                    }
                }
                Ok(_) => {}
                Err(fault) => faults.count(fault),
            }
        }
    }

    /// An OBD-II answer came.
    pub fn current_data(&mut self, data: CurrentData<'_>, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        for value in data.values() {
            match value {
                Ok((pid, value)) => observed(signal(pid.reading_name.to_owned(), value, pid.unit)),
                Err(fault) => faults.count(fault),
            }
        }
    }

    /// A list of trouble codes came.
    pub fn codes(&mut self, list: CodeList<'_>, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        let now_ms = self.waking.total_ms;
        if list.kind == ListKind::Active {
            self.lamps.push(&list, now_ms, |lamp| observed(Reading::Switch(lamp)));
        }
        self.codes.push(&list, now_ms, faults, |code| observed(Reading::Diagnostic(code)));
    }

    /// A unit sent the vehicle's VIN; none, when what it sent is not one.
    pub fn vin(&mut self, vin: Option<Vin>, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        match vin {
            Some(vin) => self.vin.push(vin, faults, |news| observed(Reading::Health(news))),
            None => faults.count(Fault::Unparsed),
        }
    }

    fn switch(&mut self, spec: SwitchSpec, value: f64, observed: &mut impl FnMut(Reading)) {
        let Some(on) = spec.state(value) else { return };
        match self.switches.iter_mut().find(|state| state.name == spec.name) {
            Some(state) if state.on == on => return,
            Some(state) => state.on = on,
            None => self.switches.push(SwitchState { name: spec.name, on }),
        }
        observed(Reading::Switch(Switch { name: spec.name.to_owned(), on }));
    }
}

fn signal(name: String, value: f64, unit: &str) -> Reading {
    Reading::Signal(Signal { name, value, unit: unit.to_owned() })
}

impl WakingTime {
    fn heard(&mut self, now_ms: u64) -> u64 {
        let since_ms = self.heard_ms.map_or(0, |heard_ms| now_ms.saturating_sub(heard_ms));
        self.heard_ms = Some(self.heard_ms.map_or(now_ms, |heard_ms| heard_ms.max(now_ms)));
        self.total_ms += since_ms.min(ASLEEP_MS);
        self.total_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_a_bus_sleeps_does_not_count() {
        let mut waking = WakingTime::default();
        let found =
            [5_000, 5_010, 6_010, 3_600_000, 3_600_010, 3_599_000, 3_600_020].map(|now_ms| waking.heard(now_ms));
        assert_eq!(found, [0, 10, 1_010, 3_010, 3_020, 3_020, 3_030]);
    }
}
