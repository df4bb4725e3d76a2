//! Is it healthy, and if not, what does one do?
//!
//! Promise: everything that keeps a record from being made, kept or handed over becomes a [`Finding`] with its mend,
//! worst first; no coverage for a while is not among them, because working without is the vehicle's normal life.

use milepost_proto::TimeSource;

use super::quantity::{Bytes, Seconds};
use crate::source::can::bus_state::BusState;
use crate::status::{ControllerStatus, DbcStatus, SourceHealth, SourceStatus, Status, UplinkHealth, WrongVehicle};

/// After this long without a receipt someone should look, seconds.
const RECEIPT_AGE_S_MAX: u64 = 15 * 60;
/// A source that was heard and then gave nothing for this long is looked at, seconds.
const READING_AGE_S_MAX: u64 = 60;
/// Sources and uplink have this long after the start before their silence means anything, seconds.
const SETTLING_S: u64 = 60;
/// So many questions that nobody answered, and none that was, are looked at.
const UNANSWERED_MAX: u64 = 10;
/// A spool fuller than this is looked at, percent of its quota.
const SPOOL_PERCENT_MAX: u64 = 80;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Everything works.
    Ok,
    /// Nothing is lost yet; someone should look.
    Attention,
    /// Something is not recorded, not kept or cannot be handed over.
    Broken,
}

impl Health {
    /// One word, also used in style sheets.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Attention => "attention",
            Self::Broken => "broken",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is; never [`Health::Ok`].
    pub health: Health,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What to do, in a sentence.
    pub mend: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// As bad as the worst finding.
    pub health: Health,
    /// Worst first.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// The verdict in one line.
    #[must_use]
    pub const fn headline(&self) -> &'static str {
        match self.health {
            Health::Ok => "Everything works.",
            Health::Attention => "Working, but look at this:",
            Health::Broken => "Broken: needs you now.",
        }
    }
}

/// Judges.
#[must_use]
pub fn verdict(status: &Status) -> Verdict {
    let mut findings: Vec<Finding> = Vec::new();
    if status.sources.is_empty() {
        findings.push(attention("No source is configured.", "Add a [[source]] to agent.toml and restart the agent."));
    }
    findings.extend(status.sources.iter().filter_map(|source| judge_source(source, status.uptime_s)));
    findings.extend(status.sources.iter().flat_map(judge_bus));
    findings.extend(judge_position(status));
    findings.extend(judge_clock(status));
    findings.extend(judge_spool(status));
    findings.extend(judge_uplink(status));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.health));
    let health = findings.first().map_or(Health::Ok, |worst| worst.health);
    Verdict { health, findings }
}

fn broken(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { health: Health::Broken, what: what.into(), mend: mend.into() }
}

fn attention(what: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { health: Health::Attention, what: what.into(), mend: mend.into() }
}

fn judge_source(source: &SourceStatus, uptime_s: u64) -> Option<Finding> {
    let name = &source.name;
    let settled = uptime_s > SETTLING_S;
    match source.state {
        SourceHealth::Lost => {
            let why = source.why.as_deref().unwrap_or("no reason given");
            Some(broken(format!("Source {name} is lost: {why}."), mend_lost(&source.kind)))
        }
        // Drivers are not heard for hours: that is no fault.
        SourceHealth::Silent | SourceHealth::Heard if is_driver_app(&source.kind) => None,
        SourceHealth::Silent if settled && source.faults.values().any(|&count| count > 0) => Some(broken(
            format!("Source {name} sends, but nothing usable."),
            "Compare the speed (baud) and kind in agent.toml with the device; look at its raw lines below.",
        )),
        SourceHealth::Silent if settled => Some(broken(
            format!("Source {name} is open but silent."),
            "Check that the device has power and its cable fits.",
        )),
        SourceHealth::Heard => source.last_reading_age_s.filter(|&age| age > READING_AGE_S_MAX).map(|age| {
            let what = format!("Source {name} gave nothing usable for {}.", Seconds(age));
            attention(what, "Check its power, cable and antenna; look at its raw lines below.")
        }),
        SourceHealth::Opening if settled => Some(attention(
            format!("Source {name} is still not open."),
            "Run milepost-agent check and follow what it says.",
        )),
        SourceHealth::Silent | SourceHealth::Opening | SourceHealth::Ended => None,
    }
}

fn judge_bus(source: &SourceStatus) -> Vec<Finding> {
    let (name, bus) = (&source.name, &source.bus);
    let mut findings = Vec::new();
    if let Some(WrongVehicle { configured, heard }) = &bus.wrong_vehicle {
        findings.push(broken(
            format!("The bus of source {name} is vehicle {heard}'s, not {configured}'s: records go to the wrong vehicle."),
            "Move the device to its vehicle, or correct vin in agent.toml and the assignment in the office; then restart it.",
        ));
    }
    // Once the controller is off the bus the source is lost, which says it all.
    if let Some(ControllerStatus { state: BusState::Passive, .. }) = bus.controller {
        findings.push(attention(
            format!("The controller of source {name} counts so many errors that it is passive."),
            "Look at wiring, termination and bit rate.",
        ));
    }
    if bus.polling.as_ref().is_some_and(|polling| polling.answers == 0 && polling.timeouts >= UNANSWERED_MAX) {
        findings.push(attention(
            format!("Nobody answers the questions of source {name}."),
            "Switch the ignition on; compare id_bits in agent.toml with the vehicle, and let the interface transmit.",
        ));
    }
    if let Some(DbcStatus { mistakes: mistakes @ 1.., first, .. }) = &bus.dbc {
        let first = first.first().map(|why| format!(" The first: {why}.")).unwrap_or_default();
        findings.push(attention(
            format!("The DBC files of source {name} have mistakes ({mistakes}).{first}"),
            "Mend them and restart the agent; milepost-agent check lists them all.",
        ));
    }
    findings
}

/// Whether it is a way of the driver app, not a device.
pub(super) fn is_driver_app(kind: &str) -> bool {
    matches!(kind, "mqtt" | "http")
}

const fn mend_lost(kind: &str) -> &'static str {
    if matches!(kind.as_bytes(), b"mqtt") {
        "Start the broker (systemctl status mosquitto) and compare [mqtt] in agent.toml; it is reconnected by itself."
    } else {
        "Check plug, cable and power; it is reopened by itself."
    }
}

fn judge_position(status: &Status) -> Option<Finding> {
    let is_receiver = |kind: &str| matches!(kind, "nmea_serial" | "gpsd");
    let receiver_heard =
        status.sources.iter().any(|source| is_receiver(&source.kind) && source.state == SourceHealth::Heard);
    (receiver_heard && status.position.is_none() && status.uptime_s > SETTLING_S).then(|| {
        attention(
            "The receiver talks but has no position.",
            "Give the antenna a free view of the sky; wait two minutes.",
        )
    })
}

fn judge_clock(status: &Status) -> Option<Finding> {
    if status.clock.battery_suspect {
        return Some(attention(
            "The system's clock says a time that cannot be.",
            "Replace the battery of the device's clock; records made before the first fix are dated afterwards.",
        ));
    }
    (status.time_quality.source == TimeSource::FreeRunning).then(|| {
        attention(
            "Nobody vouches for the clock.",
            "Wait for a satellite fix or a network; times recorded until then are put right afterwards.",
        )
    })
}

fn judge_spool(status: &Status) -> Option<Finding> {
    if let Some(why) = &status.spool.obstacle {
        let what = format!("Nothing is recorded: {why}.");
        let mend = "Free or mend the disk that [spool] path names; the agent tries again every few seconds.";
        return Some(Finding { health: Health::Broken, what, mend: mend.to_owned() });
    }
    let (used, quota) = (status.spool.disk_bytes, status.spool.quota_bytes.max(1));
    let percent = used.saturating_mul(100) / quota;
    let what = || format!("The spool takes {} of {} ({percent} %).", Bytes(used), Bytes(quota));
    let mend = "Bring the vehicle where it reaches the gateway; then mend what the uplink complains about.";
    if percent >= 100 {
        Some(broken(format!("{} Telemetry is being thinned and dropped.", what()), mend))
    } else if let Some(free_bytes) = status.spool.free_bytes.filter(|free| *free < status.spool.free_bytes_min) {
        let what = format!("Only {} are free on the spool's disk. It takes no more than it has.", Bytes(free_bytes));
        Some(broken(what, "Find what else fills the disk, and delete it."))
    } else {
        (percent >= SPOOL_PERCENT_MAX).then(|| attention(what(), mend))
    }
}

fn judge_uplink(status: &Status) -> Vec<Finding> {
    let uplink = &status.uplink;
    let mut findings = Vec::new();
    if uplink.state == UplinkHealth::Stopped {
        let why = uplink.why.as_deref().unwrap_or("no reason given");
        findings.push(broken(
            format!("Nothing is handed over to the gateway: {why}."),
            "Mend that and restart the agent; records are kept meanwhile.",
        ));
    } else if let Some(what) = receipt_overdue(uplink.last_receipt_age_s, status.uptime_s) {
        let why = uplink.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        findings.push(attention(
            format!("{what}{why}. Records are kept."),
            "Drive into coverage. If other devices are online here, check the gateway's address and its certificate.",
        ));
    }
    if uplink.poison.records > 0 {
        let (records, evidence) = (uplink.poison.records, uplink.poison.evidence);
        let mend = "Tell operations the reason below; the records are kept in the spool, so do not delete its file.";
        let what = format!("No gateway takes {records} records, {evidence} of them evidence; they are set aside.");
        findings.push(if evidence > 0 { broken(what, mend) } else { attention(what, mend) });
    }
    if uplink.refused > 0 {
        findings.push(attention(
            format!("The gateway refused {} records.", uplink.refused),
            "Tell operations; its pages show why.",
        ));
    }
    findings
}

fn receipt_overdue(last_receipt_age_s: Option<u64>, uptime_s: u64) -> Option<String> {
    match last_receipt_age_s {
        Some(age) => (age > RECEIPT_AGE_S_MAX).then(|| format!("No receipt for {}", Seconds(age))),
        None => (uptime_s > SETTLING_S).then(|| format!("No receipt since the start {} ago", Seconds(uptime_s))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::example;
    use crate::status::{PoisonStatus, PollingStatus};
    use milepost_proto::TimeQuality;

    fn check(change: impl FnOnce(&mut Status), expected: &[(Health, &str)]) {
        let mut status = example::healthy();
        change(&mut status);
        let verdict = verdict(&status);
        let found: Vec<(Health, &str)> = verdict.findings.iter().map(|f| (f.health, f.what.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(verdict.health, expected.first().map_or(Health::Ok, |(health, _)| *health));
        assert!(verdict.findings.iter().all(|finding| !finding.mend.is_empty()));
    }

    #[test]
    fn a_healthy_vehicle_has_no_findings() {
        check(|_| (), &[]);
    }

    #[test]
    fn a_drivers_silence_is_no_fault_but_a_lost_broker_is() {
        check(|status| status.sources[2].state = SourceHealth::Silent, &[]);
        let lose = |status: &mut Status| {
            status.sources[2].state = SourceHealth::Lost;
            status.sources[2].why = Some("no broker".to_owned());
        };
        check(lose, &[(Health::Broken, "Source mqtt is lost: no broker.")]);
    }

    #[test]
    fn what_is_wrong_with_a_bus_is_said_with_its_mend() {
        let troubled = |status: &mut Status| status.sources[1].bus = example::troubled_bus();
        let wrong = "The bus of source can0 is vehicle 1XPBD49X1MD000001's, not 1XPBD49X1MD000002's: records go to the \
                     wrong vehicle.";
        let passive = "The controller of source can0 counts so many errors that it is passive.";
        let dbc = "The DBC files of source can0 have mistakes (1). The first: /etc/milepost/body.dbc:4: message B: identifier \
                   4096 has more than 11 bits.";
        check(troubled, &[(Health::Broken, wrong), (Health::Attention, passive), (Health::Attention, dbc)]);
        let unanswered = |status: &mut Status| {
            let polling = PollingStatus { requests: 10, timeouts: 10, ..PollingStatus::default() };
            status.sources[1].bus.polling = Some(polling);
        };
        check(unanswered, &[(Health::Attention, "Nobody answers the questions of source can0.")]);
    }

    #[test]
    fn silence_means_something_only_after_settling() {
        let silent = |uptime_s| {
            move |status: &mut Status| {
                status.uptime_s = uptime_s;
                status.sources[0].state = SourceHealth::Silent;
                status.sources[0].faults.clear();
            }
        };
        check(silent(SETTLING_S), &[]);
        check(silent(SETTLING_S + 1), &[(Health::Broken, "Source gnss is open but silent.")]);
    }

    #[test]
    fn noise_without_readings_points_at_the_line_speed() {
        let noisy = |status: &mut Status| status.sources[0].state = SourceHealth::Silent;
        check(noisy, &[(Health::Broken, "Source gnss sends, but nothing usable.")]);
    }

    #[test]
    fn no_coverage_is_normal_for_a_while() {
        check(|status| status.uplink.last_receipt_age_s = Some(RECEIPT_AGE_S_MAX), &[]);
        let long = |status: &mut Status| status.uplink.last_receipt_age_s = Some(7_500);
        check(long, &[(Health::Attention, "No receipt for 2 h 5 min. Records are kept.")]);
    }

    #[test]
    fn the_worst_comes_first() {
        let change = |status: &mut Status| {
            status.time_quality = TimeQuality::UNKNOWN;
            status.spool.disk_bytes = status.spool.quota_bytes;
        };
        let full = "The spool takes 256.0 MiB of 256.0 MiB (100 %). Telemetry is being thinned and dropped.";
        check(change, &[(Health::Broken, full), (Health::Attention, "Nobody vouches for the clock.")]);
    }

    #[test]
    fn a_disk_that_others_fill_is_told_apart_from_a_full_spool() {
        let low = "Only 1.0 MiB are free on the spool's disk. It takes no more than it has.";
        check(|status| status.spool.free_bytes = Some(1 << 20), &[(Health::Broken, low)]);
        check(|status| status.spool.free_bytes = None, &[]);
    }

    #[test]
    fn evidence_that_no_gateway_takes_needs_somebody_now() {
        let set_aside = |evidence| {
            move |status: &mut Status| {
                status.uplink.poison = PoisonStatus { records: 3, evidence, ..PoisonStatus::default() };
            }
        };
        let what = "No gateway takes 3 records, 0 of them evidence; they are set aside.";
        check(set_aside(0), &[(Health::Attention, what)]);
        let what = "No gateway takes 3 records, 1 of them evidence; they are set aside.";
        check(set_aside(1), &[(Health::Broken, what)]);
    }

    #[test]
    fn a_stopped_uplink_says_why() {
        let stop = |status: &mut Status| {
            status.uplink.state = UplinkHealth::Stopped;
            status.uplink.why = Some("the certificate has expired".to_owned());
        };
        let what = "Nothing is handed over to the gateway: the certificate has expired.";
        check(stop, &[(Health::Broken, what)]);
    }
}
