//! What gpsd sends.
//!
//! Promise tested: nothing panics, the bytes may come in any pieces, and no position lies outside the world.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::gpsd::{Decoder, Epoch};

fuzz_target!(|bytes: &[u8]| {
    let whole = epochs([bytes].into_iter());
    assert_eq!(whole, epochs(bytes.chunks(11)), "pieces must not matter");
    for position in whole.iter().filter_map(|epoch| epoch.position.as_ref()) {
        assert!(position.lat_deg().abs() <= 90.0 && position.lon_deg().abs() <= 180.0, "{position:?}");
    }
});

fn epochs<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Epoch> {
    let (mut decoder, mut epochs) = (Decoder::new(None), Vec::new());
    for piece in pieces {
        decoder.push(piece, |epoch| epochs.push(epoch));
    }
    epochs.extend(decoder.flush());
    epochs
}
