//! OBD-II answers of a few units, in one frame or several, while they are asked.
//!
//! Promise tested: nothing panics; every value is a number of a known parameter, and a VIN has 17 characters. Whatever is
//! answered, no more is asked than a question a pause, and each is answered or given up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::can::obd::poll::{Addressing, PAUSE_MS, PollPlan, Poller, Quantity, Tally};
use milepost_agent::source::can::{CanId, Data, Frame, FrameBody};
use milepost_agent::source::can::obd::{Answer, Answers, is_answer};

/// A frame's length, at most that of CAN FD.
const FRAME_BYTES_MAX: usize = 64;

fuzz_target!(|stream: &[u8]| {
    let (mut answers, mut rest) = (Answers::default(), stream);
    let quantities = [Quantity::Parameter(0x0d), Quantity::Parameter(0x2f), Quantity::Vin, Quantity::J1939Vin];
    let every_s = quantities.map(|quantity| (quantity, 1)).to_vec();
    let (mut poller, mut now_ms) = (Poller::new(&PollPlan { addressing: Addressing::Standard, every_s }, 0), 0);
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
        now_ms += u64::from(*how);
        let mut frame = Data::EMPTY;
        assert!(data.iter().all(|byte| frame.push(*byte)));
        poller.handle_frame(&Frame { id, body: FrameBody::Data(frame) }, now_ms);
        while poller.poll_output(now_ms).is_some() {}
        let Tally { requests, answers: answered, timeouts } = poller.tally();
        assert!(requests <= 1 + now_ms / PAUSE_MS && answered + timeouts <= requests);
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
