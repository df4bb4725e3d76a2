//! A map without tiles: vehicles and the stops of open trips, to scale, as an SVG of plain shapes.
//!
//! Promise: it needs nothing from the internet, north is up, and distances are true to each other within a percent at
//! the size of a day's trips (an equirectangular projection about the middle latitude). What does not fit in
//! [`SPAN_DEG_MAX`] is not drawn: a map of everywhere shows nothing.

use milepost_proto::Timestamp;
use milepost_proto::plan::StopKind;

use super::board::is_silent;
use crate::store::board::vehicle::{StopRow, VehicleRow};

/// Width of the drawing, in its own units.
pub const WIDTH: f64 = 640.0;
/// Height of the drawing, in its own units.
pub const HEIGHT: f64 = 360.0;
/// Largest extent drawn, in degrees of latitude.
pub const SPAN_DEG_MAX: f64 = 30.0;

const MARGIN: f64 = 44.0;
const SPAN_DEG_MIN: f64 = 0.004;
const METRES_PER_DEGREE: f64 = 111_195.0;
/// What a scale bar may be worth, metres.
const SCALE_M: [u32; 13] =
    [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// A drawn map.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// The planned way of each open trip, as the points of a polyline.
    pub ways: Vec<String>,
    /// The stops.
    pub stops: Vec<StopMark>,
    /// The vehicles.
    pub vehicles: Vec<VehicleMark>,
    /// Length of the scale bar, in units of the drawing.
    pub scale_width: f64,
    /// What it is worth.
    pub scale_text: String,
}

/// A stop on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct StopMark {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Its style: `depot`, `reached` or `ahead`.
    pub class: &'static str,
    /// Place in its trip, from 1.
    pub position: u32,
    /// What it is called.
    pub title: String,
}

/// A vehicle on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleMark {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Where its name goes, right of it or left of it.
    pub label_x: f64,
    /// How its name is anchored there.
    pub anchor: &'static str,
    /// Its style: `heard` or `silent`.
    pub class: &'static str,
    /// Its name.
    pub name: String,
}

/// Draws what has a place; nothing when nothing has one.
#[must_use]
pub fn draw(vehicles: &[VehicleRow], stops: &[StopRow], now: Timestamp) -> Option<Map> {
    let placed: Vec<_> = vehicles.iter().filter_map(|row| Some((row, row.lat?, row.lon?))).collect();
    let points = placed.iter().map(|&(_, lat, lon)| (lat, lon)).chain(stops.iter().map(|stop| (stop.lat, stop.lon)));
    let view = View::around(&points)?;
    let (scale_width, scale_text) = view.scale_bar();
    Some(Map {
        ways: ways(stops, &view),
        stops: stops.iter().map(|stop| stop_mark(stop, &view)).collect(),
        vehicles: placed.iter().map(|&(row, lat, lon)| vehicle_mark(row, view.place(lat, lon), now)).collect(),
        scale_width,
        scale_text,
    })
}

fn ways(stops: &[StopRow], view: &View) -> Vec<String> {
    stops
        .chunk_by(|a, b| a.trip_id == b.trip_id)
        .filter(|trip| trip.len() > 1)
        .map(|trip| {
            let points = trip.iter().map(|stop| view.place(stop.lat, stop.lon));
            points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn stop_mark(stop: &StopRow, view: &View) -> StopMark {
    let (x, y) = view.place(stop.lat, stop.lon);
    let class = match (stop.kind, stop.reached) {
        (StopKind::Depot, _) => "depot",
        (_, true) => "reached",
        (_, false) => "ahead",
    };
    let name = stop.name.as_deref().unwrap_or("unnamed place");
    StopMark {
        x,
        y,
        class,
        position: stop.position,
        title: format!("{}, stop {}: {name}", stop.trip_id, stop.position),
    }
}

fn vehicle_mark(row: &VehicleRow, (x, y): (f64, f64), now: Timestamp) -> VehicleMark {
    let right = x < WIDTH * 0.7;
    VehicleMark {
        x,
        y,
        label_x: if right { x + 13.0 } else { x - 13.0 },
        anchor: if right { "start" } else { "end" },
        class: if is_silent(row, now) { "silent" } else { "heard" },
        name: row.vehicle_id.clone(),
    }
}

/// From degrees to the drawing.
struct View {
    lat_mid: f64,
    lon_mid: f64,
    lon_shrink: f64,
    units_per_degree: f64,
}

impl View {
    fn around(points: &(impl Iterator<Item = (f64, f64)> + Clone)) -> Option<Self> {
        let extent = |of: fn((f64, f64)) -> f64| {
            let values = points.clone().map(of).filter(|value| value.is_finite());
            values.fold(None, |span: Option<(f64, f64)>, value| match span {
                Some((low, high)) => Some((low.min(value), high.max(value))),
                None => Some((value, value)),
            })
        };
        let ((south, north), (west, east)) = (extent(|point| point.0)?, extent(|point| point.1)?);
        let lat_mid = f64::midpoint(south, north);
        let lon_shrink = lat_mid.to_radians().cos().max(0.01);
        let height_deg = (north - south).max(SPAN_DEG_MIN);
        let width_deg = ((east - west) * lon_shrink).max(SPAN_DEG_MIN);
        if height_deg.max(width_deg) > SPAN_DEG_MAX {
            return None;
        }
        let units_per_degree = ((HEIGHT - 2.0 * MARGIN) / height_deg).min((WIDTH - 2.0 * MARGIN) / width_deg);
        Some(Self { lat_mid, lon_mid: f64::midpoint(west, east), lon_shrink, units_per_degree })
    }

    fn place(&self, lat: f64, lon: f64) -> (f64, f64) {
        let x = WIDTH / 2.0 + (lon - self.lon_mid) * self.lon_shrink * self.units_per_degree;
        let y = HEIGHT / 2.0 - (lat - self.lat_mid) * self.units_per_degree;
        (x, y)
    }

    /// The longest round distance that fits in a fifth of the width.
    fn scale_bar(&self) -> (f64, String) {
        let width = |metres: u32| f64::from(metres) / METRES_PER_DEGREE * self.units_per_degree;
        let metres = SCALE_M.into_iter().rfind(|&metres| width(metres) <= WIDTH / 5.0).unwrap_or(SCALE_M[0]);
        let text = if metres >= 1000 { format!("{} km", metres / 1000) } else { format!("{metres} m") };
        (width(metres), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    fn vehicle(name: &str, lat: f64, lon: f64) -> VehicleRow {
        VehicleRow {
            vehicle_id: name.to_owned(),
            license_plate: None,
            lat: Some(lat),
            lon: Some(lon),
            position_time: Some(NOW),
            low_water_mark: None,
            heard_at: Some(NOW),
            trip_id: None,
        }
    }

    fn stop(trip: &str, position: u32, lat: f64, lon: f64) -> StopRow {
        let kind = StopKind::Delivery;
        StopRow { trip_id: trip.to_owned(), position, kind, name: None, lat, lon, reached: false }
    }

    #[test]
    fn everything_lies_inside_and_north_is_up() {
        let vehicles = [vehicle("a", 47.0, 8.0), vehicle("b", 47.5, 9.2)];
        let map = draw(&vehicles, &[stop("T", 1, 47.2, 8.1), stop("T", 2, 47.4, 8.9)], NOW).expect("drawn");
        let marks =
            map.vehicles.iter().map(|mark| (mark.x, mark.y)).chain(map.stops.iter().map(|mark| (mark.x, mark.y)));
        for (x, y) in marks {
            assert!((MARGIN - 0.1..=WIDTH - MARGIN + 0.1).contains(&x), "{x}");
            assert!((MARGIN - 0.1..=HEIGHT - MARGIN + 0.1).contains(&y), "{y}");
        }
        assert!(map.vehicles[1].y < map.vehicles[0].y && map.vehicles[1].x > map.vehicles[0].x);
        assert_eq!(map.ways.len(), 1);
    }

    #[test]
    fn a_kilometre_is_as_long_eastward_as_northward() {
        let north = 1.0 / 111.195;
        let east = north / 60.0_f64.to_radians().cos();
        let map = draw(
            &[vehicle("o", 60.0, 10.0), vehicle("n", 60.0 + north, 10.0), vehicle("e", 60.0, 10.0 + east)],
            &[],
            NOW,
        )
        .expect("drawn");
        let [origin, northern, eastern] = map.vehicles.as_slice() else { panic!("three") };
        let ratio = (eastern.x - origin.x) / (origin.y - northern.y);
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
        // A kilometre fills the 272 units of height; 500 m would be 136, more than a fifth of the width.
        assert_eq!(map.scale_text, "200 m");
    }

    #[test]
    fn one_point_is_drawn_in_the_middle_and_no_point_or_the_whole_world_is_not() {
        let map = draw(&[vehicle("a", 47.0, 8.0)], &[], NOW).expect("drawn");
        assert_eq!((map.vehicles[0].x, map.vehicles[0].y), (WIDTH / 2.0, HEIGHT / 2.0));
        assert_eq!(draw(&[], &[], NOW), None);
        assert_eq!(draw(&[vehicle("a", 47.0, 8.0), vehicle("b", -33.0, 151.0)], &[], NOW), None);
    }
}
