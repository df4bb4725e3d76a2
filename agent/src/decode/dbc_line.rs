//! A frame decoded by DBC files as `decode can --dbc` prints it.
//!
//! Promise: message, signals, units and texts are named as in the file; signals keep the file's order.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::can_line::seconds;
use crate::source::can::candump::Line;
use crate::source::can::dbc::Message;
use crate::source::fault::{Fault, Faults};

/// One printed line.
#[derive(Serialize)]
pub(super) struct DbcLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    bus: &'a str,
    id: String,
    name: &'a str,
    signals: Signals<'a>,
}

struct Signals<'a>(Vec<(&'a str, Value<'a>)>);

#[derive(Serialize)]
struct Value<'a> {
    v: f64,
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> DbcLine<'a> {
    /// The message's signals; those without a value are absent and counted.
    pub(super) fn new(line: &'a Line<'a>, message: &'a Message, data: &'a [u8], faults: &mut Faults) -> Self {
        let mut signals = Vec::new();
        for (signal, sample) in message.values(data) {
            match sample {
                Ok(sample) => {
                    signals.push((&*signal.name, Value { v: sample.value, unit: &signal.unit, text: sample.text }));
                }
                Err(fault) => faults.count(fault),
            }
        }
        if message.is_unknown_page(data) {
            faults.count(Fault::UnknownPage);
        }
        Self {
            t: line.time_us.map(seconds),
            bus: line.bus,
            id: line.frame.id.to_string(),
            name: &message.name,
            signals: Signals(signals),
        }
    }
}

impl Serialize for Signals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
