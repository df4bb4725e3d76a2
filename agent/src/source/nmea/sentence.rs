//! One checked sentence into what it says.
//!
//! Promise: nothing is allocated, nothing is guessed: a sentence whose fields cannot be read, or say what cannot be, is
//! a [`Fault`] as a whole; only RMC's motion may be unreadable by itself: it is counted, and the position kept. Any talker is heard (`GP`, `GN`, `GL`, `GA`, `GB`, `BD`, `GQ`, `GI`, …). Layouts are those of
//! NMEA 0183 2.x to 4.1x: fields that older receivers lack are absent, fields that newer ones add are passed over.

use crate::source::fault::{Fault, Faults};

use super::day::Day;
use super::field::{Field, Fields, LATITUDE, LONGITUDE, digits};

/// What a sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    /// RMC, GGA, GNS or GLL: the state of a fix at a time of day.
    Fix(Fix),
    /// VTG: motion, at the time of the fix sentences around it.
    Motion(Motion),
    /// GSA: the kind of solution, at the time of the fix sentences around it.
    Active { dimensions: Option<Dimensions>, hdop_centi: Option<u16> },
    /// GST or GBS: how far off a fix may be.
    Error(FixError),
    /// ZDA: the date.
    Date { time_of_day_ms: u32, day: Day },
    /// Well-formed, and nothing in it that we use.
    Unused,
}

/// What a fix sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fix {
    pub(super) kind: FixKind,
    pub(super) time_of_day_ms: Option<u32>,
    /// Whether the receiver stands by it; a void fix may still carry stale values.
    pub(super) valid: bool,
    pub(super) coordinates: Option<Coordinates>,
    pub(super) solution: Option<Solution>,
    pub(super) motion: Motion,
    pub(super) altitude_cm: Option<i32>,
    pub(super) satellites: Option<u8>,
    pub(super) hdop_centi: Option<u16>,
    pub(super) day: Option<Day>,
}

/// Which sentence it is, the best coordinates last: those that come with height carry the most decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum FixKind {
    #[default]
    Gll,
    Rmc,
    Gns,
    Gga,
}

/// Where, in 1e-7 degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coordinates {
    pub(super) lat_e7: i32,
    pub(super) lon_e7: i32,
}

/// How fast, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Motion {
    pub(super) speed_cmps: Option<u32>,
    pub(super) course_cdeg: Option<u16>,
}

/// How far off the fix of a time of day may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FixError {
    pub(super) kind: ErrorKind,
    pub(super) time_of_day_ms: Option<u32>,
    /// Root of the summed squares of both axes' standard deviations: two fixes in three are within it.
    pub(super) horizontal_cm: u32,
}

/// Which sentence gave it, the better one last: GBS is about integrity, GST about this very fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ErrorKind {
    Gbs,
    Gst,
}

/// How a position was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Solution {
    Autonomous,
    Differential,
    RtkFixed,
    RtkFloat,
    Estimated,
}

/// GSA's second field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dimensions {
    Two,
    Three,
}

/// Which of the sentences we use this is; a receiver's cycle is known by their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rmc,
    Gga,
    Gns,
    Gll,
    Vtg,
    Gsa,
    Gst,
    Gbs,
    Zda,
}

/// Reads a sentence's body, the part between `$` and `*`.
pub(super) fn parse(body: &[u8], faults: &mut Faults) -> Result<Sentence, Fault> {
    let mut fields = Fields::new(body);
    let address = fields.next();
    if address.first() == Some(&b'P') {
        return Err(Fault::Proprietary);
    }
    let [_, _, formatter @ ..] = address else { return Err(Fault::UnknownType) };
    match formatter {
        b"RMC" => rmc(fields, faults).map(Sentence::Fix),
        b"GGA" => gga(fields).map(Sentence::Fix),
        b"GNS" => gns(fields).map(Sentence::Fix),
        b"GLL" => gll(fields).map(Sentence::Fix),
        b"VTG" => vtg(fields).map(Sentence::Motion),
        b"GSA" => gsa(fields),
        b"GST" => gst(fields),
        b"GBS" => gbs(fields),
        b"ZDA" => zda(fields),
        b"GSV" | b"GRS" | b"TXT" | b"DTM" | b"HDT" | b"THS" => Ok(Sentence::Unused),
        _ => Err(Fault::UnknownType),
    }
}

impl Sentence {
    /// Which sentence it is; none for those we do not use.
    pub(super) const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Fix(fix) => match fix.kind {
                FixKind::Rmc => Kind::Rmc,
                FixKind::Gga => Kind::Gga,
                FixKind::Gns => Kind::Gns,
                FixKind::Gll => Kind::Gll,
            },
            Self::Motion(_) => Kind::Vtg,
            Self::Active { .. } => Kind::Gsa,
            Self::Error(error) => match error.kind {
                ErrorKind::Gst => Kind::Gst,
                ErrorKind::Gbs => Kind::Gbs,
            },
            Self::Date { .. } => Kind::Zda,
            Self::Unused => return None,
        })
    }
}

/// `time,status,lat,N,lon,E,knots,course,ddmmyy,variation,E,mode,…`
fn rmc(mut fields: Fields<'_>, faults: &mut Faults) -> Result<Fix, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    let status = fields.letter()?;
    let coordinates = coordinates(&mut fields)?;
    let (speed_cmps, course_cdeg) = (knots(&mut fields), course(&mut fields));
    if fields.is_empty() {
        return Err(Fault::Unparsed);
    }
    let day = Day::from_ddmmyy(fields.next())?;
    fields.skip(2);
    let mode = fields.letter()?;
    Ok(Fix {
        kind: FixKind::Rmc,
        time_of_day_ms,
        valid: status == Some(b'A') && mode != Some(b'N'),
        coordinates,
        solution: mode.and_then(Solution::from_mode),
        motion: Motion { speed_cmps: or_absent(speed_cmps, faults), course_cdeg: or_absent(course_cdeg, faults) },
        day,
        ..Fix::default()
    })
}

/// `time,lat,N,lon,E,quality,satellites,hdop,altitude,M,separation,M,age,station`
fn gga(mut fields: Fields<'_>) -> Result<Fix, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    let coordinates = coordinates(&mut fields)?;
    let quality = fields.unsigned::<u8>(0)?.unwrap_or(0);
    Ok(Fix {
        kind: FixKind::Gga,
        time_of_day_ms,
        valid: quality > 0,
        coordinates,
        solution: Solution::from_quality(quality)?,
        satellites: fields.unsigned(0)?,
        hdop_centi: fields.unsigned(2)?,
        altitude_cm: altitude(&mut fields)?,
        ..Fix::default()
    })
}

/// `time,lat,N,lon,E,modes,satellites,hdop,altitude,separation,…`: one mode letter per constellation.
fn gns(mut fields: Fields<'_>) -> Result<Fix, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    let coordinates = coordinates(&mut fields)?;
    let solution = fields.next().iter().filter_map(|mode| Solution::from_mode(*mode)).max_by_key(Solution::merit);
    Ok(Fix {
        kind: FixKind::Gns,
        time_of_day_ms,
        valid: solution.is_some(),
        coordinates,
        solution,
        satellites: fields.unsigned(0)?,
        hdop_centi: fields.unsigned(2)?,
        altitude_cm: altitude(&mut fields)?,
        ..Fix::default()
    })
}

/// `lat,N,lon,E,time,status,mode`
fn gll(mut fields: Fields<'_>) -> Result<Fix, Fault> {
    let coordinates = coordinates(&mut fields)?;
    let time_of_day_ms = fields.time_of_day_ms()?;
    let status = fields.letter()?;
    let mode = fields.letter()?;
    Ok(Fix {
        kind: FixKind::Gll,
        time_of_day_ms,
        valid: status == Some(b'A') && mode != Some(b'N'),
        coordinates,
        solution: mode.and_then(Solution::from_mode),
        ..Fix::default()
    })
}

/// `course,T,course,M,knots,N,km/h,K,mode`
fn vtg(mut fields: Fields<'_>) -> Result<Motion, Fault> {
    let course_cdeg = course(&mut fields)?;
    fields.skip(3);
    let speed_kn = knots(&mut fields)?;
    fields.skip(1);
    let speed_kmh = fields.unsigned::<u32>(3)?;
    let from_kmh = speed_kmh.map(|metres_per_h| (metres_per_h + 18) / 36);
    Ok(Motion { speed_cmps: speed_kn.or(from_kmh), course_cdeg })
}

/// `A|M,dimensions,12 satellites,pdop,hdop,vdop,…`
fn gsa(mut fields: Fields<'_>) -> Result<Sentence, Fault> {
    fields.skip(1);
    let dimensions = match fields.letter()? {
        Some(b'2') => Some(Dimensions::Two),
        Some(b'3') => Some(Dimensions::Three),
        Some(b'1') | None => None,
        Some(_) => return Err(Fault::OutOfRange),
    };
    fields.skip(13);
    Ok(Sentence::Active { dimensions, hdop_centi: fields.unsigned(2)? })
}

/// `time,rms,major,minor,orientation,lat,lon,altitude`: standard deviations, metres.
fn gst(mut fields: Fields<'_>) -> Result<Sentence, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    fields.skip(1);
    let ellipse = deviations(&mut fields)?;
    fields.skip(1);
    let axes = deviations(&mut fields)?;
    Ok(error(ErrorKind::Gst, time_of_day_ms, axes.or(ellipse)))
}

/// `time,lat,lon,altitude,…`: expected errors, metres.
fn gbs(mut fields: Fields<'_>) -> Result<Sentence, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    let axes = deviations(&mut fields)?;
    Ok(error(ErrorKind::Gbs, time_of_day_ms, axes))
}

fn error(kind: ErrorKind, time_of_day_ms: Option<u32>, horizontal_cm: Option<u32>) -> Sentence {
    horizontal_cm
        .map_or(Sentence::Unused, |horizontal_cm| Sentence::Error(FixError { kind, time_of_day_ms, horizontal_cm }))
}

/// The next two fields as deviations along two axes, in metres; together, in centimetres. Both zero is "unknown".
fn deviations(fields: &mut Fields<'_>) -> Field<u32> {
    let (one, other) = (fields.unsigned::<u32>(2)?, fields.unsigned::<u32>(2)?);
    let Some((one, other)) = one.zip(other).filter(|axes| *axes != (0, 0)) else { return Ok(None) };
    let squares = u64::from(one).pow(2).saturating_add(u64::from(other).pow(2));
    u32::try_from(squares.isqrt()).map(Some).map_err(|_| Fault::OutOfRange)
}

/// `time,dd,mm,yyyy,…`
fn zda(mut fields: Fields<'_>) -> Result<Sentence, Fault> {
    let time_of_day_ms = fields.time_of_day_ms()?;
    let (day, month, year) = (fields.next(), fields.next(), fields.next());
    let Some(time_of_day_ms) = time_of_day_ms.filter(|_| !day.is_empty()) else { return Ok(Sentence::Unused) };
    let (Some(day), Some(month), Some(year)) = (digits(day), digits(month), digits(year)) else {
        return Err(Fault::Unparsed);
    };
    Ok(Sentence::Date { time_of_day_ms, day: Day::new(year, month, day)? })
}

fn coordinates(fields: &mut Fields<'_>) -> Field<Coordinates> {
    let (lat, lon) = (fields.coordinate_e7(LATITUDE)?, fields.coordinate_e7(LONGITUDE)?);
    Ok(lat.zip(lon).map(|(lat_e7, lon_e7)| Coordinates { lat_e7, lon_e7 }))
}

/// Knots, to centimetres per second: 0.001 knot is 0.0514444 cm/s.
fn knots(fields: &mut Fields<'_>) -> Field<u32> {
    let Some(knots_e3) = fields.unsigned::<u32>(3)? else { return Ok(None) };
    let cmps = (u64::from(knots_e3) * 514_444 + 5_000_000) / 10_000_000;
    u32::try_from(cmps).map(Some).map_err(|_| Fault::OutOfRange)
}

/// Degrees from true north, to hundredths below 360.
fn course(fields: &mut Fields<'_>) -> Field<u16> {
    match fields.unsigned::<u16>(2)? {
        Some(course_cdeg) if course_cdeg > 36_000 => Err(Fault::OutOfRange),
        course_cdeg => Ok(course_cdeg.map(|course_cdeg| course_cdeg % 36_000)),
    }
}

/// A field that a position can do without: counted and absent where it cannot be read.
fn or_absent<T>(field: Field<T>, faults: &mut Faults) -> Option<T> {
    field.unwrap_or_else(|fault| {
        faults.count(fault);
        None
    })
}

fn altitude(fields: &mut Fields<'_>) -> Field<i32> {
    let Some(altitude_cm) = fields.decimal(2)? else { return Ok(None) };
    i32::try_from(altitude_cm).map(Some).map_err(|_| Fault::OutOfRange)
}

impl Solution {
    /// The mode letter of RMC, GLL and GNS; none for `N` and for letters no standard names.
    const fn from_mode(mode: u8) -> Option<Self> {
        match mode {
            b'A' => Some(Self::Autonomous),
            b'D' | b'P' => Some(Self::Differential),
            b'R' => Some(Self::RtkFixed),
            b'F' => Some(Self::RtkFloat),
            b'E' | b'M' | b'S' => Some(Self::Estimated),
            _ => None,
        }
    }

    /// GGA's quality.
    const fn from_quality(quality: u8) -> Field<Self> {
        Ok(Some(match quality {
            0 => return Ok(None),
            1 | 3 => Self::Autonomous,
            2 | 9 => Self::Differential,
            4 => Self::RtkFixed,
            5 => Self::RtkFloat,
            6..=8 => Self::Estimated,
            _ => return Err(Fault::OutOfRange),
        }))
    }

    /// Orders solutions by how much they can be trusted.
    const fn merit(&self) -> u8 {
        match self {
            Self::Estimated => 0,
            Self::Autonomous => 1,
            Self::Differential => 2,
            Self::RtkFloat => 3,
            Self::RtkFixed => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Sentence, Fault> {
        super::parse(body.as_bytes(), &mut Faults::default())
    }

    fn fix(body: &str) -> Fix {
        match parse(body) {
            Ok(Sentence::Fix(fix)) => fix,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn every_fix_sentence_gives_the_same_place_and_time() {
        let here = Some(Coordinates { lat_e7: 492_741_667, lon_e7: -1_231_853_333 });
        for body in [
            "GPRMC,225444.50,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E",
            "GNGGA,225444.50,4916.45,N,12311.12,W,1,08,0.9,5.4,M,46.9,M,,",
            "GNGNS,225444.50,4916.45,N,12311.12,W,AANNN,08,0.9,5.4,46.9,,,V",
            "GPGLL,4916.45,N,12311.12,W,225444.50,A,D",
        ] {
            let fix = fix(body);
            assert_eq!((fix.coordinates, fix.time_of_day_ms, fix.valid), (here, Some(82_484_500), true), "{body}");
        }
    }

    #[test]
    fn a_receiver_that_does_not_stand_by_a_fix_gives_a_void_one() {
        for body in [
            "GPRMC,225444,V,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E",
            "GPRMC,225444,A,4916.45,N,12311.12,W,000.5,054.7,191194,020.3,E,N",
            "GPGGA,225444,4916.45,N,12311.12,W,0,08,0.9,5.4,M,46.9,M,,",
            "GNGNS,225444,4916.45,N,12311.12,W,NNNN,08,0.9,5.4,46.9,,,V",
            "GPGLL,4916.45,N,12311.12,W,225444,V",
            "GPRMC,,V,,,,,,,,,,N",
        ] {
            assert!(!fix(body).valid, "{body}");
        }
    }

    #[test]
    fn unusable_sentences_name_their_kind() {
        for (body, fault) in [
            ("PGRME,15.0,M,45.0,M,25.0,M", Fault::Proprietary),
            ("GPRMB,A,0.66,L", Fault::UnknownType),
            ("GP", Fault::UnknownType),
            ("", Fault::UnknownType),
            ("GPRMC,225444,A,9116.45,N,12311.12,W,000.5,054.7,191194", Fault::OutOfRange),
            ("GPRMC,225444,A,4916.45,N,12311.12,W,000.5,054.7,311194", Fault::OutOfRange),
            ("GPRMC,225444,A", Fault::Unparsed),
            ("GPGGA,225444,4916.45,N,12311.12,W,1,08,-0.9,5.4,M,46.9,M,,", Fault::OutOfRange),
        ] {
            assert_eq!(parse(body), Err(fault), "{body}");
        }
    }

    #[test]
    fn speed_is_taken_from_knots_or_from_km_per_hour() {
        let motion = |body: &str| match parse(body) {
            Ok(Sentence::Motion(motion)) => (motion.speed_cmps, motion.course_cdeg),
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(motion("GPVTG,271.0,T,,M,10.0,N,18.5,K,A"), (Some(514), Some(27_100)));
        assert_eq!(motion("GPVTG,360.0,T,,M,,N,36.0,K"), (Some(1_000), Some(0)));
        assert_eq!(motion("GPVTG,,T,,M,,N,,K,N"), (None, None));
    }

    #[test]
    fn an_unreadable_speed_or_course_is_absent_and_counted_and_the_position_stays() {
        let mut faults = Faults::default();
        let body = b"GPRMC,225444,A,4916.45,N,12311.12,W,X.138,360.01,191194";
        let Ok(Sentence::Fix(fix)) = super::parse(body, &mut faults) else { panic!("a fix") };
        assert!(fix.valid && fix.coordinates.is_some() && fix.day.is_some());
        assert_eq!(fix.motion, Motion::default());
        assert_eq!(faults.take().into_iter().collect::<Vec<_>>(), [("out_of_range", 1), ("unparsed", 1)]);
    }

    #[test]
    fn the_error_of_a_fix_joins_both_axes() {
        for (body, expected) in [
            ("GNGST,135806.000,6.1,4.0,4.0,61.0,3.0,4.0,4.8", Some((ErrorKind::Gst, 500))),
            ("GPGST,135806.000,,3.0,4.0,61.0,,,", Some((ErrorKind::Gst, 500))),
            ("GNGBS,135806.000,0.6,0.8,4.8,,,,,,", Some((ErrorKind::Gbs, 100))),
            ("GPGST,,,,,,,,", None),
            ("GPGST,135806.000,0,,,,0.0,0.0,0.0", None),
        ] {
            let found = match parse(body) {
                Ok(Sentence::Error(error)) => Some((error.kind, error.horizontal_cm)),
                Ok(Sentence::Unused) => None,
                other => panic!("{body}: {other:?}"),
            };
            assert_eq!(found, expected, "{body}");
        }
        assert_eq!(parse("GPGST,135806,1,,,,-3.0,4.0,4.8"), Err(Fault::OutOfRange));
    }
}
