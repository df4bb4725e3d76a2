//! Where a vehicle is when: days of the same round, parked between them.
//!
//! Promise: a pure function of vehicle and time. Each day the vehicle leaves its yard at its own hour, stands at each of
//! [`STOPS`] stops, drives back and is parked.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "places on Earth in 1e-7 degrees, speeds of vehicles, small numbers of vehicles and days"
)]

use milepost_proto::plan::StopKind;
use milepost_proto::reading::FixType;
use milepost_proto::{Position, Stop, Timestamp, Trip};

/// Stops of a day.
pub(super) const STOPS: u32 = 4;
pub(super) const DAY_MS: i64 = 86_400_000;
const STAND_MS: i64 = 10 * 60_000;
const DRIVE_MS: i64 = 10 * 60_000;
const BACK_MS: i64 = DRIVE_MS * STOPS as i64;
const SPEED_MPS: f64 = 12.0;
const METRES_PER_DEGREE: f64 = 111_195.0;

/// A vehicle's round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    vehicle: usize,
    began_ms: i64,
    /// From the beginning of a day to the departure.
    leaves_ms: i64,
}

/// What the vehicle does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Doing {
    Parked,
    Standing(u32),
    Driving,
}

impl Route {
    /// The round of a vehicle in a world that began at `began_ms`.
    pub(super) const fn new(vehicle: usize, began_ms: i64) -> Self {
        Self { vehicle, began_ms, leaves_ms: (1 + vehicle as i64 % 7) * 5 * 60_000 }
    }

    /// The day, from 0.
    pub(super) const fn day(&self, at_ms: i64) -> u64 {
        ((at_ms - self.began_ms) / DAY_MS).unsigned_abs()
    }

    /// What it does, and how far from its yard it is, metres.
    pub(super) fn doing(&self, at_ms: i64) -> (Doing, f64) {
        let into_ms = (at_ms - self.began_ms).rem_euclid(DAY_MS) - self.leaves_ms;
        let leg_ms = DRIVE_MS + STAND_MS;
        let leg_m = SPEED_MPS * DRIVE_MS as f64 / 1e3;
        let round_ms = leg_ms * i64::from(STOPS);
        if !(0..round_ms + BACK_MS).contains(&into_ms) {
            return (Doing::Parked, 0.0);
        }
        if into_ms >= round_ms {
            let back = (into_ms - round_ms) as f64 / BACK_MS as f64;
            return (Doing::Driving, leg_m * f64::from(STOPS) * (1.0 - back));
        }
        let (leg, in_leg_ms) = (into_ms / leg_ms, into_ms % leg_ms);
        if in_leg_ms < DRIVE_MS {
            (Doing::Driving, leg_m * (leg as f64 + in_leg_ms as f64 / DRIVE_MS as f64))
        } else {
            (Doing::Standing(u32::try_from(leg + 1).unwrap_or(1)), leg_m * (leg + 1) as f64)
        }
    }

    /// What a receiver says.
    pub(super) fn position(&self, at_ms: i64) -> Position {
        let (doing, metres) = self.doing(at_ms);
        let (lat, lon) = self.place(metres);
        Position {
            lat_e7: (lat * 1e7).round() as i32,
            lon_e7: (lon * 1e7).round() as i32,
            altitude_cm: Some(300),
            speed_cmps: Some(if doing == Doing::Driving { (SPEED_MPS * 100.0) as u32 } else { 0 }),
            course_cdeg: (doing == Doing::Driving).then_some(0),
            fix: FixType::Fix3d,
            satellites: Some(9),
            hdop_centi: Some(90),
            accuracy_cm: None,
        }
    }

    fn place(&self, metres: f64) -> (f64, f64) {
        (40.0 + self.vehicle as f64 * 0.7 % 20.0 + metres / METRES_PER_DEGREE, 5.0 + (self.vehicle / 20) as f64)
    }

    /// The plan of a day.
    pub(super) fn trip(&self, day: u64) -> Trip {
        let leg_ms = DRIVE_MS + STAND_MS;
        let start_ms = self.began_ms + day as i64 * DAY_MS + self.leaves_ms;
        let stop = |number: u32| {
            let (lat, lon) = self.place(SPEED_MPS * DRIVE_MS as f64 / 1e3 * f64::from(number));
            let arrives_ms = start_ms + leg_ms * i64::from(number) - STAND_MS;
            Stop {
                id: stop_id(number),
                shipment: Some(shipment(self.vehicle, day, number)),
                kind: StopKind::Delivery,
                lat,
                lon,
                radius_m: None,
                polygon: None,
                window: Some([arrives_ms - 1_800_000, arrives_ms + 3_600_000].map(Timestamp::from_millis)),
                service_s: None,
                name: None,
                address: None,
                items: Vec::new(),
            }
        };
        Trip { id: format!("v{}-day{day}", self.vehicle), device: None, stops: (1..=STOPS).map(stop).collect() }
    }
}

/// The name of a stop.
pub(super) fn stop_id(number: u32) -> String {
    format!("S{number}")
}

/// The shipment of a vehicle's stop on a day.
pub(super) fn shipment(vehicle: usize, day: u64, number: u32) -> String {
    format!("v{vehicle}-day{day}-P{number}")
}
