//! Power cuts, as a disk sees them: the real agent writes to a disk whose every write and flush is logged, and the disk is
//! made again as it would be had the power gone at any moment of that log.
//!
//! ```text
//!  captures, NMEA ─► agent ─► ext4 ─► dm-log-writes ─► disk          in a kernel of its own (user-mode Linux), no
//!     each 2xx ─► mark "ack" ─────────────┘   └─► write log          privilege needed on the host
//!
//!  write log ─► disk after a cut ─► mount (journal recovery) ─► the spool, opened by the agent's own code
//! ```
//!
//! Promise: a write that was not flushed is lost, kept or torn at a sector's edge, as chance has it; nothing that was
//! answered is excused unless the gateway's own journal shows that it held it by then. Killing a process tests none of
//! this: the page cache outlives it.

pub mod account;
pub mod cut;
pub mod disk;
pub mod drive;
pub mod inspection;
pub mod mark;
pub mod rig;
pub mod survey;
pub mod tally;
pub mod write_log;

/// Where the logged disk is mounted in the guest.
pub(crate) const DISK: &str = "/run/disk";
/// The spool on that disk.
pub(crate) const SPOOL: &str = "spool.db";
/// What the gateway received, in the guest.
pub(crate) const HELD: &str = "/run/gateway.db";
/// The folder that guest and host share, in the guest.
pub(crate) const SHARED: &str = "/mnt";
