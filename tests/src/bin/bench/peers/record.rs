//! The records that every rival carries: a second of driving each, the same for all, each in its own form.
//!
//! As JSON a record has 113 bytes, which is the payload that device bytes are compared with, whatever a rival makes of it.

use anyhow::Context as _;
use milepost_proto::reading::FixType;
use milepost_proto::{Position, Reading, Record, TimeQuality, Timestamp};
use system_tests::chance::Chance;

/// Bytes of a record as JSON.
pub(crate) const JSON_BYTES: usize = 113;
/// Records have the numbers from 1 up; as JSON they have this added, so that all are as long.
const NUMBER_BASE: u32 = 100_000;
/// The moment before the first record, milliseconds since 1970.
const BEGAN_MS: i64 = 1_760_000_000_000;

/// One second of driving.
#[derive(Debug, Clone, Copy)]
struct Second {
    at_ms: i64,
    lat_e7: i32,
    lon_e7: i32,
    altitude_m: i32,
    speed_cmps: u32,
    course_ddeg: u16,
}

/// Twelve metres a second to the north, slowly to the east, with a receiver's noise.
#[expect(clippy::cast_possible_truncation, reason = "each is bounded where it is taken")]
fn second(n: u32) -> Second {
    let mut chance = Chance::new(u64::from(n));
    let mut noise = |below: u64| chance.below(below) as i32;
    let n_i32 = (n % 1_000_000).cast_signed();
    Second {
        at_ms: BEGAN_MS + i64::from(n) * 1_000,
        lat_e7: 521_000_000 + n_i32 * 1_080 + noise(60),
        lon_e7: 49_000_000 + n_i32 * 90 + noise(60),
        altitude_m: 30 + n_i32 / 500 % 60 + noise(2),
        speed_cmps: (1_200 + noise(40)).unsigned_abs(),
        course_ddeg: (1_040 + noise(20)).unsigned_abs() as u16,
    }
}

/// Record `n` as JSON.
pub(crate) fn json(n: u32) -> String {
    let Second { at_ms, lat_e7, lon_e7, altitude_m, speed_cmps, course_ddeg } = second(n);
    let (lat, lon) = (fixed(lat_e7, 10_000_000, 7), fixed(lon_e7, 10_000_000, 7));
    format!(
        "{{\"seq\":{},\"t\":{at_ms},\"lat\":{lat},\"lon\":{lon},\"alt_m\":{altitude_m},\"speed_mps\":{}.{:02},\"course_deg\":{}.{}}}",
        NUMBER_BASE + n,
        speed_cmps / 100,
        speed_cmps % 100,
        course_ddeg / 10,
        course_ddeg % 10
    )
}

fn fixed(value: i32, unit: i32, digits: usize) -> String {
    format!("{}.{:0digits$}", value / unit, value % unit)
}

/// The number of a record in JSON.
pub(crate) fn number_of(json: &str) -> anyhow::Result<u32> {
    let digits = json.strip_prefix("{\"seq\":").and_then(|rest| rest.get(..6)).context("no record")?;
    Ok(digits.parse::<u32>()? - NUMBER_BASE)
}

/// Record `n` as the agent keeps it.
pub(crate) fn record(n: u32) -> Record {
    let Second { at_ms, lat_e7, lon_e7, altitude_m, speed_cmps, course_ddeg } = second(n);
    Record {
        event_time: Timestamp::from_millis(at_ms),
        monotonic_ms: u64::from(n) * 1_000,
        time_quality: TimeQuality::UNKNOWN,
        reading: Reading::Position(Position {
            lat_e7,
            lon_e7,
            altitude_cm: Some(altitude_m * 100),
            speed_cmps: Some(speed_cmps),
            course_cdeg: Some(course_ddeg * 10),
            fix: FixType::Fix3d,
            satellites: None,
            hdop_centi: None,
            accuracy_cm: None,
        }),
        seal: None,
    }
}

/// The number of a record that the agent kept.
pub(crate) fn number_at(record: &Record) -> Option<u32> {
    u32::try_from((record.event_time.as_millis() - BEGAN_MS) / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_valid_json_of_the_same_length() {
        for n in [1, 2, 999, 123_456, 200_000] {
            let text = json(n);
            assert_eq!(text.len(), JSON_BYTES, "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value["seq"], NUMBER_BASE + n);
            assert_eq!(number_of(&text).expect("a number"), n);
            assert_eq!(number_at(&record(n)), Some(n));
        }
    }
}
