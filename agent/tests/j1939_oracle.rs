//! Recorded trucks against what independent decoders make of them.
//!
//! Promise: engine speed and wheel-based speed equal cantools in every frame where the sender gives a value, and what
//! canboat knows of the same groups is equal to its printed digits. cantools does not mask codes that are no values; those
//! must be absent here. Transfers of several frames, also as a DBC file reads them, trouble codes and lamps are equal, and
//! none is found that the oracle
//! does not have.

#[path = "corpus/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use milepost_agent::decode;
use milepost_agent::source::can::dbc::Database;
use milepost_agent::source::can::j1939::Address;
use milepost_agent::source::can::transport::{CONTROL_PGN, DATA_PGN, Transport};
use milepost_agent::source::can::trouble_code::{Lamp, ListKind};
use milepost_agent::source::can::{CanId, Decoded, Decoder, Frame, FrameBody, candump};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct CantoolsRow {
    i: usize,
    signals: BTreeMap<String, f64>,
    raw: BTreeMap<String, f64>,
}

/// Our name, the oracle's, and the largest raw value that is one.
const CANTOOLS_SIGNALS: [(&str, &str); 2] =
    [("EngSpeed", "EngineSpeed"), ("WheelBasedVehicleSpeed", "WheelBasedVehicleSpeed")];
const RAW_MAX: f64 = 64_255.0;

#[test]
fn speeds_equal_cantools_in_every_frame() {
    let Some(root) = files::shared_data() else { return };
    let mut compared = BTreeMap::from(CANTOOLS_SIGNALS.map(|(ours, _)| (ours, 0)));
    for log in files::logs(&root.join("can/j1939")) {
        let found = signals(&frames(&log));
        for row in gunzip_rows::<CantoolsRow>(&log.with_extension("dbc.jsonl.gz")) {
            for (ours, theirs) in CANTOOLS_SIGNALS {
                let Some(value) = row.signals.get(theirs) else { continue };
                let value = (row.raw[theirs] <= RAW_MAX).then_some(*value);
                assert_eq!(found[row.i].get(ours).copied(), value, "{} frame {}", log.display(), row.i);
                *compared.entry(ours).or_default() += 1;
            }
        }
    }
    eprintln!("equal to cantools: {compared:?}");
    assert!(compared.values().all(|count| *count > 100), "the corpus is incomplete");
}

#[derive(Deserialize)]
struct CanboatRow {
    i: usize,
    pgn: u32,
    fields: BTreeMap<String, serde_json::Value>,
}

/// Group, canboat's field, our signal, our units in one of canboat's, and half of canboat's last printed digit.
///
/// Left out, because canboat reads them unlike the standard and unlike cantools: torques (as signed bytes without offset)
/// and the oil temperature (8.7 degrees lower). It does not know CCVS.
const CANBOAT_FIELDS: [(u32, &str, &str, f64, f64); 11] = [
    (61443, "Accelerator Pedal Position 1", "AccelPedalPos1", 1.0, 0.05),
    (61443, "Engine Percent Load At Current Speed", "EngPercentLoadAtCurrentSpeed", 1.0, 0.0),
    (61444, "Engine RPM", "EngSpeed", 1.0, 0.1),
    (65253, "Engine Total Hours of Operation", "EngTotalHoursOfOperation", 1.0 / 3_600.0, 0.5),
    (65262, "Engine Coolant Temp", "EngCoolantTemp", 1.0, 0.0),
    (65262, "Engine Fuel Temp 1", "EngFuelTemp1", 1.0, 0.0),
    (65266, "Fuel Rate", "EngFuelRate", 1.0, 0.005),
    (65266, "Average Fuel Economy", "EngAverageFuelEconomy", 1.0, 0.000_5),
    (65266, "Throttle Position", "EngThrottleValve1Pos1", 1.0, 0.05),
    (65269, "Barometric Pressure", "BarometricPress", 100.0, 0.000_5),
    (65271, "Battery Voltage", "BatteryPotential", 1.0, 0.005),
];

#[test]
fn values_equal_canboat_to_its_printed_digits() {
    let Some(root) = files::shared_data() else { return };
    let mut compared = BTreeMap::new();
    for log in files::logs(&root.join("can/j1939")) {
        let found = signals(&frames(&log));
        for row in gunzip_rows::<CanboatRow>(&log.with_extension("canboat.jsonl.gz")) {
            for (_, theirs, ours, units, half_digit) in CANBOAT_FIELDS.iter().filter(|field| field.0 == row.pgn) {
                let value =
                    row.fields.get(*theirs).map(|field| field["value"].as_f64().or(field.as_f64()).expect("number"));
                let value = value.map(|value| value * units);
                let equal = match (found[row.i].get(ours), value) {
                    (Some(found), Some(value)) => (found - value).abs() <= half_digit * units + 1e-9,
                    (found, value) => found.is_none() && value.is_none(),
                };
                let at = format!("{} frame {} {ours}", log.display(), row.i);
                assert!(equal, "{at}: {:?}, canboat {value:?}", found[row.i].get(ours));
                *compared.entry(*ours).or_insert(0) += 1;
            }
        }
    }
    eprintln!("equal to canboat: {compared:?}");
    assert_eq!(compared.len(), CANBOAT_FIELDS.len(), "the corpus is incomplete");
}

#[derive(Deserialize)]
struct TransferRow {
    last: usize,
    sa: u8,
    pgn: u32,
    data: String,
    status: String,
}

#[test]
fn transfers_of_several_frames_are_equal() {
    let Some(root) = files::shared_data() else { return };
    let mut compared = BTreeMap::new();
    for log in files::logs(&root.join("can/j1939")) {
        let rows: Vec<TransferRow> = rows_beside(&log, "tp.jsonl");
        let complete = rows.iter().filter(|row| row.status == "complete");
        let expected: BTreeMap<_, _> =
            complete.map(|row| (row.last, (row.sa, row.pgn, row.data.to_lowercase()))).collect();
        assert_eq!(transfers(&frames(&log)), expected, "{}", log.display());
        for row in rows {
            *compared.entry(row.status).or_insert(0) += 1;
        }
    }
    eprintln!("transfers equal: {compared:?}");
    assert!(compared.get("complete").is_some_and(|count| *count > 50), "the corpus is incomplete");
}

/// The longest transfer of the corpus, bytes.
const TRANSFER_BYTES: usize = 39;

/// A file with each byte of a group as a signal, whoever sends it; what is read by it is compared as data.
#[test]
fn a_dbc_file_reads_of_each_transfer_the_data_the_oracle_has() {
    let Some(root) = files::shared_data() else { return };
    let mut compared = 0;
    for log in files::logs(&root.join("can/j1939")) {
        let rows: Vec<TransferRow> = rows_beside(&log, "tp.jsonl");
        let mut complete: Vec<_> = rows.into_iter().filter(|row| row.status == "complete").collect();
        complete.sort_by_key(|row| row.last);
        let groups: BTreeSet<u32> = complete.iter().map(|row| row.pgn).collect();
        let (database, faults) = Database::parse(groups.into_iter().map(bytewise).collect::<String>().as_bytes());
        assert_eq!(faults, []);
        let (mut out, mut faults) = (Vec::new(), Vec::new());
        decode::can_by(&database, &*fs::read(&log).expect("log"), &mut out, &mut faults).expect("in memory");
        let lines: Vec<serde_json::Value> = files::rows(&String::from_utf8(out).expect("text"));
        let name = |line: &serde_json::Value| line["name"].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = lines.iter().map(|line| (name(line), values(line))).collect();
        let expected: Vec<_> = complete.iter().map(|row| (format!("P{}", row.pgn), bytes(&row.data))).collect();
        assert_eq!(found, expected, "{}", log.display());
        compared += found.len();
    }
    eprintln!("{compared} transfers read by a DBC file equal");
    assert!(compared > 50, "the corpus is incomplete");
}

fn bytewise(pgn: u32) -> String {
    let id = 0x9800_00fe_u32 | pgn << 8;
    let signals = (0..TRANSFER_BYTES).map(|at| format!(" SG_ B{at:02} : {}|8@1+ (1,0) [0|0] \"\" X\n", at * 8));
    std::iter::once(format!("BO_ {id} P{pgn}: {TRANSFER_BYTES} X\n")).chain(signals).collect()
}

/// The values of a line's signals, in the order of their bytes.
fn values(line: &serde_json::Value) -> Vec<f64> {
    let value = |at| line["signals"][format!("B{at:02}")]["v"].as_f64();
    (0..TRANSFER_BYTES).map_while(value).collect()
}

/// The bytes that hexadecimal digits stand for, as values.
fn bytes(digits: &str) -> Vec<f64> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal").into();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The groups that several frames gave, by the index of the last frame: sender, number, data in hexadecimal.
fn transfers(frames: &[Frame]) -> BTreeMap<usize, (u8, u32, String)> {
    let (mut transport, mut found) = (Transport::default(), BTreeMap::new());
    for (i, frame) in frames.iter().enumerate() {
        let (CanId::Extended(id), FrameBody::Data(data)) = (frame.id, frame.body) else { continue };
        let address = Address::from_id(id);
        if !matches!(address.pgn, CONTROL_PGN | DATA_PGN) {
            continue;
        }
        if let Ok(Some(group)) = transport.push(address, data.as_bytes()) {
            let data = group.data.iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(i, (group.source, group.pgn, data));
        }
    }
    found
}

#[derive(Deserialize)]
struct CodesRow {
    i: usize,
    sa: u8,
    lamps: LampsRow,
    dtcs: Vec<CodeRow>,
}

#[derive(Deserialize)]
struct LampsRow {
    protect: u8,
    amber: u8,
    red: u8,
    mil: u8,
}

#[derive(Deserialize, Debug, PartialEq)]
struct CodeRow {
    spn: u32,
    fmi: u8,
    oc: u8,
}

/// Sender, lamps and codes of a list.
type List = (u8, [Option<bool>; 4], Vec<CodeRow>);

#[test]
fn trouble_codes_and_lamps_are_equal() {
    let Some(root) = files::shared_data() else { return };
    let (mut lists, mut codes) = (0, 0);
    for log in files::logs(&root.join("can/j1939")) {
        let expected: BTreeMap<_, _> =
            rows_beside(&log, "dm1.jsonl").into_iter().map(|row: CodesRow| (row.i, expected_list(row))).collect();
        lists += expected.len();
        codes += expected.values().map(|(_, _, codes)| codes.len()).sum::<usize>();
        assert_eq!(code_lists(&frames(&log)), expected, "{}", log.display());
    }
    eprintln!("{lists} lists with {codes} trouble codes equal");
    assert!(lists > 50 && codes > 50, "the corpus is incomplete");
}

fn expected_list(row: CodesRow) -> (u8, [Option<bool>; 4], Vec<CodeRow>) {
    let LampsRow { protect, amber, red, mil } = row.lamps;
    let lamps = [protect, amber, red, mil].map(|state| if state < 2 { Some(state == 1) } else { None });
    (row.sa, lamps, row.dtcs)
}

fn code_lists(frames: &[Frame]) -> BTreeMap<usize, List> {
    let (mut decoder, mut found) = (Decoder::default(), BTreeMap::new());
    for (i, frame) in frames.iter().enumerate() {
        if let Ok(Some(Decoded::Codes(list))) = decoder.decode(frame)
            && list.kind == ListKind::Active
        {
            let codes = list.codes().map(|code| CodeRow { spn: code.spn, fmi: code.fmi, oc: code.occurrence });
            found.insert(i, (list.source, Lamp::ALL.map(|lamp| list.lamp(lamp)), codes.collect()));
        }
    }
    found
}

/// The signals each frame gives.
fn signals(frames: &[Frame]) -> Vec<BTreeMap<&'static str, f64>> {
    let mut decoder = Decoder::default();
    let signals = frames.iter().map(|frame| match decoder.decode(frame) {
        Ok(Some(Decoded::Message(message))) => {
            message.signals().filter_map(|(spec, value)| Some((spec.name, value.ok()?))).collect()
        }
        _ => BTreeMap::new(),
    });
    signals.collect()
}

/// The readable frames of a log, which the oracles count.
fn frames(log: &Path) -> Vec<Frame> {
    let bytes = fs::read(log).expect("log");
    bytes.split(|byte| *byte == b'\n').filter_map(candump::parse).map(|line| line.frame).collect()
}

fn rows_beside<T: DeserializeOwned>(log: &Path, extension: &str) -> Vec<T> {
    files::rows(&fs::read_to_string(log.with_extension(extension)).expect("oracle"))
}

fn gunzip_rows<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
    files::rows(&String::from_utf8(output.stdout).expect("text"))
}
