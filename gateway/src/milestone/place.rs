//! Points on Earth and the metres between them.
//!
//! Promise: distances up to some tens of kilometres are right to better than 1 %, also across the 180th meridian; a
//! fence or a standstill never needs more.

use serde::{Deserialize, Serialize};

/// Metres per degree of latitude on a sphere of 6 371 009 m (the IUGG mean radius).
pub(super) const M_PER_DEGREE: f64 = 111_195.08;

/// A point, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

impl Place {
    /// The point with these coordinates in 1e-7 degree.
    #[must_use]
    pub fn from_e7(lat_e7: i32, lon_e7: i32) -> Self {
        Self { lat: f64::from(lat_e7) / 1e7, lon: f64::from(lon_e7) / 1e7 }
    }

    /// Metres east and north of `origin`, on the plane that touches there.
    #[must_use]
    pub fn offset_m(self, origin: Self) -> [f64; 2] {
        let mut lon = self.lon - origin.lon;
        if lon > 180.0 {
            lon -= 360.0;
        } else if lon < -180.0 {
            lon += 360.0;
        }
        [lon * M_PER_DEGREE * origin.lat.to_radians().cos(), (self.lat - origin.lat) * M_PER_DEGREE]
    }

    /// Metres to `other`.
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let [east, north] = other.offset_m(self);
        east.hypot(north)
    }

    /// This point moved by `share` of the way to `other`, for a running mean.
    #[must_use]
    pub fn towards(self, other: Self, share: f64) -> Self {
        Self { lat: self.lat + (other.lat - self.lat) * share, lon: self.lon + (other.lon - self.lon) * share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_metres_on_the_ground() {
        let check = |from: [f64; 2], to: [f64; 2], expected_m: f64| {
            let place = |[lat, lon]: [f64; 2]| Place { lat, lon };
            let found = place(from).distance_m(place(to));
            assert!((found - expected_m).abs() < 0.01 * expected_m, "{from:?} {to:?}: {found}");
        };
        // Haversine on the same sphere.
        check([47.0, 8.0], [47.001, 8.0], 111.2);
        check([60.0, 8.0], [60.0, 8.001], 55.6);
        check([0.0, 179.9995], [0.0, -179.9995], 111.2);
    }
}
