//! The shape of a place: how far inside or outside a point is.
//!
//! Promise: the distance to the edge is signed (negative inside), in metres, and grows steadily on both sides, so one
//! shape serves entering and, moved outward by a margin, leaving.

use milepost_proto::Stop;
use milepost_proto::plan::RADIUS_M_DEFAULT;
use serde::{Deserialize, Serialize};

use super::place::{M_PER_DEGREE, Place};

/// Where a stop's place begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fence {
    centre: Place,
    /// Metres from the centre beyond which no point of the shape lies.
    reach_m: f64,
    /// Corners in metres east and north of the centre; none for a circle.
    corners: Vec<[f64; 2]>,
}

impl Fence {
    /// The fence of a planned stop: its polygon if it has one, otherwise a circle.
    #[must_use]
    pub fn of(stop: &Stop) -> Self {
        let centre = Place { lat: stop.lat, lon: stop.lon };
        match &stop.polygon {
            Some(corners) if corners.len() >= 3 => Self::polygon(corners),
            _ => Self { centre, reach_m: stop.radius_m.unwrap_or(RADIUS_M_DEFAULT), corners: Vec::new() },
        }
    }

    fn polygon(corners: &[[f64; 2]]) -> Self {
        let places = || corners.iter().map(|&[lat, lon]| Place { lat, lon });
        let first = Place { lat: corners[0][0], lon: corners[0][1] };
        let mean = places().zip(1_u32..).fold(first, |mean, (place, n)| mean.towards(place, 1.0 / f64::from(n)));
        let corners: Vec<[f64; 2]> = places().map(|place| place.offset_m(mean)).collect();
        let reach_m = corners.iter().map(|[east, north]| east.hypot(*north)).fold(0.0, f64::max);
        Self { centre: mean, reach_m, corners }
    }

    /// The centre of the circle, or the mean of the corners.
    #[must_use]
    pub const fn centre(&self) -> Place {
        self.centre
    }

    /// Whether `place` is certainly more than `margin_m` outside: cheap, for the many fences a vehicle is nowhere near.
    #[must_use]
    pub fn is_far(&self, place: Place, margin_m: f64) -> bool {
        (place.lat - self.centre.lat).abs() * M_PER_DEGREE > self.reach_m + margin_m
    }

    /// Metres from the edge, negative inside.
    #[must_use]
    pub fn distance_m(&self, place: Place) -> f64 {
        let point = place.offset_m(self.centre);
        if self.corners.is_empty() {
            return point[0].hypot(point[1]) - self.reach_m;
        }
        let edges = || self.corners.iter().zip(self.corners.iter().cycle().skip(1));
        let nearest = edges().map(|(&from, &to)| edge_distance_m(point, from, to)).fold(f64::MAX, f64::min);
        let crossings = edges().filter(|&(&from, &to)| crosses(point, from, to)).count();
        if crossings % 2 == 1 { -nearest } else { nearest }
    }
}

/// Metres from `point` to the nearest point of an edge.
fn edge_distance_m(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let beside = [point[0] - from[0], point[1] - from[1]];
    let length_squared = along[0] * along[0] + along[1] * along[1];
    let share = if length_squared > 0.0 {
        ((beside[0] * along[0] + beside[1] * along[1]) / length_squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (beside[0] - share * along[0]).hypot(beside[1] - share * along[1])
}

/// Whether a ray from `point` to the east crosses the edge.
fn crosses(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> bool {
    (from[1] > point[1]) != (to[1] > point[1])
        && point[0] < from[0] + (point[1] - from[1]) / (to[1] - from[1]) * (to[0] - from[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stop: &str, place: [f64; 2], expected_m: f64) {
        let stop: Stop = serde_json::from_str(stop).expect("a stop");
        let found = Fence::of(&stop).distance_m(Place { lat: place[0], lon: place[1] });
        assert!((found - expected_m).abs() < 0.5, "{place:?}: {found}, expected {expected_m}");
    }

    #[test]
    fn a_circle_is_measured_from_its_edge() {
        let stop = r#"{"id":"S","kind":"delivery","lat":0,"lon":8,"radius_m":50}"#;
        check(stop, [0.0, 8.0], -50.0);
        check(stop, [0.001, 8.0], 61.2);
        check(r#"{"id":"S","kind":"delivery","lat":0,"lon":8}"#, [0.0, 8.001], 11.2);
    }

    /// An L of 222 m by 222 m whose north-east quarter is missing; one thousandth of a degree is 111.2 m.
    #[test]
    fn a_polygon_may_be_concave_and_is_not_its_bounding_box() {
        let stop = r#"{"id":"S","kind":"delivery","lat":0,"lon":8,"polygon":
            [[0,8],[0,8.002],[0.001,8.002],[0.001,8.001],[0.002,8.001],[0.002,8]]}"#;
        check(stop, [0.0005, 8.0005], -55.6);
        check(stop, [0.0015, 8.0015], 55.6);
        check(stop, [0.0005, 8.003], 111.2);
    }

    #[test]
    fn far_is_only_said_of_places_beyond_reach_and_margin() {
        let stop: Stop = serde_json::from_str(r#"{"id":"S","kind":"depot","lat":47,"lon":8}"#).expect("a stop");
        let far = |lat| Fence::of(&stop).is_far(Place { lat, lon: 8.0 }, 30.0);
        assert!(far(47.002) && !far(47.001));
    }
}
