//! A DBC file, and frames decoded by what is good in it.
//!
//! Promise tested: nothing panics, in the compiler or with any data; every fault names a line that the file has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use milepost_agent::source::can::CanId;
use milepost_agent::source::can::dbc::Database;
use milepost_agent::source::can::j1939::Address;
use milepost_agent::source::can::transport::Group;

/// What frames carry: nothing, the least, the most, and lengths between.
const PAYLOADS: [&[u8]; 5] = [&[], &[0; 8], &[0xff; 8], &[0x80, 0x01, 0x7f], &[0xa5; 64]];

fuzz_target!(|file: &[u8]| {
    let (database, faults) = Database::parse(file);
    let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    assert!(faults.iter().all(|fault| fault.line <= lines), "{faults:?}");
    for message in database.messages() {
        assert_eq!(database.find(message.id), Some(message));
        if let CanId::Extended(id) = message.id {
            let Address { pgn, source, .. } = Address::from_id(id);
            assert!(database.find_group(&Group { pgn, source, data: &[0; 16] }).is_some());
        }
        for data in PAYLOADS {
            message.values(data).for_each(drop);
            let _is_unknown = message.is_unknown_page(data);
        }
    }
});
