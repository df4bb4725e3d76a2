//! Groups of tests, as `--only` names them: which test belongs where, and what a group needs.

use std::fmt;

use anyhow::{Result, ensure};
use clap::ValueEnum;

/// A group, run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// What both ends speak
    Proto,
    /// The agent
    Agent,
    /// The driver app's ways into the vehicle, with a real broker
    DriverApp,
    /// The gateway
    Gateway,
    /// These chores
    Xtask,
    /// The examples in the documentation
    Doc,
    /// The whole system, with a real broker and a real gpsd
    System,
    /// The whole system with a real Odoo
    Odoo,
}

/// The quickest first, so that a plain mistake shows early.
const ALL: [Group; 8] = [
    Group::Proto,
    Group::Agent,
    Group::DriverApp,
    Group::Gateway,
    Group::Xtask,
    Group::Doc,
    Group::System,
    Group::Odoo,
];

impl Group {
    /// The group of the test target `target` (a crate, binary or file of `tests/`) in the folder `package`.
    ///
    /// A file of the package `tests` with the word `odoo` in its name is of group `odoo`, e.g. `odoo_kill.rs`.
    pub(super) fn of(package: &str, target: &str) -> Option<Self> {
        match package {
            "proto" => Some(Self::Proto),
            "agent" if target == "driver_app" => Some(Self::DriverApp),
            "agent" if target == "gpsd" => Some(Self::System),
            "agent" => Some(Self::Agent),
            "gateway" => Some(Self::Gateway),
            "xtask" => Some(Self::Xtask),
            "tests" if target.split('_').any(|word| word == "odoo") => Some(Self::Odoo),
            "tests" | "fault_disk" => Some(Self::System),
            _ => None,
        }
    }

    /// Whether its tests talk to an MQTT broker.
    pub(super) fn needs_broker(self) -> bool {
        matches!(self, Self::DriverApp | Self::System | Self::Odoo)
    }

    /// Whether its tests boot a kernel of their own.
    pub(super) fn needs_kernel(self) -> bool {
        self == Self::System
    }

    /// Whether its tests talk to gpsd.
    pub(super) fn needs_gpsd(self) -> bool {
        self == Self::System
    }

    /// Whether its tests talk to Odoo.
    pub(super) fn needs_odoo(self) -> bool {
        self == Self::Odoo
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// The groups to run: those in `only`, or all; without those that need Odoo if `fast`.
pub(super) fn select(fast: bool, only: &[Group]) -> Result<Vec<Group>> {
    let wanted = |group: &Group| (only.is_empty() || only.contains(group)) && !(fast && group.needs_odoo());
    let groups: Vec<Group> = ALL.into_iter().filter(wanted).collect();
    ensure!(!groups.is_empty(), "--fast leaves out group odoo, and --only names no other");
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_of_the_workspace_has_one_group() {
        for (package, target, group) in [
            ("proto", "milepost_proto", Some(Group::Proto)),
            ("agent", "odoo", Some(Group::Agent)),
            ("agent", "driver_app", Some(Group::DriverApp)),
            ("agent", "gpsd", Some(Group::System)),
            ("gateway", "milepost_gateway", Some(Group::Gateway)),
            ("xtask", "xtask", Some(Group::Xtask)),
            ("tests", "system_tests", Some(Group::System)),
            ("tests", "kill", Some(Group::System)),
            ("fault_disk", "fault_disk", Some(Group::System)),
            ("tests", "odoo", Some(Group::Odoo)),
            ("tests", "odoo_kill", Some(Group::Odoo)),
            ("tests", "kill_odoo", Some(Group::Odoo)),
            ("somewhere", "else", None),
        ] {
            assert_eq!(Group::of(package, target), group, "{package} {target}");
        }
    }

    #[test]
    fn fast_leaves_out_odoo_and_only_names_what_is_run() {
        let without_odoo = &ALL[..ALL.len() - 1];
        for (fast, only, selected) in [
            (false, &[][..], &ALL[..]),
            (true, &[], without_odoo),
            (false, &[Group::System, Group::Agent], &[Group::Agent, Group::System]),
            (true, &[Group::Odoo, Group::Proto], &[Group::Proto]),
        ] {
            assert_eq!(select(fast, only).expect("something is left"), selected, "fast {fast}, only {only:?}");
        }
        assert!(select(true, &[Group::Odoo]).is_err());
    }

    #[test]
    fn the_quick_groups_run_without_any_service() {
        let needs = |group: &Group| group.needs_broker() || group.needs_kernel() || group.needs_odoo();
        let without = ALL.into_iter().filter(|group| !needs(group));
        let names: Vec<String> = without.map(|group| group.to_string()).collect();
        assert_eq!(names, ["proto", "agent", "gateway", "xtask", "doc"]);
    }
}
