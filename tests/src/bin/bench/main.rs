//! `cargo xtask bench NAME`: benchmarks of the whole system. Each prints lines `figure: value unit`.
//!
//! Promise: what is measured are the release binaries over real sockets and real files; nothing here passes or fails by
//! time. Machines differ: quote a figure with its machine, and compare within one run.

mod can;
mod corpus;
mod custody;
mod e2e;
mod figure;
mod j1939;
mod nmea;
mod obd;
mod peers;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("can") => can::run().and_then(|()| j1939::run()).and_then(|()| obd::run()),
        Some("custody") => custody::run(),
        Some("e2e") => e2e::run(),
        Some("nmea") => nmea::run(),
        Some("peers") => peers::run(),
        // One of the processes that are compared, started by the benchmark itself.
        Some("peer") => peers::run_peer(&words[1..]),
        Some(other) => bail!("there is no benchmark {other:?}; there are can, custody, e2e, nmea and peers"),
        None => bail!("name a benchmark: can, custody, e2e, nmea or peers"),
    }
}
