//! Free TCP ports on loopback for private services.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// `N` different ports that nobody listened on a moment ago. Another process may still take one first; the service that
/// wanted it then fails to start and says so.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    // All are held at once, or the system might hand out the same one twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port on loopback")?;
        *port = listener.local_addr().context("failed to read back a free port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_different_and_can_be_listened_on() {
        let mut ports = free::<8>().expect("loopback has free ports");
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("still free");
        }
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] < pair[1]), "{ports:?}");
    }
}
