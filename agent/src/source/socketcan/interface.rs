//! Opening a CAN interface, and saying what is in the way.
//!
//! Promise: nothing is sent by opening it. The socket receives the kernel's reports about the bus
//! and stamps of arrival, and its buffer is as large as the system allows, because a full bus sends a frame every 125 µs.

use std::io;

use rustix::io::Errno;
use socketcan::{CanFdSocket, Socket as _, SocketOptions as _};

use crate::source::reopening::Patience;

/// Wanted buffer: about ten thousand frames, for the kernel accounts for more than their bytes.
const BUFFER_BYTES: i32 = 8 << 20;

/// `asm-generic/socket.h`, as on ARM and x86.
const SOL_SOCKET: i32 = 1;
const SO_RCVBUFFORCE: i32 = 33;
/// `linux/can/raw.h`.
const SOL_CAN_RAW: i32 = 101;
const CAN_RAW_FD_FRAMES: i32 = 5;

/// Which interface, and how.
#[derive(Debug, Clone)]
pub struct CanInterface {
    /// Its name, such as `can0`.
    pub name: String,
    /// Whether CAN FD frames are received as well.
    pub fd: bool,
    /// How patient to be when it is lost.
    pub patience: Patience,
}

impl CanInterface {
    /// An interface, with the usual patience.
    #[must_use]
    pub fn new(name: &str, fd: bool) -> Self {
        Self { name: name.to_owned(), fd, patience: Patience::default() }
    }

    /// Opens it.
    ///
    /// # Errors
    /// What is in the way and what to do about it, in a sentence.
    pub fn open(&self) -> Result<CanFdSocket, String> {
        let socket = CanFdSocket::open(&self.name).and_then(|socket| self.prepare(socket));
        socket.map_err(|error| self.trouble(&error))
    }

    fn prepare(&self, socket: CanFdSocket) -> io::Result<CanFdSocket> {
        socket.set_socket_option_int(SOL_CAN_RAW, CAN_RAW_FD_FRAMES, self.fd.into())?;
        socket.set_error_filter_accept_all()?;
        socket.set_recv_timestamp(true)?;
        // Beyond the system's limit takes a privilege that the agent does not need otherwise.
        if socket.set_socket_option_int(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES).is_err() {
            socket.as_raw_socket().set_recv_buffer_size(BUFFER_BYTES.unsigned_abs() as usize)?;
        }
        socket.set_nonblocking(true)?;
        // An interface that is down lets itself be opened, and leaves word that it is.
        socket.as_raw_socket().take_error()?.map_or(Ok(socket), Err)
    }

    /// Why it cannot be opened, or no longer be read.
    pub(super) fn trouble(&self, error: &io::Error) -> String {
        let name = &self.name;
        match Errno::from_io_error(error) {
            Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => no_can(name),
            Some(Errno::NODEV | Errno::NXIO) if !kernel_has_can() => no_can(name),
            Some(Errno::NODEV | Errno::NXIO) => {
                format!("there is no CAN interface {name}; plug its adapter in, or name one that `ip link` shows")
            }
            Some(Errno::NETDOWN) => format!(
                "{name} is down; start it, for example: ip link set {name} up type can bitrate 250000 listen-only on"
            ),
            Some(Errno::PERM | Errno::ACCESS) => {
                format!("{name} may not be opened ({error}); allow the agent's unit the address family AF_CAN")
            }
            _ => format!("{name} cannot be read: {error}"),
        }
    }
}

fn kernel_has_can() -> bool {
    // Interface 0 is all of them, even if there are none.
    CanFdSocket::open_iface(0).is_ok()
}

fn no_can(name: &str) -> String {
    format!("{name} cannot be opened: this kernel has no CAN; load it (modprobe can_raw) or use a kernel built with it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether or not the kernel that runs the tests has CAN.
    #[test]
    fn an_interface_that_is_not_there_is_named_with_a_mend() {
        let why = CanInterface::new("nocan7", true).open().expect_err("not there");
        assert!(why.contains("nocan7") && (why.contains("plug its adapter in") || why.contains("modprobe")), "{why}");
        assert_eq!(why.contains("modprobe"), !kernel_has_can(), "{why}");
    }

    #[test]
    fn a_network_interface_that_is_no_can_interface_is_refused() {
        let why = CanInterface::new("lo", false).open().expect_err("no CAN interface");
        assert!(why.contains("lo") && why.contains(';'), "{why}");
    }

    #[test]
    fn each_trouble_has_its_mend() {
        let interface = CanInterface::new("can0", false);
        for (errno, mend) in
            [(Errno::AFNOSUPPORT, "modprobe can_raw"), (Errno::NETDOWN, "ip link set can0 up"), (Errno::PERM, "AF_CAN")]
        {
            let why = interface.trouble(&errno.into());
            assert!(why.contains(mend) && why.contains("can0"), "{why}");
        }
    }
}
