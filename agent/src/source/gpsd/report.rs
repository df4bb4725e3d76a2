//! One line of gpsd's into what it says.
//!
//! Promise: a line that is no report is a [`Fault`]; a report that we do not use is none. What gpsd leaves out is
//! absent, and a mode without a fix has no position, whatever else the report holds.

use milepost_proto::reading::FixType;
use milepost_proto::{Position, Timestamp};
use serde::Deserialize;

use crate::source::fault::Fault;

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Report {
    /// TPV: time, position, velocity.
    Fix(Fix),
    /// SKY: what the solution is made of.
    Sky { device: Option<String>, hdop_centi: Option<u16>, satellites: Option<u8> },
    /// VERSION and the like: gpsd is there.
    Unused,
}

/// A fix, or that there is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fix {
    pub(super) device: Option<String>,
    pub(super) event_time: Option<Timestamp>,
    pub(super) position: Option<Position>,
}

#[derive(Deserialize)]
#[serde(tag = "class")]
enum Line {
    #[serde(rename = "TPV")]
    Tpv(Tpv),
    #[serde(rename = "SKY")]
    Sky(Sky),
    #[serde(rename = "ERROR")]
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Tpv {
    device: Option<String>,
    #[serde(default)]
    mode: u8,
    #[serde(default)]
    status: u8,
    time: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    /// Since gpsd 3.20; before that `alt` was above mean sea level as well.
    #[serde(rename = "altMSL")]
    alt_msl: Option<f64>,
    alt: Option<f64>,
    speed: Option<f64>,
    track: Option<f64>,
    eph: Option<f64>,
    epx: Option<f64>,
    epy: Option<f64>,
}

#[derive(Deserialize)]
struct Sky {
    device: Option<String>,
    hdop: Option<f64>,
    #[serde(rename = "uSat")]
    used: Option<u8>,
    satellites: Option<Vec<Satellite>>,
}

#[derive(Deserialize)]
struct Satellite {
    #[serde(default)]
    used: bool,
}

/// Reads a line without its end.
pub(super) fn parse(line: &[u8]) -> Result<Report, Fault> {
    match serde_json::from_slice(line).map_err(|_| Fault::Malformed)? {
        Line::Tpv(tpv) => tpv.fix().map(Report::Fix),
        Line::Sky(sky) => Ok(sky.report()),
        Line::Error => Err(Fault::PeerError),
        Line::Other => Ok(Report::Unused),
    }
}

impl Tpv {
    fn fix(self) -> Result<Fix, Fault> {
        let event_time = match &self.time {
            Some(text) => Some(text.parse().map_err(|_| Fault::Unparsed)?),
            None => None,
        };
        let position = self.position()?;
        Ok(Fix { device: self.device, event_time, position })
    }

    fn position(&self) -> Result<Option<Position>, Fault> {
        let (Some(lat), Some(lon)) = (self.lat, self.lon) else { return Ok(None) };
        let Some(fix) = self.fix_type() else { return Ok(None) };
        if lat.abs() > 90.0 || lon.abs() > 180.0 {
            return Err(Fault::OutOfRange);
        }
        let error_m = self.eph.or_else(|| self.epx.zip(self.epy).map(|(x, y)| x.hypot(y)));
        let altitude_m = self.alt_msl.or(self.alt).filter(|_| self.mode >= 3);
        Ok(Some(Position {
            lat_e7: scaled(lat, 1e7).ok_or(Fault::OutOfRange)?,
            lon_e7: scaled(lon, 1e7).ok_or(Fault::OutOfRange)?,
            altitude_cm: altitude_m.and_then(|metres| scaled(metres, 1e2)),
            speed_cmps: self.speed.and_then(|mps| scaled(mps, 1e2)),
            course_cdeg: self
                .track
                .and_then(|degrees| scaled(degrees.rem_euclid(360.0), 1e2))
                .map(|cdeg: u16| cdeg % 36_000),
            fix,
            satellites: None,
            hdop_centi: None,
            accuracy_cm: error_m.and_then(|metres| scaled(metres, 1e2)),
        }))
    }

    const fn fix_type(&self) -> Option<FixType> {
        match (self.mode, self.status) {
            (2.., 2) => Some(FixType::Dgps),
            (2.., 3) => Some(FixType::RtkFixed),
            (2.., 4) => Some(FixType::RtkFloat),
            (2.., 5 | 6 | 8) => Some(FixType::Estimated),
            (2, _) => Some(FixType::Fix2d),
            (3.., _) => Some(FixType::Fix3d),
            _ => None,
        }
    }
}

impl Sky {
    fn report(self) -> Report {
        let counted = |satellites: Vec<Satellite>| {
            u8::try_from(satellites.iter().filter(|satellite| satellite.used).count()).unwrap_or(u8::MAX)
        };
        Report::Sky {
            device: self.device,
            hdop_centi: self.hdop.and_then(|hdop| scaled(hdop, 1e2)),
            satellites: self.used.or_else(|| self.satellites.map(counted)),
        }
    }
}

/// `value` in units of 1/`scale`, rounded; none where it does not fit.
fn scaled<T: TryFrom<i64>>(value: f64, scale: f64) -> Option<T> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer casts saturate, and what saturates fits no T"
    )]
    T::try_from((value * scale).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(line: &str) -> Fix {
        match parse(line.as_bytes()) {
            Ok(Report::Fix(fix)) => fix,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_fix_has_what_gpsd_says_and_nothing_else() {
        let full = fix(
            r#"{"class":"TPV","device":"/dev/pts/1","mode":3,"status":2,"time":"2026-06-01T12:00:01.500Z","lat":52.1,
            "lon":-4.9,"altMSL":3.1,"altHAE":48.0,"speed":12.3,"track":360.0,"epx":3.0,"epy":4.0,"leapseconds":18}"#,
        );
        assert_eq!(full.event_time.map(|time| time.to_string()).as_deref(), Some("2026-06-01T12:00:01.500Z"));
        assert_eq!(
            full.position,
            Some(Position {
                lat_e7: 521_000_000,
                lon_e7: -49_000_000,
                altitude_cm: Some(310),
                speed_cmps: Some(1_230),
                course_cdeg: Some(0),
                fix: FixType::Dgps,
                satellites: None,
                hdop_centi: None,
                accuracy_cm: Some(500),
            })
        );
        let bare = fix(r#"{"class":"TPV","mode":2,"lat":52.1,"lon":4.9,"alt":7.0,"eph":2.5}"#);
        let position = bare.position.expect("position");
        assert_eq!((bare.event_time, position.altitude_cm, position.speed_cmps), (None, None, None));
        assert_eq!((position.fix, position.accuracy_cm), (FixType::Fix2d, Some(250)));
    }

    #[test]
    fn no_mode_no_position() {
        for mode in [r#""mode":1,"#, r#""mode":0,"#, ""] {
            assert_eq!(fix(&format!(r#"{{"class":"TPV",{mode}"lat":52.1,"lon":4.9}}"#)).position, None);
        }
    }

    #[test]
    fn what_is_no_report_is_named_by_kind() {
        for (line, expected) in [
            (r#"{"class":"VERSION","release":"3.22"}"#, Ok(Report::Unused)),
            (r#"{"class":"ERROR","message":"Unrecognized request"}"#, Err(Fault::PeerError)),
            (r#"{"class":"TPV","mode":3,"lat":91.0,"lon":4.9}"#, Err(Fault::OutOfRange)),
            (r#"{"class":"TPV","mode":3,"time":"yesterday"}"#, Err(Fault::Unparsed)),
            (r#"{"class":"TPV","mode":"three"}"#, Err(Fault::Malformed)),
            ("$GPRMC,1*00", Err(Fault::Malformed)),
            ("", Err(Fault::Malformed)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn satellites_are_those_used_however_gpsd_counts_them() {
        for line in [
            r#"{"class":"SKY","hdop":0.9,"uSat":2,"nSat":9}"#,
            r#"{"class":"SKY","hdop":0.9,"satellites":[{"PRN":1,"used":true},{"PRN":2,"used":false},{"used":true}]}"#,
        ] {
            let expected = Report::Sky { device: None, hdop_centi: Some(90), satellites: Some(2) };
            assert_eq!(parse(line.as_bytes()), Ok(expected));
        }
    }
}
