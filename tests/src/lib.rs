//! The whole Milepost system under test: real binaries, real sockets, real files, real services.
//!
//! Promise: a test that uses this crate starts what it needs in a scratch folder on free loopback ports, and leaves
//! neither a process nor a file behind. What it needs and does not find it names, with the command that provides it.

pub mod chance;
pub mod driver;
pub mod guest;
pub mod house;
pub mod journal;
pub mod kill_at_write;
pub mod kill_run;
pub mod live_drive;
pub mod lossy_proxy;
pub mod power_cut;
pub mod preload;
pub mod program;
pub mod pty;
pub mod wait;
pub mod world;
