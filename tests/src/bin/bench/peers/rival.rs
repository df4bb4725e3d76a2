//! What every rival can do: take records in while the centre is down, hand them over when it is up, and be killed.

use super::process::Usage;

/// A rival in a scratch folder of its own.
pub(crate) trait Rival {
    /// Takes records in, up to `all`, and returns once `accepted_min` of them are accepted.
    fn fill(&mut self, accepted_min: u32, all: u32) -> anyhow::Result<()>;
    /// Kills (-9) what holds the records, and starts it again.
    fn crash(&mut self) -> anyhow::Result<()>;
    /// Brings up the line to the centre.
    fn connect(&mut self) -> anyhow::Result<()>;
    /// How many records arrived, repeats included.
    fn arrived(&mut self) -> anyhow::Result<u32>;
    /// The number of each record that arrived.
    fn numbers(&mut self) -> anyhow::Result<Vec<u32>>;
    /// Records that were accepted and that a crash took, though they were made again afterwards.
    fn forgotten(&self) -> u32 {
        0
    }
    /// What the vehicle's end used so far.
    fn usage(&self) -> Usage;
    /// Bytes on the line, both ways.
    fn wire_bytes(&self) -> u64;
}
