//! The status page: a phone in the yard, one minute, a truck that must leave.
//!
//! Promise: the first screen says whether the vehicle is healthy and what to do if it is not; below stands every number
//! that says so. It is written on the server, reloads itself every five seconds and runs no script. Everything that
//! came from elsewhere passes through [`Escaped`].

use std::fmt::{self, Write as _};

use milepost_proto::{TimeQuality, TimeSource, Trip};

use super::quantity::{Bytes, Escaped, Seconds};
use super::verdict::{Verdict, is_driver_app, verdict};
use crate::status::{
    BudgetStatus, LaneStatus, PoisonStatus, SourceHealth, SourceStatus, SpentStatus, SpoolStatus, Status, UplinkHealth,
    UplinkStatus,
};

/// The page as HTML.
#[must_use]
pub fn status_page(status: &Status) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut page, status);
    page
}

fn write_page(page: &mut String, status: &Status) -> fmt::Result {
    let verdict = verdict(status);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"5\">\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/style.css\">\
         <title>{device}: {health}</title></head>\n<body><header><h1>{device}</h1>\
         <p>as of {now}, running for {uptime}</p></header>\n<main>",
        device = Escaped(&status.device),
        health = verdict.health.as_str(),
        now = short_time(status.now),
        uptime = Seconds(status.uptime_s),
    )?;
    write_verdict(page, &verdict)?;
    write_sources(page, &status.sources)?;
    write_position(page, status)?;
    write_uplink(page, &status.uplink)?;
    write_spool(page, &status.spool)?;
    write_trip(page, status)?;
    write_about(page, status)?;
    page.write_str("</main></body></html>\n")
}

/// `2026-11-24 10:00:00 UTC`: nobody reads milliseconds on a phone.
fn short_time(time: milepost_proto::Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).map_or(text.clone(), |seconds| format!("{} UTC", seconds.replacen('T', " ", 1)))
}

fn write_verdict(page: &mut String, verdict: &Verdict) -> fmt::Result {
    let (health, headline) = (verdict.health.as_str(), verdict.headline());
    write!(page, "<section class=\"verdict {health}\"><h2>{headline}</h2>")?;
    if !verdict.findings.is_empty() {
        page.write_str("<ul>")?;
        for finding in &verdict.findings {
            let (health, what, mend) = (finding.health.as_str(), Escaped(&finding.what), Escaped(&finding.mend));
            write!(page, "<li class=\"{health}\"><strong>{what}</strong> {mend}</li>")?;
        }
        page.write_str("</ul>")?;
    }
    page.write_str("</section>\n")
}

fn write_sources(page: &mut String, sources: &[SourceStatus]) -> fmt::Result {
    page.write_str("<section><h2>Sources</h2>")?;
    for source in sources {
        write_source(page, source)?;
    }
    page.write_str("</section>\n")
}

fn write_source(page: &mut String, source: &SourceStatus) -> fmt::Result {
    let (word, class) = source_word(source);
    write!(
        page,
        "<article><h3>{} <small>{}</small> <span class=\"state {class}\">{word}</span></h3><dl>",
        Escaped(&source.name),
        Escaped(&source.kind)
    )?;
    if let Some(why) = source.why.as_ref().filter(|_| source.state == SourceHealth::Lost) {
        row(page, "Why", why)?;
    }
    if let Some(age) = source.last_reading_age_s {
        row(page, "Last heard", format_args!("{} ago", Seconds(age)))?;
    }
    if !is_driver_app(&source.kind) {
        row(page, "Readings", format_args!("{} decoded, {} kept", source.observed, source.kept))?;
    }
    let faults: Vec<String> = source.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    super::bus_words::bus_words(&source.bus).iter().try_for_each(|(name, words)| row(page, name, words))?;
    row(page, "Faults", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") })?;
    page.write_str("</dl>")?;
    if !source.raw_tail.is_empty() {
        // Not folded away: the page reloads itself, which would fold it again under the reader's eyes.
        page.write_str("<pre>")?;
        for line in &source.raw_tail {
            writeln!(page, "{}", Escaped(line))?;
        }
        page.write_str("</pre>")?;
    }
    page.write_str("</article>")
}

/// The source's state in a word, and how bad that is.
pub(super) fn source_word(source: &SourceStatus) -> (&'static str, &'static str) {
    match source.state {
        // Between two deliveries a driver app says nothing, and that is as it should be.
        SourceHealth::Silent if is_driver_app(&source.kind) => ("open", "ok"),
        SourceHealth::Opening => ("opening", "attention"),
        SourceHealth::Silent => ("waiting", "attention"),
        SourceHealth::Heard => ("heard", "ok"),
        SourceHealth::Lost => ("lost", "broken"),
        SourceHealth::Ended => ("ended", "ok"),
    }
}

fn write_position(page: &mut String, status: &Status) -> fmt::Result {
    page.write_str("<section><h2>Position and clock</h2><dl>")?;
    match status.position {
        Some(position) => {
            row(page, "Position", format_args!("{:.5}, {:.5}", position.lat, position.lon))?;
            let age_ms = u64::try_from(status.now.millis_since(position.time)).unwrap_or(0);
            row(page, "Kept", format_args!("{} ago", Seconds(age_ms / 1_000)))?;
            if let Some(satellites) = position.satellites {
                row(page, "Satellites", satellites)?;
            }
            if let Some(hdop) = position.hdop {
                row(page, "Precision (HDOP)", format_args!("{hdop:.1}; below 2 is good"))?;
            }
        }
        None => row(page, "Position", "none yet")?,
    }
    row(page, "Clock", clock_words(status.time_quality))?;
    match status.clock.last_set_age_s {
        Some(age) => row(page, "Clock set", format_args!("{} ago", Seconds(age)))?,
        None => row(page, "Clock set", "not yet; records are dated afterwards")?,
    }
    if status.clock.steps > 0 {
        row(page, "Jumps of the system's clock", status.clock.steps)?;
    }
    page.write_str("</dl></section>\n")
}

/// The clock's quality in words.
pub(super) fn clock_words(quality: TimeQuality) -> String {
    let error_s = f64::from(quality.error_ms) / 1_000.0;
    match quality.source {
        TimeSource::Gnss => format!("by satellite, right within {error_s:.1} s"),
        TimeSource::Network => format!("by the operating system, right within {error_s:.1} s"),
        TimeSource::FreeRunning if quality.error_ms < u32::MAX => {
            format!("not synchronised, taken to be right within {:.0} min", error_s / 60.0)
        }
        TimeSource::FreeRunning => "nobody vouches for it".to_owned(),
    }
}

fn write_uplink(page: &mut String, uplink: &UplinkStatus) -> fmt::Result {
    let (word, class) = uplink_word(uplink.state);
    write!(page, "<section><h2>Gateway <span class=\"state {class}\">{word}</span></h2><dl>")?;
    row(page, "Address", &uplink.gateway)?;
    for gateway in uplink.gateways.iter().filter(|gateway| gateway.url != uplink.gateway) {
        row(page, "Also", format_args!("{}: {}", gateway.url, gateway.trouble.as_deref().unwrap_or("not in use")))?;
    }
    match uplink.last_receipt_age_s {
        Some(age) => row(page, "Last receipt", format_args!("{} ago", Seconds(age)))?,
        None => row(page, "Last receipt", "none since the start")?,
    }
    if let Some(wait) = uplink.next_attempt_s {
        row(page, "Next request", format_args!("in {}", Seconds(wait)))?;
    }
    if let Some(why) = &uplink.why {
        row(page, "Why", why)?;
    }
    if uplink.failures > 0 {
        row(page, "Failed in a row", uplink.failures)?;
    }
    row(page, "Handed over", format_args!("{} records, {} refused", uplink.settled, uplink.refused))?;
    row(page, "Sent", format_args!("{} in {} requests", Bytes(uplink.sent_bytes), uplink.requests))?;
    row(page, "Today", budget_words(&uplink.budget))?;
    for held in &uplink.held {
        row(page, "Held", held)?;
    }
    if uplink.poison.records > 0 {
        row(page, "Set aside", poison_words(&uplink.poison))?;
    }
    page.write_str("</dl></section>\n")
}

/// What was sent today over which link, in words.
pub(super) fn budget_words(budget: &BudgetStatus) -> String {
    let spent = |spent: SpentStatus| match spent.bytes_max {
        Some(bytes_max) => format!("{} of {}", Bytes(spent.bytes), Bytes(bytes_max)),
        None => Bytes(spent.bytes).to_string(),
    };
    let (urgent, telemetry, blobs) = (spent(budget.urgent), spent(budget.telemetry), spent(budget.blobs));
    format!("{}: evidence and events {urgent}, telemetry {telemetry}, photos {blobs}", budget.link.as_str())
}

/// What no gateway takes, in words.
pub(super) fn poison_words(poison: &PoisonStatus) -> String {
    let why = poison.why.as_deref().unwrap_or("no reason was kept");
    format!("{} records, {} of them evidence, {}: {why}", poison.records, poison.evidence, Bytes(poison.bytes))
}

/// The uplink's state in a word, and how bad that is.
pub(super) const fn uplink_word(state: UplinkHealth) -> (&'static str, &'static str) {
    match state {
        UplinkHealth::Idle => ("up to date", "ok"),
        UplinkHealth::Sending => ("sending", "ok"),
        UplinkHealth::Waiting => ("waiting", "attention"),
        UplinkHealth::Stopped => ("stopped", "broken"),
    }
}

fn write_spool(page: &mut String, spool: &SpoolStatus) -> fmt::Result {
    page.write_str(
        "<section><h2>Spool</h2><table><thead><tr><th>Lane</th><th>Waiting</th><th>Bytes</th><th>Oldest</th>\
         <th>Last no.</th></tr></thead><tbody>",
    )?;
    for lane in &spool.lanes {
        write_lane(page, lane)?;
    }
    page.write_str("</tbody></table><dl>")?;
    row(page, "On disk", format_args!("{} of {}", Bytes(spool.disk_bytes), Bytes(spool.quota_bytes)))?;
    if let Some(free_bytes) = spool.free_bytes {
        row(page, "Free there", format_args!("{}, at least {}", Bytes(free_bytes), Bytes(spool.free_bytes_min)))?;
    }
    row(page, "Photos and signatures", format_args!("{} waiting", spool.blobs_waiting))?;
    page.write_str("</dl></section>\n")
}

fn write_lane(page: &mut String, lane: &LaneStatus) -> fmt::Result {
    // Month to minute: a phone has no room for the rest.
    let oldest =
        lane.oldest.map_or("–".to_owned(), |time| time.to_string().get(5..16).unwrap_or("?").replace('T', " "));
    write!(
        page,
        "<tr><th>{}</th><td>{}</td><td>{}</td><td>{oldest}</td><td>{}</td></tr>",
        lane.lane,
        lane.waiting,
        Bytes(lane.waiting_bytes),
        lane.last_sequence
    )
}

fn write_trip(page: &mut String, status: &Status) -> fmt::Result {
    page.write_str("<section><h2>Trip</h2>")?;
    match &status.trip {
        Some(trip) => write_stops(page, trip)?,
        None => page.write_str("<p>No trip: captures are taken for any stop.</p>")?,
    }
    page.write_str("<dl>")?;
    let rejected: u64 = status.captures_rejected.values().sum();
    row(page, "Driver's captures", format_args!("{} accepted, {rejected} rejected", status.captures_accepted))?;
    for (code, count) in &status.captures_rejected {
        row(page, "Rejected", format_args!("{code} {count}"))?;
    }
    page.write_str("</dl></section>\n")
}

fn write_stops(page: &mut String, trip: &Trip) -> fmt::Result {
    write!(page, "<p>{}, {} stops:</p><ol>", Escaped(&trip.id), trip.stops.len())?;
    for stop in &trip.stops {
        let name = stop.name.as_deref().unwrap_or("no name");
        write!(page, "<li>{} <small>{}</small></li>", Escaped(name), Escaped(&stop.id))?;
    }
    page.write_str("</ol>")
}

fn write_about(page: &mut String, status: &Status) -> fmt::Result {
    page.write_str("<section><h2>Versions</h2><dl>")?;
    row(page, "Agent", &status.version)?;
    row(page, "Spool", &status.spool.spool_id)?;
    row(page, "Boot", &status.boot_id)?;
    page.write_str("</dl></section>\n")
}

fn row(page: &mut String, name: &str, value: impl fmt::Display) -> fmt::Result {
    write!(page, "<dt>{name}</dt><dd>{}</dd>", Escaped(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::example;
    use crate::status::{DbcStatus, WrongVehicle};

    #[test]
    fn the_verdict_comes_before_everything_else() {
        let page = status_page(&example::broken());
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not on the page"));
        assert!(at("Broken: needs you now.") < at("is gone."));
        assert!(at("it is reopened by itself") < at("<h2>Sources</h2>"));
        assert!(status_page(&example::healthy()).contains("Everything works."));
    }

    #[test]
    fn foreign_text_is_shown_but_never_markup() {
        let hostile = "<script>alert(1)</script>\"'&\u{1b}";
        let mut status = example::broken();
        status.sources[0].name = hostile.to_owned();
        status.sources[0].kind = hostile.to_owned();
        status.sources[0].why = Some(hostile.to_owned());
        status.sources[0].raw_tail = vec![hostile.to_owned()];
        status.sources[0].faults.insert(hostile.to_owned(), 1);
        status.sources[0].bus.dbc = Some(DbcStatus { first: vec![hostile.to_owned()], ..DbcStatus::default() });
        status.sources[0].bus.wrong_vehicle =
            Some(WrongVehicle { configured: hostile.to_owned(), heard: hostile.to_owned() });
        status.uplink.gateway = hostile.to_owned();
        status.uplink.why = Some(hostile.to_owned());
        status.captures_rejected.insert(hostile.to_owned(), 1);
        status.trip = example::healthy().trip;
        if let Some(trip) = &mut status.trip {
            trip.id = hostile.to_owned();
            trip.stops[0].id = hostile.to_owned();
            trip.stops[0].name = Some(hostile.to_owned());
        }
        let page = status_page(&status);
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains("\"'"));
        assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;·").count(), 20);
    }

    /// Writes the two pages where the environment asks for them, to be looked at in a browser.
    #[test]
    fn pages_are_whole_documents() {
        for (name, status) in [("healthy", example::healthy()), ("broken", example::broken())] {
            let page = status_page(&status);
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
            if let Some(folder) = std::env::var_os("MILEPOST_PAGES_FOLDER") {
                std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), page).expect("written");
            }
        }
    }
}
