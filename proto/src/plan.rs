//! The planned work: trips of ordered stops (shapes after Open Trip Model 5), as `plan.json` and the down-link hold it.
//!
//! Promise: a plan that [`Plan::check`] accepts has unique ids, coordinates on Earth and a shape for every stop, so
//! whoever folds it need not ask again.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Radius of a stop that does not give a shape, in metres.
pub const RADIUS_M_DEFAULT: f64 = 100.0;

/// Several trips.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The trips.
    pub trips: Vec<Trip>,
}

/// One vehicle's ordered stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// Unique in its fleet.
    pub id: String,
    /// The device that drives it (in `plan.json`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The stops in planned order.
    pub stops: Vec<Stop>,
}

/// One planned call at a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Unique in its trip.
    pub id: String,
    /// The shipment it serves; absent at a depot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<String>,
    /// What happens there.
    pub kind: StopKind,
    /// Latitude of its centre, degrees.
    pub lat: f64,
    /// Longitude of its centre, degrees.
    pub lon: f64,
    /// Radius of a circular geofence, metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_m: Option<f64>,
    /// Corners of a polygonal geofence as `[lat, lon]` degrees; takes the place of the radius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polygon: Option<Vec<[f64; 2]>>,
    /// Agreed time window, `[from, to]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[Timestamp; 2]>,
    /// Planned service time, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_s: Option<u32>,
    /// Name of the place or consignee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Postal address on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Goods to hand over or take on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<PlannedItem>,
}

/// What happens at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// Goods are taken on.
    Pickup,
    /// Goods are handed over.
    Delivery,
    /// The vehicle starts, ends or waits.
    Depot,
}

/// Goods planned for a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedItem {
    /// The order line's reference.
    pub r#ref: String,
    /// What it is, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Barcode, if the goods carry one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barcode: Option<String>,
    /// Quantity, in the order line's unit.
    pub planned: f64,
}

impl Plan {
    /// Every mistake in the plan, each naming its place; empty when there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (index, trip) in self.trips.iter().enumerate() {
            if self.trips[..index].iter().any(|other| other.id == trip.id) {
                mistakes.push(format!("trip {:?} appears twice", trip.id));
            }
            mistakes.extend(trip.check());
        }
        mistakes
    }
}

impl Trip {
    /// Every mistake in the trip, each naming its place; empty when there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (index, stop) in self.stops.iter().enumerate() {
            let place = format!("trip {:?}, stop {:?}", self.id, stop.id);
            if self.stops[..index].iter().any(|other| other.id == stop.id) {
                mistakes.push(format!("{place} appears twice"));
            }
            mistakes.extend(stop.check().into_iter().map(|mistake| format!("{place}: {mistake}")));
        }
        mistakes
    }

    /// The stop with this id.
    #[must_use]
    pub fn stop(&self, id: &str) -> Option<&Stop> {
        self.stops.iter().find(|stop| stop.id == id)
    }
}

impl Stop {
    fn check(&self) -> Vec<&'static str> {
        let on_earth = |lat: f64, lon: f64| (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        let mut mistakes = Vec::new();
        if self.id.is_empty() {
            mistakes.push("id is empty");
        }
        if !on_earth(self.lat, self.lon) {
            mistakes.push("lat must be -90 to 90 and lon -180 to 180 degrees");
        }
        if self.radius_m.is_some_and(|radius| !(5.0..=50_000.0).contains(&radius)) {
            mistakes.push("radius_m must be 5 to 50000");
        }
        if let Some(corners) = &self.polygon
            && (corners.len() < 3 || !corners.iter().all(|&[lat, lon]| on_earth(lat, lon)))
        {
            mistakes.push("polygon needs at least three [lat, lon] corners on Earth");
        }
        if self.window.is_some_and(|[from, to]| to < from) {
            mistakes.push("window ends before it begins");
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let plan: Plan = serde_json::from_str(
            r#"{"trips":[{"id":"T1","stops":[
                {"id":"S1","kind":"delivery","shipment":"P1","lat":91,"lon":0},
                {"id":"S1","kind":"depot","lat":47,"lon":8,"polygon":[[47,8],[48,8]]}]}]}"#,
        )
        .expect("well-formed");
        assert_eq!(
            plan.check(),
            [
                r#"trip "T1", stop "S1": lat must be -90 to 90 and lon -180 to 180 degrees"#,
                r#"trip "T1", stop "S1" appears twice"#,
                r#"trip "T1", stop "S1": polygon needs at least three [lat, lon] corners on Earth"#,
            ]
        );
    }
}
