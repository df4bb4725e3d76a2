//! A decoded frame as `decode can` prints it.
//!
//! Promise: signals keep the order in which they lie in the frame and the names of the standard.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::source::can::candump::Line;
use crate::source::can::obd::Answer;
use crate::source::can::table::MessageData;
use crate::source::can::trouble_code::CodeList;
use crate::source::can::vin::Vin;
use crate::source::fault::{Fault, Faults};

/// One printed line.
#[derive(Serialize)]
pub(super) struct CanLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    bus: &'a str,
    id: String,
    name: &'static str,
    #[serde(serialize_with = "as_map")]
    signals: Vec<(&'static str, Value)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dtcs: Option<Vec<TroubleCode>>,
}

#[derive(Serialize)]
struct Value {
    v: Scalar,
    unit: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Scalar {
    Number(f64),
    Text(String),
}

#[derive(Serialize)]
struct TroubleCode {
    spn: u32,
    fmi: u8,
    oc: u8,
}

/// A message with signals; those without a value are absent and counted.
pub(super) fn message<'a>(line: &Line<'a>, message: MessageData<'_>, faults: &mut Faults) -> CanLine<'a> {
    let mut signals = Vec::new();
    for (spec, value) in message.signals() {
        match value {
            Ok(v) => signals.push((spec.name, Value::number(v, spec.unit))),
            Err(fault) => faults.count(fault),
        }
    }
    CanLine { signals, ..CanLine::new(line, message.message.name) }
}

/// Trouble codes.
pub(super) fn codes<'a>(line: &Line<'a>, list: CodeList<'_>) -> CanLine<'a> {
    let codes = list.codes().map(|code| TroubleCode { spn: code.spn, fmi: code.fmi, oc: code.occurrence });
    CanLine { dtcs: Some(codes.collect()), ..CanLine::new(line, list.kind.message_name()) }
}

/// Which vehicle it is; what is no VIN is absent and counted.
pub(super) fn vin<'a>(line: &Line<'a>, vin: Option<Vin>, faults: &mut Faults) -> CanLine<'a> {
    let mut signals = Vec::new();
    match vin {
        Some(vin) => signals.push(("VehicleIdentNumber", Value { v: Scalar::Text(vin.as_str().to_owned()), unit: "" })),
        None => faults.count(Fault::Unparsed),
    }
    CanLine { signals, ..CanLine::new(line, "VI") }
}

/// An OBD-II answer; parameters that are not known are absent and counted.
pub(super) fn obd<'a>(line: &Line<'a>, answer: Answer<'_>, faults: &mut Faults) -> CanLine<'a> {
    let data = match answer {
        Answer::Vin(vin) => return self::vin(line, Some(vin), faults),
        Answer::CurrentData(data) => data,
    };
    let mut signals = Vec::new();
    for value in data.values() {
        match value {
            Ok((pid, value)) => signals.push((pid.name, Value::number(value, pid.unit))),
            Err(fault) => faults.count(fault),
        }
    }
    CanLine { signals, ..CanLine::new(line, "OBD") }
}

impl Value {
    const fn number(value: f64, unit: &'static str) -> Self {
        Self { v: Scalar::Number(value), unit }
    }
}

impl<'a> CanLine<'a> {
    fn new(line: &Line<'a>, name: &'static str) -> Self {
        Self {
            t: line.time_us.map(seconds),
            bus: line.bus,
            id: line.frame.id.to_string(),
            name,
            signals: Vec::new(),
            dtcs: None,
        }
    }
}

/// Exact to the microsecond for every date a log can bear.
#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit 53 bits until the year 2255")]
pub(super) fn seconds(time_us: u64) -> f64 {
    time_us as f64 / 1e6
}

fn as_map<S: Serializer>(signals: &[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(signals.len()))?;
    for (name, value) in signals {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
