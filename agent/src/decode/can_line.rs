//! A decoded frame as `decode can` prints it.
//!
//! Promise: signals keep the order in which they lie in the frame and the names of the standard.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::source::can::candump::Line;
use crate::source::can::dm1::Dm1;
use crate::source::can::table::MessageData;
use crate::source::fault::Faults;

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
    v: f64,
    unit: &'static str,
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
            Ok(v) => signals.push((spec.name, Value { v, unit: spec.unit })),
            Err(fault) => faults.count(fault),
        }
    }
    CanLine { signals, ..CanLine::new(line, message.message.name) }
}

/// Active trouble codes.
pub(super) fn dm1<'a>(line: &Line<'a>, dm1: Dm1<'_>) -> CanLine<'a> {
    let codes = dm1.codes().map(|code| TroubleCode { spn: code.spn, fmi: code.fmi, oc: code.occurrence });
    CanLine { dtcs: Some(codes.collect()), ..CanLine::new(line, "DM1") }
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
