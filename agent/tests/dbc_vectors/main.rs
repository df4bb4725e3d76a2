//! DBC files in service, and what cantools makes of them.
//!
//! Promise: all of it is equal, and what cantools refuses has its line and mend here. The corpus is no part of the
//! project; without it the test says so.

use std::path::{Path, PathBuf};

use milepost_agent::source::can::dbc::Database;

mod score;

#[test]
fn every_value_is_what_cantools_makes_of_it() {
    let Some(folder) = vectors() else { return };
    let score = score::score(&folder);
    eprintln!("{} of {} values equal", score.equal, score.compared);
    let first = &score.differences[..score.differences.len().min(20)];
    assert!(first.is_empty(), "{first:#?}");
    assert!(score.compared > 55_000, "the corpus is incomplete");
}

#[test]
fn recorded_vehicles_are_what_cantools_makes_of_them() {
    let Some(folder) = vectors() else { return };
    let score = score::score_logs(folder.parent().expect("in a folder"));
    eprintln!("{} of {} values of recorded vehicles equal", score.equal, score.compared);
    let first = &score.differences[..score.differences.len().min(20)];
    assert!(first.is_empty(), "{first:#?}");
    assert!(score.compared > 100_000, "the corpus is incomplete");
}

/// The files cantools refuses: in its strict mode, or in any (marked `!`). The messages that are good, how many mistakes
/// there are, and the line and words of the first.
const REFUSED: [(&str, usize, usize, usize, &str); 14] = [
    (
        "canmatrix__test_frame_decoding",
        4,
        2,
        21,
        "muxTestFrame.muxSig8 and muxTestFrame.muxSig7 (line 20) use the same bits",
    ),
    (
        "cantools__bad_message_length",
        1,
        1,
        40,
        "Message1.Signal1 ends in byte 2 of a message of 1; correct the length or",
    ),
    (
        "!cantools__issue_199",
        0,
        11,
        45,
        "DriverDoorStatus: identifier 274923520 has more than 11 bits; for an extended",
    ),
    (
        "!cantools__issue_199_extended",
        0,
        11,
        45,
        "DriverDoorStatus: identifier 4294967295 has more than 29 bits (bit 31",
    ),
    (
        "!opendbc__chrysler_cusw",
        24,
        2,
        182,
        "BSM_LEFT: identifier 103596083 has more than 11 bits; for an extended frame",
    ),
    ("!opendbc__fca_giorgio", 36, 1, 228, "CAM_UNKNOWN_6: identifier 506855454 has more than 11 bits; for an extended"),
    (
        "opendbc__hongqi_hs5",
        16,
        1,
        114,
        "ABS_3.DRIVER_BRAKE_PRESSURE and ABS_3.NEW_SIGNAL_5 (line 113) use the same bits",
    ),
    (
        "opendbc__hyundai_i30_2014",
        32,
        6,
        278,
        "EMS2.CAN_VERS and EMS2.TQ_STND (line 277) use the same bits; correct one",
    ),
    ("opendbc__mazda_3_2019", 59, 2, 310, "CAM_KEEP_ALIVE_1.NEW_SIGNAL_4 ends in byte 10 of a message of 8; correct"),
    (
        "!opendbc__tesla_can",
        44,
        1,
        783,
        "message UI_driverAssistRoadSign has no signal UI_mapSpeedLimit; correct the name",
    ),
    (
        "!opendbc__toyota_2017_ref_pt",
        111,
        32,
        387,
        "BDB1F01_14: identifier 1075054137 has more than 11 bits; correct it",
    ),
    ("opendbc__vw_mqb", 113, 2, 91, "PLA_01.PLA_Bremsverzoegerung and PLA_01.PLA_Bremsmoment (line 90) use the same"),
    ("!opendbc__vw_mqbevo", 126, 10, 1333, "CAMERA_NEW_6: identifier 316495015 has more than 11 bits; for an extended"),
    (
        "opendbc__vw_pq",
        86,
        26,
        171,
        "Slave_1.Timeout_Bremsenbotschaft and Slave_1.Indiziertes_Istmoment__Slave_ (line 170)",
    ),
];

#[test]
fn what_cantools_refuses_has_its_line_and_its_mend() {
    let Some(folder) = vectors() else { return };
    for (name, messages, count, line, words) in REFUSED {
        let path = folder.join(name.trim_start_matches('!')).with_extension("dbc");
        let (database, faults) = Database::parse(&std::fs::read(path).expect("file"));
        assert_eq!((database.messages().len(), faults.len()), (messages, count), "{name}: {faults:#?}");
        let first = faults.first().expect("counted");
        assert!(first.line == line && first.message.contains(words), "{name}: {first:?}");
    }
}

#[test]
fn a_file_that_cantools_takes_has_no_mistake() {
    let Some(folder) = vectors() else { return };
    for path in score::files(&folder) {
        let name = path.file_stem().expect("name").display().to_string();
        if REFUSED.iter().any(|(refused, ..)| refused.trim_start_matches('!') == name) {
            continue;
        }
        let (_, faults) = Database::parse(&std::fs::read(path).expect("file"));
        assert_eq!(faults, [], "{name}");
    }
}

/// The corpus, where somebody put one beside the project.
fn vectors() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = folders.map(|folder| folder.join("shared/data/can/dbcvectors")).find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no shared data");
    }
    found
}
