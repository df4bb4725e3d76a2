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
        let mend = "choose a vehicle with a license plate on the batch in Odoo, and see in milepost-gateway check that it may be \
                    read"
            .to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::orders::{Place, TripRef};

    fn shipment(picking_id: i64, sequence: i64) -> ImportedShipment {
        ImportedShipment {
            picking_id,
            shipment: format!("WH/OUT/{picking_id:05}"),
            state: ShipmentState::Open,
            sale_order: None,
            partner_name: Some("Acme".to_owned()),
            address: None,
            place: Some(Place { lat: 47.0, lon: 8.0 }),
            window: None,
            items: Vec::new(),
            trip: Some(TripRef { trip: "B1".to_owned(), license_plate: Some("zh 12-345".to_owned()), sequence }),
        }
    }

    fn truck(plate: &str) -> Option<VehicleId> {
        (plate_key(plate) == "ZH12345").then(|| "truck-7".parse().expect("a name"))
    }

    fn stops(shipments: &[ImportedShipment]) -> Vec<String> {
        let found = trips(shipments, truck);
        found.trips.into_iter().flat_map(|(_, trip)| trip.stops).map(|stop| stop.id).collect()
    }

    #[test]
    fn a_batch_is_a_trip_in_the_planners_order_whatever_order_the_rows_came_in() {
        let found = trips(&[shipment(3, 1), shipment(1, 2), shipment(2, 1)], truck);
        assert_eq!(found.problems, []);
        assert_eq!(found.trips.len(), 1);
        let (vehicle, trip) = &found.trips[0];
        assert_eq!((vehicle.as_str(), trip.id.as_str()), ("truck-7", "B1"));
        assert_eq!(trip.check(), Vec::<String>::new());
        let ids: Vec<&str> = trip.stops.iter().map(|stop| stop.id.as_str()).collect();
        assert_eq!(ids, ["picking-2", "picking-3", "picking-1"]);
        assert_eq!(trip.stops[0].shipment.as_deref(), Some("WH/OUT/00002"));
        assert_eq!(trip.stops[0].kind, StopKind::Delivery);
    }

    #[test]
    fn cancelled_shipments_leave_the_trip_and_done_ones_stay() {
        let cancelled = ImportedShipment { state: ShipmentState::Cancelled, ..shipment(1, 1) };
        let done = ImportedShipment { state: ShipmentState::Done, ..shipment(2, 2) };
        assert_eq!(stops(&[cancelled, done, shipment(3, 3)]), ["picking-2", "picking-3"]);
    }

    #[test]
    fn shipments_without_a_batch_or_a_place_have_no_stop() {
        let alone = ImportedShipment { trip: None, ..shipment(1, 1) };
        let nowhere = ImportedShipment { place: None, ..shipment(2, 2) };
        assert_eq!(stops(&[alone, nowhere, shipment(3, 3)]), ["picking-3"]);
    }

    #[test]
    fn a_batch_nobody_can_drive_says_why() {
        let with_plate = |plate: Option<&str>| {
            let mut shipment = shipment(1, 1);
            shipment.trip.as_mut().expect("a trip").license_plate = plate.map(str::to_owned);
            let found = trips(&[shipment], truck);
            assert_eq!(found.trips, []);
            found.problems.into_iter().map(|problem| (problem.subject, problem.code)).collect::<Vec<_>>()
        };
        assert_eq!(with_plate(None), [("B1".to_owned(), ProblemCode::NoVehicle)]);
        assert_eq!(with_plate(Some("BE 1")), [("B1".to_owned(), ProblemCode::UnknownVehicle)]);
    }
}
