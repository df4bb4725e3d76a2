//! Bytes of a CAN adapter on a serial line.
//!
//! Promise tested: nothing panics, and the bytes may come in any pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::fault::Faults;
use milepost_agent::source::slcan::framer::{Framer, Said};

fuzz_target!(|bytes: &[u8]| {
    let whole = said([bytes].into_iter());
    assert_eq!(whole, said(bytes.chunks(3)), "pieces must not matter");
});

fn said<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Said>, u64) {
    let (mut framer, mut faults, mut said) = (Framer::default(), Faults::default(), Vec::new());
    for piece in pieces {
        framer.push(piece, &mut faults, |heard| said.push(heard));
    }
    (said, faults.total())
}
