//! A made-up vehicle that reports a full fix a second: driving for fifty minutes of each hour, with the noise of a
//! receiver, the same every time.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the drive is made within the bounds of its columns, by numbers written here"
)]

use milepost_proto::reading::FixType;
use milepost_proto::{BootId, Chunk, Position, Reading, Record, TimeQuality, TimeSource, Timestamp};

/// The boot of every record here.
pub(crate) const BOOT: BootId = BootId([7; 16]);
/// When the first record happened, for tracks that need no date.
pub(crate) const START_MS: i64 = 1_780_000_000_000;

/// The fix `second` seconds after `start_ms`.
pub(crate) fn fix(start_ms: i64, second: u32) -> Record {
    let noise = |salt: u32, span: u32| (second ^ salt).wrapping_mul(2_654_435_761).rotate_left(13) % span;
    let parked = second % 3600 >= 3000;
    let metres = f64::from(second / 3600 * 3000 + (second % 3600).min(3000)) * 14.0;
    let bend = (metres / 700.0).sin();
    let e7 = |degrees: f64, salt: u32| (degrees * 1e7) as i32 + noise(salt, 9) as i32 - 4;
    let reading = Position {
        lat_e7: e7(47.0 + (metres / 111_000.0) % 3.0, 1),
        lon_e7: e7(8.0 + bend * 0.004, 2),
        altitude_cm: Some(43_000 + (bend * 900.0) as i32 + noise(3, 30) as i32),
        speed_cmps: Some(if parked { noise(4, 3) } else { 1_400 + noise(5, 60) }),
        course_cdeg: Some((18_000.0 + bend * 9_000.0) as u16 + noise(6, 40) as u16),
        fix: FixType::Fix3d,
        satellites: Some(11 + noise(7, 50) as u8 / 25),
        hdop_centi: Some(80 + noise(8, 60) as u16 / 20),
        accuracy_cm: None,
    };
    Record {
        event_time: Timestamp::from_millis(start_ms + i64::from(second) * 1000),
        monotonic_ms: 5_000 + u64::from(second) * 1000 + u64::from(noise(9, 12)),
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 100 },
        reading: Reading::Position(reading),
        seal: None,
    }
}

/// `count` fixes sealed into chunks of `each`.
pub(crate) fn chunks(count: u32, each: u32) -> anyhow::Result<Vec<Chunk>> {
    let firsts = (0..count).step_by(each as usize);
    firsts
        .map(|first| {
            let records = (first..count.min(first + each)).map(|second| fix(START_MS, second)).collect();
            Ok(Chunk::seal(u64::from(first) + 1, BOOT, records)?)
        })
        .collect()
}
