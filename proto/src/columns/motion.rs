//! Where a vehicle must be after some time at a speed and on a course.
//!
//! Promise: integers only, so that both ends foresee the same place to the last unit whatever processor they run on.

/// Centimetres of one 1e-7 degree along a meridian, in 1/65536: 1.1132 cm on a sphere of WGS 84's circumference.
const CM_PER_E7_Q16: i64 = 72_955;
/// Longest time that is foreseen, milliseconds.
const FORESEEN_MS_MAX: i64 = 60_000;
/// One, in the fractions used here.
const ONE_Q30: i64 = 1 << 30;
/// A right angle, hundredths of a degree.
const RIGHT_CDEG: i64 = 9_000;
/// Below this cosine of the latitude, longitudes are not foreseen: they run together at the poles.
const COSINE_MIN_Q30: i64 = ONE_Q30 / 64;

/// Speed and course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Motion {
    /// Centimetres per second.
    pub(super) speed_cmps: u32,
    /// Hundredths of a degree.
    pub(super) course_cdeg: u16,
}

impl Motion {
    /// The way made good in `elapsed_ms`, north and east, in 1e-7 degree of latitude and of longitude at `lat_e7`.
    pub(super) fn way_e7(self, elapsed_ms: i64, lat_e7: i64) -> [i64; 2] {
        if self.speed_cmps == 0 || !(0..=FORESEEN_MS_MAX).contains(&elapsed_ms) {
            return [0, 0];
        }
        let course = i64::from(self.course_cdeg);
        let speed = i64::from(self.speed_cmps.min(1 << 20));
        let along = |share_q30: i64| (((speed * share_q30) >> 14) * elapsed_ms / 1_000) / CM_PER_E7_Q16;
        let north = along(sine_q30(course + RIGHT_CDEG));
        let cosine = sine_q30(RIGHT_CDEG - lat_e7 / 100_000);
        let east = if cosine < COSINE_MIN_Q30 { 0 } else { along(sine_q30(course)) * (ONE_Q30 >> 10) / (cosine >> 10) };
        [north, east]
    }
}

/// The sine of an angle in hundredths of a degree, by its series up to the ninth power: true to 4e-6.
fn sine_q30(cdeg: i64) -> i64 {
    let within = cdeg.rem_euclid(4 * RIGHT_CDEG);
    let (half, sign) = if within >= 2 * RIGHT_CDEG { (within - 2 * RIGHT_CDEG, -1) } else { (within, 1) };
    let quarter = if half > RIGHT_CDEG { 2 * RIGHT_CDEG - half } else { half };
    // 2^30 * pi / 18000, in 1/256.
    let x = (quarter * 47_975_245) >> 8;
    let square = (x * x) >> 30;
    let mut term = x;
    let mut sum = x;
    for factor in [6, 20, 42, 72] {
        term = -((term * square) >> 30) / factor;
        sum += term;
    }
    sign * sum.min(ONE_Q30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_the_sine() {
        for cdeg in -40_000..40_000_i64 {
            let (ours, true_sine) = (sine_q30(cdeg) as f64 / ONE_Q30 as f64, (cdeg as f64 / 100.0).to_radians().sin());
            assert!((ours - true_sine).abs() < 5e-6, "{cdeg}: {ours} for {true_sine}");
        }
    }

    #[test]
    fn an_hour_at_sea_level_is_the_right_way() {
        // 10 m/s for 10 s on a course of 60 degrees at 60 degrees north: 50 m north, 86.6 m east of half a meridian's degrees.
        let [north, east] = Motion { speed_cmps: 1_000, course_cdeg: 6_000 }.way_e7(10_000, 600_000_000);
        assert!((north - 4_492).abs() < 3, "{north}");
        assert!((east - 15_559).abs() < 6, "{east}");
    }

    #[test]
    fn nothing_overflows() {
        for speed_cmps in [0, 1, u32::MAX] {
            for course_cdeg in [0, 9_000, u16::MAX] {
                for lat_e7 in [i64::from(i32::MIN), -900_000_000, 0, i64::from(i32::MAX)] {
                    for elapsed_ms in [i64::MIN, -1, 0, FORESEEN_MS_MAX, i64::MAX] {
                        Motion { speed_cmps, course_cdeg }.way_e7(elapsed_ms, lat_e7);
                    }
                }
            }
        }
    }
}
