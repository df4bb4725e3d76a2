//! `[[vehicle]]` and `[[device]]`: what there is and what serves what when.

use milepost_proto::config_table::Table;
use milepost_proto::{DeviceId, SiteId, Timestamp, VehicleId};

use crate::store::roster::{Assignment, Duty};

/// `[[vehicle]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleEntry {
    /// Its id.
    pub id: VehicleId,
    /// Its licence plate, by which Odoo's vehicles are recognised.
    pub license_plate: Option<String>,
}

/// One `[[device]]`; a device that moved has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// The device, as its certificate names it.
    pub id: DeviceId,
    /// What it serves and when.
    pub assignment: Assignment,
}

/// All `[[vehicle]]` entries.
pub fn read_vehicles(root: &mut Table<'_>) -> Vec<VehicleEntry> {
    let mut vehicles: Vec<VehicleEntry> = Vec::new();
    for mut table in root.tables("vehicle") {
        let id: Option<VehicleId> = table.require_parsed("id");
        let license_plate = table.get("license_plate");
        if let Some(id) = id {
            if vehicles.iter().any(|vehicle| vehicle.id == id) {
                table.fault("id", "appears twice");
            }
            vehicles.push(VehicleEntry { id, license_plate });
        }
        table.finish();
    }
    vehicles
}

/// All `[[device]]` entries.
pub fn read_devices(root: &mut Table<'_>) -> Vec<DeviceEntry> {
    let mut devices: Vec<DeviceEntry> = Vec::new();
    for mut table in root.tables("device") {
        if let Some(entry) = read_device(&mut table) {
            if devices.iter().any(|other| other.id == entry.id && overlap(&other.assignment, &entry.assignment)) {
                let message = format!(
                    "{} already serves something then; end the earlier entry with valid_to and begin this one with \
                     valid_from",
                    entry.id
                );
                table.fault("id", &message);
            }
            devices.push(entry);
        }
        table.finish();
    }
    devices
}

fn read_device(table: &mut Table<'_>) -> Option<DeviceEntry> {
    let id = table.require_parsed("id");
    let vehicle: Option<VehicleId> = table.parsed("vehicle");
    let site: Option<SiteId> = table.parsed("site");
    let valid_from: Option<Timestamp> = table.parsed("valid_from");
    let valid_to: Option<Timestamp> = table.parsed("valid_to");
    if valid_from.zip(valid_to).is_some_and(|(from, to)| to <= from) {
        table.fault("valid_to", "must be later than valid_from");
    }
    let duty = match (vehicle, site) {
        (Some(vehicle), None) => Duty::Vehicle(vehicle),
        (None, Some(site)) => Duty::Site(site),
        (Some(_), Some(_)) => {
            table.fault("site", "cannot stand next to vehicle: a device serves one of them at a time");
            return None;
        }
        (None, None) => {
            table.fault("id", "needs a vehicle or a site to serve");
            return None;
        }
    };
    Some(DeviceEntry { id: id?, assignment: Assignment { valid_from, valid_to, duty } })
}

fn overlap(a: &Assignment, b: &Assignment) -> bool {
    let begins_before_end = |begins: &Assignment, ends: &Assignment| {
        begins.valid_from.zip(ends.valid_to).is_none_or(|(from, to)| from < to)
    };
    begins_before_end(a, b) && begins_before_end(b, a)
}
