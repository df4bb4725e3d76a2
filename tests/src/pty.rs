//! Pseudo terminals that stand in for serial devices.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Opens a pseudo terminal in raw mode whose other end appears as `device`. Gives the receiver's end, and the device held
/// open, so that it stays plugged in while nobody else reads it.
///
/// # Errors
/// When the system gives none, or `device` is there already.
pub fn open(device: &Path) -> anyhow::Result<(OwnedFd, File)> {
    let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let path = PathBuf::from(name.to_str().context("the pseudo terminal has an odd name")?);
    let slave = File::options().read(true).write(true).open(&path)?;
    let mut modes = rustix::termios::tcgetattr(&slave)?;
    modes.make_raw();
    rustix::termios::tcsetattr(&slave, rustix::termios::OptionalActions::Now, &modes)?;
    std::os::unix::fs::symlink(path, device)?;
    Ok((master, slave))
}
