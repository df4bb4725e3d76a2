//! Which planned stop a standstill belongs to.
//!
//! Promise: standing inside several fences is an arrival at the nearest stop only, and standing at a place that the trip
//! calls at twice is an arrival at the call whose turn it is. A proof or the driver overrules both, since they name the
//! stop. Every answer rests on what was folded before, so it never changes afterwards.

use milepost_proto::plan::StopKind;

use super::planned_stop::PlannedStop;
use super::standstill::Stay;
use super::visit::Presence;

/// Centres closer together than this, in metres, are one place: a standstill there belongs to all its stops.
const SAME_PLACE_M: f64 = 1.0;

/// Whether a standstill is a visit to `stops[index]`, given the presence that it would make one.
pub(super) fn belongs(stops: &[PlannedStop], index: usize, presence: &Presence, stay: &Stay) -> bool {
    let Some(stop) = stops.get(index) else { return false };
    is_nearest(stops, stop, stay) && is_its_turn(stops, index, presence)
}

/// Depots do not compete: a customer may lie inside a large yard.
fn is_nearest(stops: &[PlannedStop], stop: &PlannedStop, stay: &Stay) -> bool {
    let distance_m = |stop: &PlannedStop| stop.fence.centre().distance_m(stay.place);
    let present = stops.iter().filter(|stop| stop.kind != StopKind::Depot && stop.visits.is_present());
    let nearest_m = present.map(distance_m).fold(f64::MAX, f64::min);
    stop.kind == StopKind::Depot || distance_m(stop) <= nearest_m + SAME_PLACE_M
}

/// A place called at twice, with another stop in between, is served in planned order: the earlier call must have ended
/// before this presence began, and a call that was served leaves every further presence to a later one.
fn is_its_turn(stops: &[PlannedStop], index: usize, presence: &Presence) -> bool {
    let (earlier, later) = other_calls(stops, index);
    let over = |stop: &PlannedStop| {
        let left = stop.visits.all().last().and_then(|visit| visit.left.as_ref());
        left.is_some_and(|left| left.last < presence.first)
    };
    let served = !stops[index].visits.all().is_empty();
    earlier.iter().all(|stop| over(stop)) && (!served || later.is_empty())
}

/// The other calls of the same trip at the same place, before and after.
fn other_calls(stops: &[PlannedStop], index: usize) -> (Vec<&PlannedStop>, Vec<&PlannedStop>) {
    let stop = &stops[index];
    let is_here = |other: &PlannedStop| stop.fence.centre().distance_m(other.fence.centre()) <= SAME_PLACE_M;
    let (mut earlier, mut later) = (Vec::new(), Vec::new());
    for (place, other) in stops.iter().enumerate() {
        let between = &stops[place.min(index)..place.max(index)];
        if other.trip == stop.trip && is_here(other) && !between.iter().all(is_here) {
            if place < index { earlier.push(other) } else { later.push(other) }
        }
    }
    (earlier, later)
}
