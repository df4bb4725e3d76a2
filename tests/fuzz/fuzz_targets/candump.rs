//! Lines of a candump log, and what the tables make of their frames.
//!
//! Promise tested: nothing panics, whatever a line holds; every value that is given is a number.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::can::{Observer, candump};
use milepost_agent::source::fault::Faults;
use milepost_proto::Reading;

fuzz_target!(|log: &[u8]| {
    let (mut observer, mut faults) = (Observer::default(), Faults::default());
    for line in log.split(|byte| *byte == b'\n').filter_map(candump::parse) {
        observer.observe(&line.frame, &mut faults, |reading| {
            if let Reading::Signal(signal) = reading {
                assert!(signal.value.is_finite(), "{signal:?}");
            }
        });
    }
});
