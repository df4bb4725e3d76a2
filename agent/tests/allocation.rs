//! Decoding costs no memory per sentence and per frame.
//!
//! Promise: after warm-up, neither a receiver's sentences, good or damaged, nor frames of the bus allocate anything.

use std::path::Path;

use milepost_agent::source::can::{self, candump};
use milepost_agent::source::fault::Faults;
use milepost_agent::source::nmea::Decoder;

fn recording(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings").join(name)).expect("recording")
}

#[test]
fn a_sentence_allocates_nothing() {
    let mut bytes = recording("seattle-bus.nmea");
    bytes.extend_from_slice(b"$GPRMC,1*00\r\nnoise$GPGGA,12$PGRME,1\r\n\xff\x00$GPXXX*7B\r\n");
    let (mut decoder, mut epochs) = (Decoder::default(), 0);
    decoder.push(&bytes, |_| {});
    let cost = allocation_counter::measure(|| {
        for piece in bytes.chunks(97) {
            decoder.push(piece, |_| epochs += 1);
        }
    });
    assert!(epochs > 100, "{epochs}");
    assert!(decoder.faults().total() > 0);
    assert_eq!(cost.count_total, 0);
}

#[test]
fn a_frame_allocates_nothing() {
    let log = recording("j1939.log");
    let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
    let (mut decoder, mut faults, mut decoded) = (can::Decoder::default(), Faults::default(), 0);
    let mut pass = || {
        for line in lines.iter().filter_map(|line| candump::parse(line)) {
            match decoder.decode(&line.frame) {
                Ok(found) => decoded += usize::from(found.is_some()),
                Err(fault) => faults.count(fault),
            }
        }
    };
    pass();
    let cost = allocation_counter::measure(pass);
    assert!(decoded > 100, "{decoded}");
    assert_eq!(cost.count_total, 0);
}
