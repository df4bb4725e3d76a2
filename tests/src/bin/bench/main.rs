//! `cargo xtask bench NAME`: benchmarks of the whole system. Each prints lines `figure: value unit`.
//!
//! Promise: what is measured are the release binaries over real sockets and real files; nothing here passes or fails by
//! time. Machines differ: quote a figure with its machine, and compare within one run.

mod can;
mod corpus;
mod drain;
mod e2e;
mod figure;
mod ingest;
mod j1939;
mod nmea;
mod obd;
mod track;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("can") => can::run().and_then(|()| j1939::run()).and_then(|()| obd::run()),
        Some("drain") => drain::run(),
        Some("e2e") => e2e::run(),
        Some("ingest") => ingest::run(),
        Some("nmea") => nmea::run(),
        Some(other) => bail!("there is no benchmark {other:?}; there are can, drain, e2e, ingest and nmea"),
        None => bail!("name a benchmark: can, drain, e2e, ingest or nmea"),
    }
}
