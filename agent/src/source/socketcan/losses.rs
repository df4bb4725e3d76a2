//! Frames that the kernel received and nobody read.
//!
//! Promise: each is counted once. The kernel drops a frame in two places: at the socket, when its buffer is full, and
//! before it, when the whole system falls behind; both keep counters that only rise.

use std::path::PathBuf;

use socketcan::{CanFdSocket, SocketOptions as _};

/// `asm-generic/socket.h`, as on ARM and x86.
const SOL_SOCKET: i32 = 1;
const SO_MEMINFO: i32 = 55;
/// Position of the drop counter in what `SO_MEMINFO` gives, and how many numbers that has (`linux/sock_diag.h`).
const MEMINFO_DROPS: usize = 8;
const MEMINFO_NUMBERS: usize = 9;

/// The kernel's counters as they were last looked at.
#[derive(Debug)]
pub(super) struct Losses {
    interface_counter: PathBuf,
    at_socket: u32,
    at_interface: u64,
}

impl Losses {
    /// Counts from now on, for a socket that was just opened on `interface`.
    pub(super) fn new(interface: &str) -> Self {
        let interface_counter = PathBuf::from(format!("/sys/class/net/{interface}/statistics/rx_dropped"));
        let mut losses = Self { interface_counter, at_socket: 0, at_interface: 0 };
        // What happened before does not concern this socket.
        losses.at_interface = losses.read_interface().unwrap_or(0);
        losses
    }

    /// How many more were dropped since the last time.
    pub(super) fn more(&mut self, socket: &CanFdSocket) -> u64 {
        let at_socket = read_socket(socket).unwrap_or(self.at_socket);
        let at_interface = self.read_interface().unwrap_or(self.at_interface);
        self.more_than(at_socket, at_interface)
    }

    fn more_than(&mut self, at_socket: u32, at_interface: u64) -> u64 {
        // The socket's counter has 32 bits and wraps; the interface's starts again with a new interface of that name.
        let socket = at_socket.wrapping_sub(self.at_socket);
        let interface = at_interface.saturating_sub(self.at_interface);
        (self.at_socket, self.at_interface) = (at_socket, at_interface);
        u64::from(socket) + interface
    }

    fn read_interface(&self) -> Option<u64> {
        std::fs::read_to_string(&self.interface_counter).ok()?.trim().parse().ok()
    }
}

/// The socket's own counter, where the kernel tells (Linux 4.12).
fn read_socket(socket: &CanFdSocket) -> Option<u32> {
    const BYTES: usize = size_of::<u32>();
    let mut numbers = [0; MEMINFO_NUMBERS * BYTES];
    let length = socket.get_socket_option_bytes(SOL_SOCKET, SO_MEMINFO, &mut numbers).ok()?;
    let bytes = numbers.get(..length)?.get(MEMINFO_DROPS * BYTES..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_counted_once_though_counters_wrap_or_start_again() {
        let mut losses = Losses { at_socket: u32::MAX, ..Losses::new("no-such-interface") };
        let counters = [(u32::MAX, 0), (2, 5), (2, 9), (3, 1), (3, 2)];
        assert_eq!(counters.map(|(socket, interface)| losses.more_than(socket, interface)), [0, 8, 4, 1, 1]);
    }
}
