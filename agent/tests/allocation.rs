//! Decoding costs no memory per sentence and per frame.
//!
//! Promise: after warm-up, neither a receiver's sentences, good or damaged, nor frames of the bus allocate anything, nor do
//! the questions asked on it.

use std::path::Path;

use milepost_agent::source::can::obd::poll::{Addressing, PollPlan, Poller, Quantity, Tally};
use milepost_agent::source::can::{self, Frame, FrameBody, candump};
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

/// What a unit answers to the question that begins so.
const ANSWERS: [([u8; 2], &str); 4] = [
    ([0x01, 0x00], "(1.0) can0 7E8#0641000008000000"),
    ([0x01, 0x0d], "(1.0) can0 7E8#03410D5A00000000"),
    ([0x09, 0x00], "(1.0) can0 7E8#0649004000000000"),
    // The first of several frames, which is let through.
    ([0x09, 0x02], "(1.0) can0 7E8#1014490201315850"),
];

#[test]
fn a_bus_that_is_asked_costs_no_more() {
    let log = recording("j1939.log");
    let frame = |line: &[u8]| candump::parse(line).map(|line| line.frame);
    let frames: Vec<Frame> = log.split(|byte| *byte == b'\n').filter_map(frame).collect();
    let answers = ANSWERS.map(|(question, line)| (question, frame(line.as_bytes()).expect("a line")));
    let answer = |question: &Frame| {
        let FrameBody::Data(data) = &question.body else { return None };
        let asked = data.as_bytes().get(1..3)?;
        answers.iter().find(|(question, _)| asked == question).map(|(_, answer)| *answer)
    };
    let every_s = vec![(Quantity::Parameter(0x0d), 1), (Quantity::Vin, 1), (Quantity::J1939Vin, 1)];
    let (mut poller, mut now_ms) = (Poller::new(&PollPlan { addressing: Addressing::Standard, every_s }, 0), 0);
    let cost = allocation_counter::measure(|| {
        for frame in &frames {
            now_ms += 1;
            poller.handle_frame(frame, now_ms);
            while let Some(answer) = poller.poll_output(now_ms).as_ref().and_then(answer) {
                poller.handle_frame(&answer, now_ms);
            }
        }
    });
    let Tally { answers, timeouts, .. } = poller.tally();
    assert!(answers >= 6 && timeouts >= 1, "{answers} answers, {timeouts} in vain");
    assert_eq!(cost.count_total, 0);
}
