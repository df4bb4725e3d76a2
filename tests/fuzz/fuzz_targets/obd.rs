//! OBD-II answers of a few units, in one frame or several.
//!
//! Promise tested: nothing panics; every value is a number of a known parameter, and a VIN has 17 characters.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::can::CanId;
use milepost_agent::source::can::obd::{Answer, Answers, is_answer};

/// A frame's length, at most that of CAN FD.
const FRAME_BYTES_MAX: usize = 64;

fuzz_target!(|stream: &[u8]| {
    let (mut answers, mut rest) = (Answers::default(), stream);
    while let [how, others @ ..] = rest {
        // The unit in the upper bits, the length in the lower ones; 7 means the length is a byte of its own.
        let id = match how >> 3 & 0x0f {
            unit @ 0..8 => CanId::Standard(0x7e8 + u16::from(unit)),
            unit => CanId::Extended(0x18da_f100 + u32::from(unit)),
        };
        let (length, others) = match (how & 0x07, others) {
            (7, [length, others @ ..]) => (usize::from(*length) % (FRAME_BYTES_MAX + 1), others),
            (length, others) => (usize::from(length) + 2, others),
        };
        let (data, others) = others.split_at(length.min(others.len()));
        rest = others;
        assert!(is_answer(id));
        match answers.push(id, data) {
            Ok(Some(Answer::CurrentData(data))) => {
                for (pid, value) in data.values().flatten() {
                    assert!(value.is_finite(), "{}", pid.name);
                }
            }
            Ok(Some(Answer::Vin(vin))) => assert_eq!(vin.as_str().len(), 17),
            Ok(None) | Err(_) => {}
        }
    }
});
