//! A serial line without hardware: a pseudo-terminal.
//!
//! Promise: what is written to the master is read from the slave byte for byte (raw mode, no echo), through the same
//! code that reads a real line. Recordings are fed through it, and tests plug and unplug it.

use std::fs::File;
use std::path::PathBuf;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A pair of ends. The slave vanishes when the master is dropped.
#[derive(Debug)]
pub struct Pty {
    /// The receiver's end.
    pub master: File,
    /// The path the agent opens.
    pub slave: PathBuf,
}

impl Pty {
    /// A new pair in raw mode.
    ///
    /// # Errors
    /// When the system gives no pseudo-terminal.
    pub fn open() -> std::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let mut modes = tcgetattr(&master)?;
        modes.make_raw();
        tcsetattr(&master, OptionalActions::Now, &modes)?;
        let slave = ptsname(&master, Vec::new())?;
        Ok(Self { master: File::from(master), slave: PathBuf::from(slave.to_string_lossy().into_owned()) })
    }
}
