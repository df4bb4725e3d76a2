//! Frames of the transport protocol between a few units.
//!
//! Promise tested: nothing panics, and a group that comes out has the length and the bytes that were sent for it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::can::j1939::Address;
use milepost_agent::source::can::transport::{CONTROL_PGN, DATA_PGN, Transport};

/// Kind and route in one byte, then a frame's data: few units, so that transfers meet.
const STEP_BYTES: usize = 9;
/// 255 packets of seven bytes.
const GROUP_BYTES_MAX: usize = 1_785;

fuzz_target!(|steps: &[u8]| {
    let mut transport = Transport::default();
    for step in steps.chunks(STEP_BYTES) {
        let [how, data @ ..] = step else { continue };
        let destination = if how & 0x08 == 0 { None } else { Some(how >> 4 & 0x07) };
        let pgn = if how & 0x80 == 0 { DATA_PGN } else { CONTROL_PGN };
        let address = Address { priority: 7, pgn, source: how & 0x07, destination };
        if let Ok(Some(group)) = transport.push(address, data) {
            assert!((9..=GROUP_BYTES_MAX).contains(&group.data.len()));
            assert_eq!(group.source, address.source);
            let tail = (group.data.len() - 1) % 7 + 1;
            let packet = data[1..].to_vec();
            let repeated = destination.is_some();
            assert!(repeated || group.data.ends_with(&packet[..tail]), "a broadcast ends with its last packet");
        }
    }
});
