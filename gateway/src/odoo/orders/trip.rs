//! Groups shipments into trips: a confirmed batch is a trip of its vehicle.
//!
//! Promise: pure, and stable: a stop keeps its id (`picking-<id>`) whatever the planner changes, and the same shipments
//! give the same trips in any order. A cancelled shipment leaves its trip; a done one stays, because what happened
//! there still counts.

use std::collections::BTreeMap;

use milepost_proto::VehicleId;
use milepost_proto::plan::{Stop, StopKind, Trip};

use super::{ImportedShipment, OrderProblem, ProblemCode, ShipmentState};

/// The trips among some shipments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trips {
    /// Each trip with the vehicle that drives it, by trip id.
    pub trips: Vec<(VehicleId, Trip)>,
    /// Batches that nobody can drive as they stand.
    pub problems: Vec<OrderProblem>,
}

/// The trips among `shipments`, which must hold all shipments of each batch ([`super::poll()`] sees to that).
///
/// `vehicle_by_plate` is asked with the plate as Odoo has it; compare by [`plate_key`].
#[must_use]
pub fn trips(shipments: &[ImportedShipment], vehicle_by_plate: impl Fn(&str) -> Option<VehicleId>) -> Trips {
    let mut by_trip: BTreeMap<&str, Vec<&ImportedShipment>> = BTreeMap::new();
    for shipment in shipments.iter().filter(|shipment| shipment.state != ShipmentState::Cancelled) {
        if let Some(trip) = &shipment.trip {
            by_trip.entry(&trip.trip).or_default().push(shipment);
        }
    }
    let mut found = Trips::default();
    for (trip, mut shipments) in by_trip {
        shipments.sort_by_key(|shipment| (shipment.trip.as_ref().map(|trip| trip.sequence), shipment.picking_id));
        match vehicle(trip, &shipments, &vehicle_by_plate) {
            Ok(vehicle) => {
                let stops: Vec<Stop> = shipments.into_iter().filter_map(stop).collect();
                found.trips.push((vehicle, Trip { id: trip.to_owned(), device: None, stops }));
            }
            Err(problem) => found.problems.push(problem),
        }
    }
    found
}

/// A license plate as it is compared: letters and digits only, in capitals, because people write the rest as they like.
#[must_use]
pub fn plate_key(plate: &str) -> String {
    plate.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

fn vehicle(
    trip: &str,
    shipments: &[&ImportedShipment],
    vehicle_by_plate: impl Fn(&str) -> Option<VehicleId>,
) -> Result<VehicleId, OrderProblem> {
    let plate = shipments.iter().find_map(|shipment| shipment.trip.as_ref()?.license_plate.as_deref());
    let problem = |code, mend| OrderProblem { subject: trip.to_owned(), code, mend };
    let Some(plate) = plate else {
        let mend = "choose a vehicle with a license plate on the batch in Odoo".to_owned();
        return Err(problem(ProblemCode::NoVehicle, mend));
    };
    vehicle_by_plate(plate).ok_or_else(|| {
        let mend = format!("no vehicle has the license plate {plate:?}: add it to the vehicles in gateway.toml");
        problem(ProblemCode::UnknownVehicle, mend)
    })
}

fn stop(shipment: &ImportedShipment) -> Option<Stop> {
    let place = shipment.place?;
    Some(Stop {
        id: format!("picking-{}", shipment.picking_id),
        shipment: Some(shipment.shipment.clone()),
        kind: StopKind::Delivery,
        lat: place.lat,
        lon: place.lon,
        radius_m: None,
        polygon: None,
        window: shipment.window,
        service_s: None,
        name: shipment.partner_name.clone(),
        address: shipment.address.clone(),
        items: shipment.items.clone(),
    })
}
