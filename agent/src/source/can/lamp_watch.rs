//! The warning lamps of the dashboard, as all units together want them.
//!
//! Promise: a lamp is lit while any unit wants it lit, as on the dashboard; it is off when one says so and none wants it
//! lit. A change is reported once. A unit that sends no list for [`super::code_watch::SILENCE_MS`] wants nothing.

use milepost_proto::reading::Switch;

use super::code_watch::SILENCE_MS;
use super::trouble_code::{CodeList, Lamp};

type Lamps = [Option<bool>; Lamp::ALL.len()];

/// Follows the lamps of one bus.
#[derive(Debug, Clone, Default)]
pub struct LampWatch {
    /// At most one for each of the 256 addresses.
    units: Vec<Unit>,
    reported: Lamps,
}

#[derive(Debug, Clone)]
struct Unit {
    address: u8,
    lamps: Lamps,
    listed_ms: u64,
}

impl LampWatch {
    /// Takes a list of active codes that came at `now_ms`; calls `changed` with each lamp it changes.
    pub fn push(&mut self, list: &CodeList<'_>, now_ms: u64, changed: impl FnMut(Switch)) {
        let unit = Unit { address: list.source, lamps: Lamp::ALL.map(|lamp| list.lamp(lamp)), listed_ms: now_ms };
        match self.units.iter_mut().find(|known| known.address == unit.address) {
            Some(known) => *known = unit,
            None => self.units.push(unit),
        }
        self.report(changed);
    }

    /// Time passed, also without lists.
    pub fn pass_time(&mut self, now_ms: u64, changed: impl FnMut(Switch)) {
        let units = self.units.len();
        self.units.retain(|unit| now_ms.saturating_sub(unit.listed_ms) < SILENCE_MS);
        if self.units.len() < units {
            // A lamp that nobody speaks of any more is not known to be off, but it is no longer asked for.
            self.report(changed);
        }
    }

    fn report(&mut self, mut changed: impl FnMut(Switch)) {
        for (lamp, reported) in Lamp::ALL.into_iter().zip(&mut self.reported) {
            let wanted = self.units.iter().filter_map(|unit| unit.lamps[lamp as usize]).max();
            let on = wanted.or(reported.map(|_| false));
            if on != *reported {
                *reported = on;
                on.into_iter().for_each(|on| changed(Switch { name: lamp.switch_name().to_owned(), on }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::can::trouble_code::ListKind;

    /// Units' lamp bytes a second apart; what changed.
    fn check(lists: &[(u8, u8)], silence_ms: u64, expected: &[&str]) {
        let (mut watch, mut found, mut now_ms) = (LampWatch::default(), Vec::new(), 0);
        for (unit, lamps) in lists {
            let data = [*lamps, 0xff];
            let list = CodeList::new(ListKind::Active, *unit, &data).expect("list");
            watch.push(&list, now_ms, |switch| found.push(format!("{} {}", switch.name, switch.on)));
            now_ms += 1_000;
        }
        watch.pass_time(now_ms + silence_ms, |switch| found.push(format!("{} {}", switch.name, switch.on)));
        assert_eq!(found, expected, "{lists:?}");
    }

    const RED_ON: u8 = 0b11_01_11_11;
    const RED_OFF: u8 = 0b11_00_11_11;

    #[test]
    fn a_lamp_is_lit_while_any_unit_wants_it() {
        check(&[(0, 0xff)], 0, &[]);
        check(
            &[(0, RED_OFF), (3, RED_ON), (0, RED_OFF), (3, RED_ON)],
            0,
            &["lamp_red_stop false", "lamp_red_stop true"],
        );
        check(&[(3, RED_ON), (0, RED_OFF), (3, RED_OFF)], 0, &["lamp_red_stop true", "lamp_red_stop false"]);
    }

    #[test]
    fn a_silent_unit_wants_nothing() {
        check(&[(3, RED_ON)], SILENCE_MS, &["lamp_red_stop true", "lamp_red_stop false"]);
    }
}
