//! The limits in `[ingest]`, `[custody]` and `[retention]`: how much one device may ask, when missing evidence is trouble, and what is
//! dropped when it is old.
//!
//! Promise: what is left out keeps a default that no sound agent meets; nothing is dropped unless the file says so.

use milepost_proto::Lane;
use milepost_proto::config_table::Table;

/// How much one device may ask for: the limits in `[ingest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsSection {
    /// Requests a second, sustained.
    pub requests_per_s: u32,
    /// Requests at once, after a silence.
    pub requests_burst: u32,
    /// Bytes of bodies a second, sustained.
    pub bytes_per_s: u32,
    /// Bytes of bodies at once, after a silence: at least one whole body.
    pub bytes_burst: u32,
    /// Connections at once.
    pub connections: u32,
}

/// Least that `bytes_burst` may be: the largest body there is, or a device could never send it.
const BYTES_BURST_MIN: u32 = 2 * 1024 * 1024;

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            requests_per_s: 100,
            requests_burst: 500,
            bytes_per_s: 16 * 1024 * 1024,
            bytes_burst: 64 * 1024 * 1024,
            connections: 16,
        }
    }
}

/// `[custody]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustodySection {
    /// How long evidence may be missing below evidence that is held before a case is opened, seconds.
    pub evidence_missing_s: u32,
}

impl Default for CustodySection {
    fn default() -> Self {
        Self { evidence_missing_s: 3600 }
    }
}

/// `[retention]`: after how many days what arrived may be dropped; absent: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionSection {
    /// Telemetry.
    pub telemetry_days: Option<u32>,
    /// Events.
    pub event_days: Option<u32>,
    /// Evidence.
    pub evidence_days: Option<u32>,
    /// Photos and signatures.
    pub blob_days: Option<u32>,
}

impl RetentionSection {
    /// After how many days chunks of `lane` may go; absent: never.
    #[must_use]
    pub const fn days(&self, lane: Lane) -> Option<u32> {
        match lane {
            Lane::Telemetry => self.telemetry_days,
            Lane::Event => self.event_days,
            Lane::Evidence => self.evidence_days,
        }
    }

    /// After how many days something may go that a vehicle could be folded from; absent: never.
    #[must_use]
    pub fn floor_days(&self) -> Option<u32> {
        Lane::ALL.into_iter().filter_map(|lane| self.days(lane)).min()
    }
}

/// Reads the limits in `[ingest]`.
pub fn read_limits(table: &mut Table<'_>) -> LimitsSection {
    let mut limits = LimitsSection::default();
    for (key, value, least) in [
        ("requests_per_s", &mut limits.requests_per_s, 1),
        ("requests_burst", &mut limits.requests_burst, 1),
        ("bytes_per_s", &mut limits.bytes_per_s, 1024),
        ("bytes_burst", &mut limits.bytes_burst, BYTES_BURST_MIN),
        ("connections", &mut limits.connections, 2),
    ] {
        if let Some(given) = at_least(table, key, least) {
            *value = given;
        }
    }
    limits
}

/// Reads `[custody]`.
pub fn read_custody(mut table: Table<'_>) -> CustodySection {
    let evidence_missing_s = at_least(&mut table, "evidence_missing_s", 1);
    table.finish();
    evidence_missing_s.map_or_else(CustodySection::default, |evidence_missing_s| CustodySection { evidence_missing_s })
}

/// Reads `[retention]`.
pub fn read_retention(mut table: Table<'_>) -> RetentionSection {
    let section = RetentionSection {
        telemetry_days: at_least(&mut table, "telemetry_days", 1),
        event_days: at_least(&mut table, "event_days", 1),
        evidence_days: at_least(&mut table, "evidence_days", 1),
        blob_days: at_least(&mut table, "blob_days", 1),
    };
    table.finish();
    section
}

fn at_least(table: &mut Table<'_>, key: &str, least: u32) -> Option<u32> {
    let given: u32 = table.get(key)?;
    if given < least {
        table.fault(key, &format!("must be at least {least}"));
        return None;
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use milepost_proto::config_table::Document;
    use milepost_proto::wire::ENVELOPE_BYTES_MAX;

    use super::*;

    #[test]
    fn a_burst_always_holds_the_largest_body() {
        assert!(usize::try_from(BYTES_BURST_MIN).expect("fits") >= ENVELOPE_BYTES_MAX);
    }

    #[test]
    fn what_could_never_work_is_refused_with_its_bound() {
        let document = Document::parse("bytes_burst = 10\nrequests_per_s = 5\n");
        assert_eq!(read_limits(&mut document.root()).requests_per_s, 5);
        let faults: Vec<String> = document.into_faults().iter().map(ToString::to_string).collect();
        assert_eq!(faults, [format!("line 1: bytes_burst must be at least {BYTES_BURST_MIN}")]);
    }

    #[test]
    fn nothing_is_dropped_unless_the_file_says_so() {
        let document = Document::parse("telemetry_days = 90\n");
        let section = read_retention(document.root());
        assert_eq!(section, RetentionSection { telemetry_days: Some(90), ..RetentionSection::default() });
        assert_eq!((section.floor_days(), RetentionSection::default().floor_days()), (Some(90), None));
    }
}
