//! Recorded trucks: values against cantools and canboat, transfers of several frames, trouble codes.

use std::collections::BTreeMap;
use std::path::Path;

use milepost_agent::source::can::j1939::Address;
use milepost_agent::source::can::transport::{CONTROL_PGN, DATA_PGN, Transport};
use milepost_agent::source::can::{CanId, Decoded, Decoder, Frame, FrameBody};
use serde_json::{Value, json};

use crate::corpus::{self, Score};

/// Our signal, the oracle's, and the largest raw value that is one: cantools gives the codes above it a value.
const CANTOOLS: [(&str, &str); 2] = [("EngSpeed", "EngineSpeed"), ("WheelBasedVehicleSpeed", "WheelBasedVehicleSpeed")];
const RAW_MAX: f64 = 64_255.0;
/// canboat prints engine speed to a tenth, cut or rounded.
const CANBOAT_RPM_STEP: f64 = 0.1;

/// Prints the figures.
pub(crate) fn run() -> anyhow::Result<()> {
    let (mut all, mut by_kind) = (Score::default(), BTreeMap::<_, Score>::new());
    for log in corpus::logs(&corpus::shared_data()?.join("can/j1939"))? {
        let frames = corpus::frames(&log)?;
        let decoded = decode(&frames);
        for (kind, score) in [
            ("cantools", cantools(&decoded, &log)?),
            ("canboat", canboat(&decoded, &log)?),
            ("transfers", transfers(&frames, &log)?),
            ("trouble_codes", trouble_codes(&decoded, &log)?),
        ] {
            all.merge(&score);
            by_kind.entry(kind).or_default().merge(&score);
        }
    }
    for (kind, score) in by_kind {
        score.print(&format!("can.j1939_{kind}"));
    }
    all.print("can.j1939");
    Ok(())
}

/// What one frame gives.
#[derive(Default)]
struct Found {
    signals: BTreeMap<&'static str, f64>,
    codes: Option<Vec<Value>>,
}

fn decode(frames: &[Frame]) -> Vec<Found> {
    let mut decoder = Decoder::default();
    let found = frames.iter().map(|frame| match decoder.decode(frame) {
        Ok(Some(Decoded::Message(message))) => {
            let values = message.signals().filter_map(|(spec, value)| Some((spec.name, value.ok()?)));
            Found { signals: values.collect(), codes: None }
        }
        Ok(Some(Decoded::Codes(list))) => {
            let codes = list.codes().map(|code| json!([code.spn, code.fmi, code.occurrence]));
            Found { codes: Some(codes.collect()), ..Found::default() }
        }
        _ => Found::default(),
    });
    found.collect()
}

fn cantools(found: &[Found], log: &Path) -> anyhow::Result<Score> {
    let mut score = Score::default();
    for row in corpus::rows(&log.with_extension("dbc.jsonl.gz"))? {
        let frame = &found[corpus::frame_index(&row)?];
        for (ours, theirs) in CANTOOLS {
            let Some(value) = row["signals"][theirs].as_f64() else { continue };
            let valid = row["raw"][theirs].as_f64().is_some_and(|raw| raw <= RAW_MAX);
            score.add(frame.signals.get(ours).copied() == valid.then_some(value));
        }
    }
    Ok(score)
}

fn canboat(found: &[Found], log: &Path) -> anyhow::Result<Score> {
    let mut score = Score::default();
    for row in corpus::rows(&log.with_extension("canboat.jsonl.gz"))? {
        if row["pgn"] != 61_444 {
            continue;
        }
        let value = found[corpus::frame_index(&row)?].signals.get("EngSpeed");
        score.add(match (value, row["fields"]["Engine RPM"].as_f64()) {
            (Some(value), Some(expected)) => (value - expected).abs() <= CANBOAT_RPM_STEP,
            (value, expected) => value.is_none() && expected.is_none(),
        });
    }
    Ok(score)
}

fn transfers(frames: &[Frame], log: &Path) -> anyhow::Result<Score> {
    let mut found = BTreeMap::new();
    let mut transport = Transport::default();
    for (i, frame) in frames.iter().enumerate() {
        let (CanId::Extended(id), FrameBody::Data(data)) = (frame.id, frame.body) else { continue };
        let address = Address::from_id(id);
        if !matches!(address.pgn, CONTROL_PGN | DATA_PGN) {
            continue;
        }
        if let Ok(Some(group)) = transport.push(address, data.as_bytes()) {
            let data: String = group.data.iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(i, json!([group.source, group.pgn, data]));
        }
    }
    let mut score = Score::default();
    for row in corpus::rows(&log.with_extension("tp.jsonl"))? {
        let last = row["last"].as_u64().and_then(|last| usize::try_from(last).ok());
        let complete = (row["status"] == "complete").then(|| json!([row["sa"], row["pgn"], row["data"]]));
        score.add(last.and_then(|last| found.remove(&last)) == complete);
    }
    found.into_values().for_each(|_| score.add(false));
    Ok(score)
}

fn trouble_codes(found: &[Found], log: &Path) -> anyhow::Result<Score> {
    let mut score = Score::default();
    let rows = corpus::rows(&log.with_extension("dm1.jsonl"))?;
    for row in &rows {
        let codes = row["dtcs"].as_array().into_iter().flatten();
        let expected: Vec<_> = codes.map(|code| json!([code["spn"], code["fmi"], code["oc"]])).collect();
        score.add(found[corpus::frame_index(row)?].codes.as_ref() == Some(&expected));
    }
    let invented = found.iter().filter(|frame| frame.codes.is_some()).count().saturating_sub(rows.len());
    (0..invented).for_each(|_| score.add(false));
    Ok(score)
}
