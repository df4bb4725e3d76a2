//! Drives for tests: a vehicle on a plane of metres around 47° N, 8° E, that leaves facts behind.

use milepost_gateway::milestone::fact::{Fix, Proof};
use milepost_gateway::milestone::refold::refold;
use milepost_gateway::milestone::{Fact, FactKey, FactKind, Milestone, Rules, VehicleState};
use milepost_proto::driver_app::{ActionKind, Outcome};
use milepost_proto::{FleetId, Lane, SpoolId, Stop, Timestamp, Trip};

const M_PER_DEGREE_LAT: f64 = 111_195.08;
/// At 47° N.
const M_PER_DEGREE_LON: f64 = 75_834.8;

/// Reproducible noise, standard deviation about 1: the sum of twelve uniform numbers.
#[derive(Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A vehicle under way.
pub(crate) struct Drive {
    pub(crate) facts: Vec<Fact>,
    pub(crate) now_ms: i64,
    pub(crate) at: [f64; 2],
    pub(crate) fix_every_s: f64,
    pub(crate) accuracy_cm: Option<u32>,
    pub(crate) states_speed: bool,
    /// Slowly wandering error, metres, and how it wanders.
    pub(crate) noise_m: f64,
    error: [f64; 2],
    noise: Noise,
    sequence: u64,
}

impl Drive {
    /// Standing at `at` metres east and north, at 08:00.
    pub(crate) fn from(at: [f64; 2]) -> Self {
        Self {
            facts: Vec::new(),
            now_ms: seconds("2026-11-24T08:00:00Z") * 1000,
            at,
            fix_every_s: 1.0,
            accuracy_cm: Some(500),
            states_speed: true,
            noise_m: 0.0,
            error: [0.0; 2],
            noise: Noise::from_seed(7),
            sequence: 0,
        }
    }

    pub(crate) fn noisy(mut self, noise_m: f64, seed: u64) -> Self {
        self.noise_m = noise_m;
        self.noise = Noise::from_seed(seed);
        self
    }

    /// Stands for `seconds`, with a fix now and every period after.
    pub(crate) fn stand(&mut self, seconds: f64) -> &mut Self {
        self.go([0.0, 0.0], seconds)
    }

    /// Drives straight to `to` at `speed_mps`.
    pub(crate) fn drive(&mut self, to: [f64; 2], speed_mps: f64) -> &mut Self {
        let way = [to[0] - self.at[0], to[1] - self.at[1]];
        let seconds = way[0].hypot(way[1]) / speed_mps;
        self.go([way[0] / seconds, way[1] / seconds], seconds);
        self.at = to;
        self
    }

    fn go(&mut self, velocity: [f64; 2], seconds: f64) -> &mut Self {
        let (start, start_ms) = (self.at, self.now_ms);
        let mut passed = 0.0;
        while passed < seconds {
            self.now_ms = start_ms + (passed * 1000.0) as i64;
            self.at = [start[0] + velocity[0] * passed, start[1] + velocity[1] * passed];
            self.fix(velocity[0].hypot(velocity[1]));
            passed += self.fix_every_s;
        }
        self.now_ms = start_ms + (seconds * 1000.0) as i64;
        self.at = [start[0] + velocity[0] * seconds, start[1] + velocity[1] * seconds];
        self
    }

    /// Time passes and the vehicle moves without anyone noticing.
    pub(crate) fn unseen(&mut self, seconds: f64, to: [f64; 2]) -> &mut Self {
        self.now_ms += (seconds * 1000.0) as i64;
        self.at = to;
        self
    }

    pub(crate) fn fix(&mut self, speed_mps: f64) -> &mut Self {
        self.wander();
        let place = [self.at[0] + self.error[0], self.at[1] + self.error[1]];
        let fix = Fix {
            lat_e7: ((47.0 + place[1] / M_PER_DEGREE_LAT) * 1e7).round() as i32,
            lon_e7: ((8.0 + place[0] / M_PER_DEGREE_LON) * 1e7).round() as i32,
            speed_cmps: self.states_speed.then_some((speed_mps * 100.0) as u32),
            accuracy_cm: self.accuracy_cm,
            hdop_centi: None,
        };
        self.tell(Lane::Telemetry, FactKind::Fix(fix))
    }

    /// Errors of a receiver last: each is 0.98 of the one a second before, as multipath and the ionosphere change slowly.
    fn wander(&mut self) {
        let keeps = 0.98_f64.powf(self.fix_every_s);
        let fresh = (1.0 - keeps * keeps).sqrt() * self.noise_m;
        for error in &mut self.error {
            *error = *error * keeps + fresh * self.noise.normal();
        }
    }

    pub(crate) fn pod(&mut self, stop: &str, outcome: Outcome, revision: u32) -> &mut Self {
        let (stop, shipment) = (stop.to_owned(), format!("P-{stop}"));
        self.tell(Lane::Evidence, FactKind::Pod(Proof { stop, shipment, outcome, reason: None, revision }))
    }

    pub(crate) fn says(&mut self, action: ActionKind, stop: &str) -> &mut Self {
        self.tell(Lane::Evidence, FactKind::DriverAction { stop: Some(stop.to_owned()), action })
    }

    pub(crate) fn ignition(&mut self, on: bool) -> &mut Self {
        self.tell(Lane::Event, FactKind::Ignition { on })
    }

    pub(crate) fn tell(&mut self, lane: Lane, kind: FactKind) -> &mut Self {
        self.sequence += 1;
        let key = FactKey {
            event_time: Timestamp::from_millis(self.now_ms),
            device: "truck-7".parse().expect("a name"),
            spool: SpoolId([1; 16]),
            lane,
            sequence: self.sequence,
        };
        self.facts.push(Fact::new(key, kind));
        self
    }
}

fn seconds(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_millis() / 1000
}

/// A stop at metres east and north, with shipment `P-<id>`.
pub(crate) fn stop(id: &str, kind: &str, at: [f64; 2], radius_m: f64) -> Stop {
    let (lat, lon) = (47.0 + at[1] / M_PER_DEGREE_LAT, 8.0 + at[0] / M_PER_DEGREE_LON);
    let text =
        format!(r#"{{"id":"{id}","shipment":"P-{id}","kind":"{kind}","lat":{lat},"lon":{lon},"radius_m":{radius_m}}}"#);
    serde_json::from_str(&text).expect("a stop")
}

/// A delivery without shipment at these coordinates.
pub(crate) fn stop_at(id: &str, lat: f64, lon: f64, radius_m: f64) -> Stop {
    let text = format!(r#"{{"id":"{id}","kind":"delivery","lat":{lat},"lon":{lon},"radius_m":{radius_m}}}"#);
    serde_json::from_str(&text).expect("a stop")
}

pub(crate) fn delivery(id: &str, at: [f64; 2]) -> Stop {
    stop(id, "delivery", at, 50.0)
}

/// A stop whose fence has these corners, metres east and north.
pub(crate) fn polygon(id: &str, corners: &[[f64; 2]]) -> Stop {
    let corners = corners.iter().map(|at| [47.0 + at[1] / M_PER_DEGREE_LAT, 8.0 + at[0] / M_PER_DEGREE_LON]);
    Stop { radius_m: None, polygon: Some(corners.collect()), ..delivery(id, [0.0, 0.0]) }
}

pub(crate) fn trip(stops: Vec<Stop>) -> Vec<Trip> {
    vec![Trip { id: "T1".to_owned(), device: None, stops }]
}

pub(crate) fn fleet() -> FleetId {
    "acme".parse().expect("a name")
}

pub(crate) fn fold(trips: &[Trip], facts: &[Fact]) -> VehicleState {
    refold(&fleet(), trips, &Rules::default(), facts.iter().cloned())
}

pub(crate) fn standing(trips: &[Trip], facts: &[Fact]) -> Vec<Milestone> {
    fold(trips, facts).standing(Some(Timestamp::MAX))
}

/// Milestones in brief: `08:05:00 S1 delivery.arrived #1`, with the remarks.
pub(crate) fn brief(milestones: &[Milestone]) -> Vec<String> {
    milestones
        .iter()
        .map(|one| {
            let time = one.event_time.to_string();
            let stop = one.stop.as_deref().unwrap_or("-");
            format!("{} {stop} {} #{}", &time[11..19], one.kind, one.visit_no)
        })
        .collect()
}
