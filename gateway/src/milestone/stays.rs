//! Unplanned stays: where a vehicle stood when nobody planned that it would.
//!
//! Promise: a stay is told by the same cleaning and the same standstill that decide visits, so a stay that is told here
//! would have been an arrival had there been a fence around it.

use super::clean::Cleaner;
use super::standstill::{Standstill, Stay};
use super::{Fact, FactKind, Rules};

/// Every stay of at least [`Rules::dwell_s_min`], given the facts of one vehicle in the order of their keys.
pub fn stays<'a>(facts: impl IntoIterator<Item = &'a Fact>, rules: &Rules) -> Vec<Stay> {
    let mut cleaner = Cleaner::default();
    let mut standstill = Standstill::default();
    let mut stays = Vec::new();
    for fact in facts {
        let at = fact.key().event_time;
        match &fact.kind {
            FactKind::Fix(fix) => {
                let ended = cleaner.judge(at, *fix, rules).ok().and_then(|sighting| standstill.see(&sighting, rules));
                stays.extend(ended);
            }
            FactKind::Ignition { on } => standstill.ignition(*on),
            FactKind::WheelSpeed { cmps } => standstill.wheels(at, f64::from(*cmps) / 100.0),
            FactKind::Pod(_) | FactKind::DriverAction { .. } | FactKind::Odometer { .. } => {}
        }
    }
    stays.extend(standstill.stay().filter(|stay| stay.is_established(rules)));
    stays
}
