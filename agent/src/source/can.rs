//! The vehicle bus: frames into signals and trouble codes.
//!
//! Promise: pure, and nothing is allocated until a reading is made. A frame that no table knows, and a value its sender
//! marks as not available or in error, is counted and absent; it is never a number.
//!
//! `candump` reads recorded lines, `j1939` splits identifiers, `transport` puts long groups together, `table` says where
//! signals lie, `dm1` reads trouble codes; this file puts them together.

use std::sync::Arc;

use milepost_proto::Reading;
use milepost_proto::reading::{Diagnostic, Signal};

use super::fault::{Fault, Faults};

pub mod candump;
pub mod dbc;
pub mod dm1;
pub mod j1939;
pub mod table;
pub mod transport;

/// Longest frame, bytes (CAN FD).
pub const FRAME_BYTES_MAX: usize = 64;

/// A frame's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanId {
    /// 11 bits.
    Standard(u16),
    /// 29 bits.
    Extended(u32),
}

impl std::fmt::Display for CanId {
    /// Three digits, or eight and an `x`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Standard(id) => write!(f, "{id:03X}"),
            Self::Extended(id) => write!(f, "{id:08X}x"),
        }
    }
}

/// One frame of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its identifier.
    pub id: CanId,
    /// What it carries.
    pub body: FrameBody,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameBody {
    /// Data.
    Data(Data),
    /// Nothing: it asks for a frame with its identifier.
    RemoteRequest,
    /// Nothing of the vehicle's: the bus itself reports an error.
    Error,
}

/// A frame's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    bytes: [u8; FRAME_BYTES_MAX],
    length: usize,
}

impl Data {
    /// No bytes yet.
    pub const EMPTY: Self = Self { bytes: [0; FRAME_BYTES_MAX], length: 0 };

    /// One byte more; false when there is no room.
    #[must_use]
    pub fn push(&mut self, byte: u8) -> bool {
        let Some(slot) = self.bytes.get_mut(self.length) else { return false };
        *slot = byte;
        self.length += 1;
        true
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What a table makes of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoded<'a> {
    /// A message with signals.
    Message(table::MessageData<'a>),
    /// Active trouble codes.
    Dm1(dm1::Dm1<'a>),
}

/// Decodes the frames of one bus by the built-in tables.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    transport: transport::Transport,
}

impl Decoder {
    /// What the tables make of `frame`; nothing while it is part of a longer group.
    ///
    /// # Errors
    /// The [`Fault`] to count.
    pub fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Fault> {
        let data = match &frame.body {
            FrameBody::Data(data) => data.as_bytes(),
            FrameBody::RemoteRequest => return Err(Fault::RemoteRequest),
            FrameBody::Error => return Err(Fault::ErrorFrame),
        };
        let CanId::Extended(id) = frame.id else { return Err(Fault::UnknownId) };
        let address = j1939::Address::from_id(id);
        let group = match address.pgn {
            transport::CONTROL_PGN | transport::DATA_PGN => self.transport.push(address, data)?,
            pgn => Some(transport::Group { pgn, source: address.source, data }),
        };
        group.map(by_table).transpose()
    }
}

fn by_table(group: transport::Group<'_>) -> Result<Decoded<'_>, Fault> {
    if group.pgn == dm1::PGN {
        return dm1::Dm1::new(group.source, group.data).map(Decoded::Dm1).ok_or(Fault::ShortFrame);
    }
    let message = table::find(group.pgn).ok_or(Fault::UnknownId)?;
    Ok(Decoded::Message(table::MessageData { message, data: group.data }))
}

/// Turns frames into readings.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    decoder: Decoder,
    distance: Distance,
    dbc: Arc<dbc::Database>,
}

/// Which of the two distances a bus may carry is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Distance {
    /// The one in units of 125 m: no other was heard yet.
    #[default]
    Coarse,
    /// The one in units of 5 m.
    Fine,
}

impl Observer {
    /// Reads frames by these messages too. A name they give a signal is theirs: what the built-in tables would call so
    /// is left out.
    #[must_use]
    pub fn with_dbc(self, database: dbc::Database) -> Self {
        Self { dbc: Arc::new(database), ..self }
    }

    /// Calls `observed` with each reading of `frame`; counts what could not be used.
    pub fn observe(&mut self, frame: &Frame, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        if self.dbc.is_empty() {
            return self.observe_built_in(frame, faults, observed);
        }
        let dbc = Arc::clone(&self.dbc);
        let is_known = dbc.observe(frame, faults, &mut observed);
        // What the built-in tables cannot use of a frame that the files know is no fault.
        let mut passed_over = Faults::default();
        let faults = if is_known { &mut passed_over } else { faults };
        self.observe_built_in(frame, faults, |reading| {
            if !dbc.has_named(&reading) {
                observed(reading);
            }
        });
    }

    fn observe_built_in(&mut self, frame: &Frame, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        match self.decoder.decode(frame) {
            Ok(Some(Decoded::Message(message))) => self.distance.message(message, faults, observed),
            Ok(Some(Decoded::Dm1(dm1))) => {
                dm1.codes().for_each(|code| observed(Reading::Diagnostic(diagnostic(&dm1, code))));
            }
            Ok(None) => {}
            Err(fault) => faults.count(fault),
        }
    }
}

impl Distance {
    fn message(&mut self, message: table::MessageData<'_>, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        match (message.message.pgn, *self) {
            (table::FINE_DISTANCE_PGN, _) => *self = Self::Fine,
            (table::COARSE_DISTANCE_PGN, Self::Fine) => return,
            _ => {}
        }
        for (spec, value) in message.signals() {
            match value {
                Ok(value) => observed(Reading::Signal(Signal {
                    name: spec.reading_name(message.message),
                    value,
                    unit: spec.unit.to_owned(),
                })),
                Err(fault) => faults.count(fault),
            }
        }
    }
}

const fn diagnostic(dm1: &dm1::Dm1<'_>, code: dm1::TroubleCode) -> Diagnostic {
    Diagnostic { source_address: dm1.source, spn: code.spn, fmi: code.fmi, occurrence: code.occurrence, active: true }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observe(observer: &mut Observer, line: &str) -> (Vec<String>, Vec<(&'static str, u64)>) {
        let (mut faults, mut found) = (Faults::default(), Vec::new());
        let frame = candump::parse(line.as_bytes()).expect("line").frame;
        observer.observe(&frame, &mut faults, |reading| {
            found.push(match reading {
                Reading::Signal(signal) => format!("{} {} {}", signal.name, signal.value, signal.unit),
                other => format!("{other:?}"),
            });
        });
        (found, faults.take().into_iter().collect())
    }

    #[test]
    fn signals_are_named_by_vss_where_it_has_a_path() {
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#F3005AFFFFFFFFFF");
        assert_eq!(found, ["CCVS1.ParkingBrakeSwitch 0 ", "Vehicle.Speed 90 km/h"]);
        assert_eq!(faults, []);
    }

    #[test]
    fn codes_that_are_no_values_make_a_signal_absent_and_counted() {
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#FFFFFFFFFFFFFFFF");
        assert_eq!((found.len(), faults), (0, vec![("not_available", 2)]));
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#FB00FEFFFFFFFFFF");
        assert_eq!((found.len(), faults), (0, vec![("error_code", 2)]));
    }

    #[test]
    fn the_finer_distance_silences_the_coarser() {
        let mut observer = Observer::default();
        let coarse = "(1.0) can0 18FEE000#FFFFFFFF10270000";
        let fine = "(1.0) can0 18FEC1EE#10270000FFFFFFFF";
        assert_eq!(observe(&mut observer, coarse).0, ["Vehicle.TraveledDistance 1250 km"]);
        assert_eq!(observe(&mut observer, fine).0, ["Vehicle.TraveledDistance 50 km"]);
        assert_eq!(observe(&mut observer, coarse).0, Vec::<String>::new());
    }

    #[test]
    fn what_no_table_knows_is_counted() {
        for (line, fault) in [
            ("(1.0) can0 18FF0000#00", "unknown_id"),
            ("(1.0) can0 123#00", "unknown_id"),
            ("(1.0) can0 18FEF100#R8", "remote_request"),
            ("(1.0) can0 20000080#0000000000000000", "error_frame"),
            ("(1.0) can0 18FEF100#00", "short_frame"),
        ] {
            let faults = observe(&mut Observer::default(), line).1;
            assert!(faults.contains(&(fault, 1)), "{line}: {faults:?}");
        }
    }

    #[test]
    fn a_dbc_files_signals_come_besides_the_built_in_ones_and_keep_their_names_to_themselves() {
        let file = "BO_ 2566844672 CCVS: 8 X\n SG_ Speed : 8|16@1+ (0.0078125,0) [0|0] \"km/h\" X\n\
                    BO_ 291 Lamp: 8 X\n SG_ On : 0|1@1+ (1,0) [0|0] \"\" X\n SG_ Page M : 1|1@1+ (1,0) [0|0] \"\" X\n";
        let (mut database, faults) = dbc::Database::parse(file.as_bytes());
        assert_eq!(faults, []);
        database.select([("CCVS.Speed", "Vehicle.Speed"), ("Lamp.On", "Lamp.On")]).expect("both are there");
        let mut observer = Observer::default().with_dbc(database);
        let mut check = |line: &str, expected: &[&str], count: &[(&'static str, u64)]| {
            let (found, faults) = observe(&mut observer, line);
            assert_eq!((found, &*faults), (expected.iter().map(|line| (*line).to_owned()).collect(), count), "{line}");
        };
        let speed = ["Vehicle.Speed 180 km/h", "CCVS1.ParkingBrakeSwitch 0 "];
        check("(1.0) can0 18FEF100#F3005AFFFFFFFFFF", &speed, &[]);
        check("(1.0) can0 123#01", &["Lamp.On 1 "], &[("unknown_page", 1)]);
        check("(1.0) can0 124#01", &[], &[("unknown_id", 1)]);
    }

    proptest! {
        #[test]
        fn no_frame_panics(id in 0_u32..0x2000_0000, bytes in proptest::collection::vec(any::<u8>(), 0..=64)) {
            let mut data = Data::EMPTY;
            prop_assert!(bytes.iter().all(|byte| data.push(*byte)));
            let frame = Frame { id: CanId::Extended(id), body: FrameBody::Data(data) };
            Observer::default().observe(&frame, &mut Faults::default(), |_| {});
        }
    }
}
