//! A recorded track as the NMEA 0183 sentences a receiver would have sent.
//!
//! Promise: one RMC and one GGA per recorded point, with the recorded time and position and right checksums. Speed and
//! course are the differences between points; what was not recorded (altitude, satellites, dilution) is left empty.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

const EARTH_RADIUS_M: f64 = 6_371_008.8;
const KNOTS_PER_MPS: f64 = 3600.0 / 1852.0;
/// Below this speed, in m/s, the difference of two positions says nothing about the direction of travel.
const COURSE_SPEED_MPS_MIN: f64 = 0.5;

/// A recorded point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    time: Time,
    lat_deg: f64,
    lon_deg: f64,
}

/// When, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Time {
    /// `ddmmyy`.
    date: String,
    /// `hhmmss.ss`.
    of_day: String,
    /// Seconds of the day.
    second: u32,
}

/// Reads a track of lines `t,lat,lon`, `t` like `2019-10-31T23:08:47.000000Z`; the first line is the heading. The track
/// must not cross midnight.
pub(crate) fn read_track(text: &str) -> Result<Vec<Point>> {
    let lines = text.lines().enumerate().skip(1);
    let points: Vec<Point> = lines
        .map(|(index, line)| {
            Point::parse(line).with_context(|| format!("line {} is not t,lat,lon: {line:?}", index + 1))
        })
        .collect::<Result<_>>()?;
    for pair in points.windows(2) {
        let [before, after] = [&pair[0].time, &pair[1].time];
        ensure!(
            before.date == after.date && before.second < after.second,
            "the track goes back in time or past midnight after {} {}",
            before.date,
            before.of_day
        );
    }
    Ok(points)
}

/// The sentences for `track`, each ended by CR LF as on the wire.
pub(crate) fn sentences(track: &[Point]) -> String {
    let mut text = String::new();
    for (index, point) in track.iter().enumerate() {
        let motion = index.checked_sub(1).map_or(Motion::STANDING, |before| Motion::between(&track[before], point));
        for body in [point.rmc(motion), point.gga()] {
            // Writing to a String cannot fail.
            let _ = write!(text, "${body}*{:02X}\r\n", checksum(&body));
        }
    }
    text
}

/// The exclusive or of the bytes between `$` and `*`.
fn checksum(body: &str) -> u8 {
    body.bytes().fold(0, |sum, byte| sum ^ byte)
}

impl Point {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let (time, lat, lon) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { time: Time::parse(time)?, lat_deg: lat.parse().ok()?, lon_deg: lon.parse().ok()? })
    }

    fn rmc(&self, motion: Motion) -> String {
        let Time { date, of_day, .. } = &self.time;
        let course = motion.course_deg.map(|course| format!("{course:.1}")).unwrap_or_default();
        format!("GPRMC,{of_day},A,{},{:.2},{course},{date},,,A", self.position(), motion.speed_mps * KNOTS_PER_MPS)
    }

    fn gga(&self) -> String {
        format!("GPGGA,{},{},1,,,,M,,M,,", self.time.of_day, self.position())
    }

    fn position(&self) -> String {
        let (north, east) = (self.lat_deg >= 0.0, self.lon_deg >= 0.0);
        let lat = degrees_and_minutes(self.lat_deg.abs(), 2);
        let lon = degrees_and_minutes(self.lon_deg.abs(), 3);
        format!("{lat},{},{lon},{}", if north { 'N' } else { 'S' }, if east { 'E' } else { 'W' })
    }
}

/// `ddmm.mmmmm`: five decimals of a minute are finer than six of a degree, so nothing recorded is lost.
fn degrees_and_minutes(deg: f64, digits: usize) -> String {
    const UNITS_PER_MINUTE: f64 = 100_000.0;
    // Rounded once, as a whole: rounding the minutes alone could print 60.00000 of them.
    let minutes = (deg * 60.0 * UNITS_PER_MINUTE).round() / UNITS_PER_MINUTE;
    let whole = (minutes / 60.0).floor();
    format!("{whole:0digits$.0}{:08.5}", minutes - whole * 60.0)
}

impl Time {
    fn parse(text: &str) -> Option<Self> {
        let (date, of_day) = text.strip_suffix('Z')?.split_once('T')?;
        let (year, month_day) = date.strip_prefix("20")?.split_once('-')?;
        let (month, day) = month_day.split_once('-')?;
        let (clock, fraction) = of_day.split_once('.').unwrap_or((of_day, ""));
        let mut numbers = clock.split(':').map(|number| number.parse::<u32>().ok());
        let (hours, minutes, seconds) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let hundredths = fraction.get(..2).unwrap_or("00");
        Some(Self {
            date: format!("{day}{month}{year}"),
            of_day: format!("{hours:02}{minutes:02}{seconds:02}.{hundredths}"),
            second: hours * 3600 + minutes * 60 + seconds,
        })
    }
}

/// How a vehicle moved from one point to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Motion {
    speed_mps: f64,
    /// Clockwise from true north, if it moved at all.
    course_deg: Option<f64>,
}

impl Motion {
    const STANDING: Self = Self { speed_mps: 0.0, course_deg: None };

    /// On a plane that touches the Earth between the two: they are seconds of driving apart.
    fn between(before: &Point, after: &Point) -> Self {
        let middle = f64::midpoint(before.lat_deg, after.lat_deg).to_radians();
        let north_m = (after.lat_deg - before.lat_deg).to_radians() * EARTH_RADIUS_M;
        let east_m = (after.lon_deg - before.lon_deg).to_radians() * EARTH_RADIUS_M * middle.cos();
        let speed_mps = north_m.hypot(east_m) / f64::from(after.time.second - before.time.second);
        let course_deg = east_m.atan2(north_m).to_degrees().rem_euclid(360.0);
        Self { speed_mps, course_deg: (speed_mps >= COURSE_SPEED_MPS_MIN).then_some(course_deg) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(track: &str, expected: &[&str]) {
        let track = read_track(&format!("t,lat,lon\n{track}")).expect("a track");
        assert_eq!(sentences(&track).split_terminator("\r\n").collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_checksum_is_that_of_published_sentences() {
        // The examples of NMEA 0183 that every description of it repeats.
        assert_eq!(checksum("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"), 0x47);
        assert_eq!(checksum("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"), 0x6A);
    }

    #[test]
    fn a_point_becomes_rmc_and_gga_with_its_time_and_place() {
        check(
            "2019-10-31T23:08:47.000000Z,47.658523,-122.317815\n",
            &[
                "$GPRMC,230847.00,A,4739.51138,N,12219.06890,W,0.00,,311019,,,A*5A",
                "$GPGGA,230847.00,4739.51138,N,12219.06890,W,1,,,,M,,M,,*63",
            ],
        );
    }

    #[test]
    fn speed_and_course_come_from_the_point_before() {
        // A minute of arc of latitude is 1853.3 m on this sphere, a nautical mile and a bit: in 36 s 100.07 knots, due south.
        let track =
            read_track("t,lat,lon\n2019-10-31T00:00:00Z,0,6\n2019-10-31T00:00:36Z,-0.0166667,6\n").expect("a track");
        let second = sentences(&track).lines().nth(2).map(str::to_owned).expect("an RMC");
        assert!(
            second.starts_with("$GPRMC,000036.00,A,0001.00000,S,00600.00000,E,100.07,180.0,311019,,,A*"),
            "{second}"
        );
    }

    #[test]
    fn minutes_never_round_up_to_sixty() {
        assert_eq!(degrees_and_minutes(46.999_999_99, 2), "4700.00000");
        assert_eq!(degrees_and_minutes(7.5, 3), "00730.00000");
    }

    #[test]
    fn a_track_that_is_none_is_refused_with_its_line() {
        let error = |text: &str| format!("{:#}", read_track(text).expect_err("no track"));
        assert_eq!(
            error("t,lat,lon\n2019-10-31T23:08:47Z,47.6\n"),
            r#"line 2 is not t,lat,lon: "2019-10-31T23:08:47Z,47.6""#
        );
        let backwards = "t,lat,lon\n2019-10-31T23:08:47Z,47,8\n2019-10-31T23:08:46Z,47,8\n";
        assert_eq!(error(backwards), "the track goes back in time or past midnight after 311019 230847.00");
    }
}
