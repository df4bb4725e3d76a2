//! The vehicle bus: frames into signals and trouble codes.
//!
//! Promise: pure, and nothing is allocated until a reading is made. A frame that no table knows, and a value its sender
//! marks as not available or in error, is counted and absent; it is never a number.
//!
//! `candump` reads recorded lines, `j1939` splits identifiers, `transport` puts long groups together, `table` says where
//! signals lie, `dm1` reads trouble codes; this file puts them together.

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
    /// Calls `observed` with each reading of `frame`; counts what could not be used.
    pub fn observe(&mut self, frame: &Frame, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
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
