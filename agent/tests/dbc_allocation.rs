//! Decoding by a DBC file costs no memory per frame.
//!
//! Promise: finding a frame's message and reading all its signals (scaled, signed, float, multiplexed, with texts, and
//! those that have no value) allocates nothing, nor does putting a group of several frames together, after the first.

use milepost_agent::source::can::CanId;
use milepost_agent::source::can::dbc::Database;
use milepost_agent::source::can::transport::{self, Transport};

const FILE: &str = r#"BO_ 500 Lamp: 8 X
 SG_ Level : 7|12@0- (-0.5,3) [0|0] "%" X
 SG_ Mode : 16|2@1+ (1,0) [0|3] "" X
BO_ 501 Pages: 8 X
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m0 : 16|16@1+ (1,0) [0|0] "" X
 SG_ B m1 : 16|32@1- (1,0) [0|0] "" X
BO_ 2566844926 CCVS: 8 X
 SG_ Speed : 8|16@1+ (0.00390625,0) [0|250.996] "km/h" X
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
VAL_ 500 Mode 0 "off" 1 "on" ;
SIG_VALTYPE_ 501 B : 1;
"#;

#[test]
fn a_frame_allocates_nothing() {
    let (database, faults) = Database::parse(FILE.as_bytes());
    assert_eq!(faults, []);
    let ids = [CanId::Standard(500), CanId::Standard(501), CanId::Standard(502), CanId::Extended(0x18FE_F100)];
    let (mut values, mut texts, mut faults) = (0, 0, 0);
    let cost = allocation_counter::measure(|| {
        for n in 0..4_u8 {
            for length in [8, 2] {
                let data = [n, 0xff, n, 1, 0x80, 0x3f, n, n];
                for message in ids.iter().filter_map(|id| database.find(*id)) {
                    faults += usize::from(message.is_unknown_page(&data[..length]));
                    for (_, sample) in message.values(&data[..length]) {
                        values += usize::from(sample.is_ok());
                        faults += usize::from(sample.is_err());
                        texts += usize::from(sample.is_ok_and(|sample| sample.text.is_some()));
                    }
                }
            }
        }
    });
    assert!(values > 20 && texts > 1 && faults > 5, "{values} values, {texts} texts, {faults} faults");
    assert_eq!(cost.count_total, 0);
}

#[test]
fn a_group_of_several_frames_allocates_nothing() {
    let (database, faults) = Database::parse(b"BO_ 2566848766 G: 10 X\n SG_ Last : 72|8@1+ (0.5,10) [0|0] \"kPa\" X\n");
    assert_eq!(faults, []);
    let frames: [(u32, [u8; 8]); 3] = [
        (0x1CEC_FF00, [32, 10, 0, 2, 0xff, 0, 0xff, 0]),
        (0x1CEB_FF00, [1, 1, 2, 3, 4, 5, 6, 7]),
        (0x1CEB_FF00, [2, 8, 9, 10, 0xff, 0xff, 0xff, 0xff]),
    ];
    let (mut transport, mut values) = (Transport::default(), Vec::with_capacity(8));
    let mut pass = || {
        for (id, data) in &frames {
            let address = transport::address(CanId::Extended(*id)).expect("of a transfer");
            if let Ok(Some(group)) = transport.push(address, data) {
                let message = database.find_group(&group).expect("of the file");
                values.extend(message.values(group.data).filter_map(|(_, sample)| Some(sample.ok()?.value)));
            }
        }
    };
    pass();
    let cost = allocation_counter::measure(pass);
    assert_eq!((values, cost.count_total), (vec![15.0, 15.0], 0));
}
