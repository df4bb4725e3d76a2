//! `cargo xtask bench NAME`: benchmarks of the whole system. Each prints lines `figure: value unit`.
//!
//! Promise: what is measured are the release binaries over real sockets and real files; nothing here passes or fails by
//! time. Machines differ: quote a figure with its machine, and compare within one run.

mod can;
mod corpus;
mod custody;
mod custody_simulated;
mod drain;
mod e2e;
mod figure;
mod ingest;
mod j1939;
mod nmea;
mod obd;
mod peers;
mod spool;
mod track;
mod wire;

use anyhow::{Context as _, bail};

/// Runs one benchmark.
type Run = fn() -> anyhow::Result<()>;

/// Every benchmark by its name.
const BENCHMARKS: [(&str, Run); 9] = [
    ("can", || can::run().and_then(|()| j1939::run()).and_then(|()| obd::run())),
    ("custody", || custody::run().and_then(|()| custody_simulated::run_all(&arguments()))),
    ("drain", drain::run),
    ("e2e", e2e::run),
    ("ingest", ingest::run),
    ("nmea", nmea::run),
    ("peers", peers::run),
    ("spool", spool::run),
    ("wire", wire::run),
];

/// What follows the benchmark's name.
fn arguments() -> Vec<String> {
    std::env::args().skip(2).collect()
}

fn main() -> anyhow::Result<()> {
    let names = BENCHMARKS.map(|(name, _)| name).join(", ");
    let name = std::env::args().nth(1).with_context(|| format!("name a benchmark: {names}"))?;
    if name == "peer" {
        // One of the processes that are compared, started by the benchmark itself.
        return peers::run_peer(&arguments());
    }
    match BENCHMARKS.iter().find(|(of, _)| *of == name) {
        Some((_, run)) => run(),
        None => bail!("there is no benchmark {name:?}; there are {names}"),
    }
}
