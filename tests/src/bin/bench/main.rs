//! `cargo xtask bench NAME`: benchmarks of the whole system. Each prints lines `figure: value unit`.
//!
//! Promise: what is measured are the release binaries over real sockets and real files; nothing here passes or fails by
//! time. Machines differ: quote a figure with its machine, and compare within one run.

mod can;
mod e2e;
mod figure;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("can") => can::run(),
        Some("e2e") => e2e::run(),
        Some(other) => bail!("there is no benchmark {other:?}; there are can and e2e"),
        None => bail!("name a benchmark: can or e2e"),
    }
}
