//! What runs inside the power-cut rig's kernel: the run, and the look at every cut of it. Started by the rig alone.

use anyhow::{Context as _, bail};
use system_tests::power_cut::{drive, inspection};

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("drive") => drive::run(),
        Some("inspect") => {
            let seed = words.next().context("inspect needs a seed")?.parse()?;
            println!("{}", inspection::run(seed)?.to_json());
            Ok(())
        }
        other => bail!("power-cut drive, or power-cut inspect SEED; not {other:?}"),
    }
}
