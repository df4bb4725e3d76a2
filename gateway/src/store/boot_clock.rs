//! What time it was at which moment of a boot, as devices learned it.
//!
//! Promise: what is kept follows from the set of journal rows folded, and moves with the cursor. At most
//! [`PER_BOOT_MAX`] moments of a boot are kept, the best of them, whichever came first.

use milepost_proto::{BootId, DeviceId, FleetId, Timestamp};
use rusqlite::{Connection, params};

use super::StoreResult;
use super::column::{count, whole};

/// Most moments of one boot that are kept: those with the least error, then the earliest.
pub const PER_BOOT_MAX: u32 = 64;

/// A device knew what time it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Largest error either way, milliseconds.
    pub error_ms: u32,
    /// Milliseconds on the device's monotonic clock.
    pub monotonic_ms: u64,
    /// The time it was.
    pub utc: Timestamp,
}

/// A moment, and of which boot of which device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootMoment {
    /// Whose clock.
    pub device_id: DeviceId,
    /// The boot.
    pub boot_id: BootId,
    /// The moment.
    pub moment: Moment,
}

/// The moments of a boot, best first.
///
/// # Errors
/// When the store fails.
pub fn of_boot(
    connection: &Connection,
    fleet_id: &FleetId,
    device_id: &DeviceId,
    boot_id: BootId,
) -> StoreResult<Vec<Moment>> {
    let sql = "SELECT error_ms, monotonic_ms, utc FROM boot_clock
        WHERE fleet_id = ?1 AND device_id = ?2 AND boot_id = ?3 ORDER BY error_ms, monotonic_ms, utc";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![fleet_id.as_str(), device_id.as_str(), boot_id.0], |row| {
        Ok(Moment { error_ms: row.get(0)?, monotonic_ms: count(row.get(1)?), utc: Timestamp::from_millis(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps moments; what is then beyond the maximum goes.
///
/// # Errors
/// When the store fails.
pub fn keep(connection: &Connection, fleet_id: &FleetId, moments: &[BootMoment]) -> StoreResult<()> {
    for BootMoment { device_id, boot_id, moment } in moments {
        let (fleet, device) = (fleet_id.as_str(), device_id.as_str());
        connection.prepare_cached("INSERT OR IGNORE INTO boot_clock VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
            params![fleet, device, boot_id.0, moment.error_ms, whole(moment.monotonic_ms), moment.utc.as_millis()],
        )?;
        let sql = "DELETE FROM boot_clock WHERE fleet_id = ?1 AND device_id = ?2 AND boot_id = ?3
            AND (error_ms, monotonic_ms, utc) IN (SELECT error_ms, monotonic_ms, utc FROM boot_clock
                WHERE fleet_id = ?1 AND device_id = ?2 AND boot_id = ?3
                ORDER BY error_ms, monotonic_ms, utc LIMIT -1 OFFSET ?4)";
        connection.prepare_cached(sql)?.execute(params![fleet, device, boot_id.0, PER_BOOT_MAX])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::migrate;

    #[test]
    fn the_best_moments_of_a_boot_stay_whichever_came_first() {
        let (fleet, device_id): (FleetId, DeviceId) =
            ("north".parse().expect("a name"), "box-7".parse().expect("a name"));
        let moment = |n: u32| BootMoment {
            device_id: device_id.clone(),
            boot_id: BootId([2; 16]),
            moment: Moment { error_ms: 1_000 + n, monotonic_ms: 7, utc: Timestamp::EPOCH },
        };
        let forth: Vec<BootMoment> = (0..PER_BOOT_MAX + 9).map(moment).collect();
        let back: Vec<BootMoment> = forth.iter().rev().cloned().collect();
        for moments in [forth, back] {
            let mut connection = Connection::open_in_memory().expect("opens");
            migrate(&mut connection).expect("migrates");
            keep(&connection, &fleet, &moments).expect("keeps");
            let held = of_boot(&connection, &fleet, &device_id, BootId([2; 16])).expect("reads");
            let errors: Vec<u32> = held.iter().map(|moment| moment.error_ms).collect();
            assert_eq!(errors, (1_000..1_000 + PER_BOOT_MAX).collect::<Vec<_>>());
            assert!(of_boot(&connection, &fleet, &device_id, BootId([3; 16])).expect("reads").is_empty());
        }
    }
}
