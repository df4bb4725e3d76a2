//! `cargo xtask bench NAME`: benchmarks of the whole system. Each prints lines `figure: value unit`.
//!
//! Promise: what is measured are the release binaries over real sockets and real files; nothing here passes or fails by
//! time. Machines differ: quote a figure with its machine, and compare within one run.

mod can;
mod corpus;
mod e2e;
mod figure;
mod j1939;
mod nmea;
mod obd;
mod spool;
mod wire;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("can") => can::run().and_then(|()| j1939::run()).and_then(|()| obd::run()),
        Some("e2e") => e2e::run(),
        Some("nmea") => nmea::run(),
        Some("spool") => spool::run(),
        Some("wire") => wire::run(),
        Some(other) => bail!("there is no benchmark {other:?}; there are can, e2e, nmea, spool and wire"),
        None => bail!("name a benchmark: can, e2e, nmea, spool or wire"),
    }
}
