//! The status in a terminal: what the page says, for `milepost-agent status`.
//!
//! Promise: the verdict stands first, and raw bytes from a device cannot command the terminal.

use std::fmt::{self, Write as _};

use super::bus_words::bus_words;
use super::quantity::{Bytes, Seconds, Visible};
use super::status_page::{budget_words, clock_words, poison_words, source_word, uplink_word};
use super::verdict::{is_driver_app, verdict};
use crate::status::{SourceStatus, Status};

/// The status as lines of text.
#[must_use]
pub fn render_terminal(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_status(&mut text, status);
    text
}

fn write_status(text: &mut String, status: &Status) -> fmt::Result {
    let verdict = verdict(status);
    writeln!(text, "{}: {}", Visible(&status.device), verdict.headline())?;
    for finding in &verdict.findings {
        writeln!(text, "  {}: {}", finding.health.as_str(), Visible(&finding.what))?;
        writeln!(text, "    {}", Visible(&finding.mend))?;
    }
    writeln!(text, "\nas of {}, running for {}", status.now, Seconds(status.uptime_s))?;
    write!(text, "clock     {}", clock_words(status.time_quality))?;
    if status.clock.steps > 0 {
        write!(text, "; the system's clock jumped {} times", status.clock.steps)?;
    }
    writeln!(text)?;
    match status.position {
        Some(position) => writeln!(text, "position  {:.5}, {:.5} at {}", position.lat, position.lon, position.time)?,
        None => writeln!(text, "position  none yet")?,
    }
    status.sources.iter().try_for_each(|source| write_source(text, source))?;
    write_spool(text, status)?;
    write_uplink(text, status)?;
    match &status.trip {
        Some(trip) => writeln!(text, "trip      {}, {} stops", Visible(&trip.id), trip.stops.len())?,
        None => writeln!(text, "trip      none")?,
    }
    let rejected: u64 = status.captures_rejected.values().sum();
    writeln!(text, "captures  {} accepted, {rejected} rejected", status.captures_accepted)?;
    writeln!(text, "versions  agent {}, boot {}", Visible(&status.version), Visible(&status.boot_id))
}

fn write_source(text: &mut String, source: &SourceStatus) -> fmt::Result {
    let (state, _) = source_word(source);
    write!(text, "source    {} ({}): {state}", Visible(&source.name), Visible(&source.kind))?;
    if let Some(age) = source.last_reading_age_s {
        write!(text, ", {} ago", Seconds(age))?;
    }
    if !is_driver_app(&source.kind) {
        write!(text, ", {} decoded, {} kept", source.observed, source.kept)?;
    }
    for (kind, count) in &source.faults {
        write!(text, ", {} {count}", Visible(kind))?;
    }
    writeln!(text)?;
    for (name, words) in bus_words(&source.bus) {
        writeln!(text, "          {}: {}", name.to_lowercase(), Visible(&words))?;
    }
    source.raw_tail.iter().try_for_each(|line| writeln!(text, "          | {}", Visible(line)))
}

fn write_spool(text: &mut String, status: &Status) -> fmt::Result {
    let spool = &status.spool;
    writeln!(text, "spool     {} of {} on disk", Bytes(spool.disk_bytes), Bytes(spool.quota_bytes))?;
    if let Some(free_bytes) = spool.free_bytes {
        writeln!(
            text,
            "          {} free there, at least {} to be left",
            Bytes(free_bytes),
            Bytes(spool.free_bytes_min)
        )?;
    }
    for lane in &spool.lanes {
        let (waiting, bytes) = (lane.waiting, Bytes(lane.waiting_bytes));
        writeln!(
            text,
            "          {:<9} {waiting} waiting, {bytes}, last no. {}",
            lane.lane.as_str(),
            lane.last_sequence
        )?;
    }
    writeln!(text, "          {} photos and signatures waiting", spool.blobs_waiting)
}

fn write_uplink(text: &mut String, status: &Status) -> fmt::Result {
    let uplink = &status.uplink;
    write!(text, "gateway   {}: {}", Visible(&uplink.gateway), uplink_word(uplink.state).0)?;
    match uplink.last_receipt_age_s {
        Some(age) => write!(text, ", last receipt {} ago", Seconds(age))?,
        None => write!(text, ", no receipt since the start")?,
    }
    if let Some(wait) = uplink.next_attempt_s {
        write!(text, ", next request in {}", Seconds(wait))?;
    }
    if let Some(why) = &uplink.why {
        write!(text, ", {}", Visible(why))?;
    }
    writeln!(text)?;
    for gateway in uplink.gateways.iter().filter(|gateway| gateway.url != uplink.gateway) {
        let trouble = gateway.trouble.as_deref().unwrap_or("not in use");
        writeln!(text, "          {}: {}", Visible(&gateway.url), Visible(trouble))?;
    }
    writeln!(text, "          sent today over {}", budget_words(&uplink.budget))?;
    uplink.held.iter().try_for_each(|held| writeln!(text, "          held: {}", Visible(held)))?;
    if uplink.poison.records > 0 {
        writeln!(text, "          set aside: {}", Visible(&poison_words(&uplink.poison)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::example;

    #[test]
    fn the_first_line_is_the_verdict() {
        let first = |status: &Status| render_terminal(status).lines().next().map(str::to_owned);
        assert_eq!(first(&example::healthy()).as_deref(), Some("truck-7: Everything works."));
        assert_eq!(first(&example::broken()).as_deref(), Some("truck-7: Broken: needs you now."));
    }

    #[test]
    fn every_part_of_the_page_has_its_line() {
        let text = render_terminal(&example::healthy());
        for line in [
            "clock     by satellite, right within 1.0 s",
            "source    gnss (nmea_serial): heard, 1 s ago, 15090 decoded, 1877 kept, bad_checksum 3",
            "          telemetry 20 waiting, 160 B, last no. 47999",
            "gateway   https://gateway.example:8443: up to date, last receipt 12 s ago, next request in 18 s",
            "          sent today over metered: evidence and events 79.3 KiB, telemetry 392.6 KiB of 20.0 MiB, photos 0 B",
            "trip      T-2026-1124, 3 stops",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn raw_bytes_do_not_reach_the_terminal() {
        assert!(!render_terminal(&example::broken()).contains('\u{1b}'));
    }
}
