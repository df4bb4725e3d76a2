//! The vehicle bus: frames into signals and trouble codes.
//!
//! Promise: pure, and nothing is allocated until a reading is made. A frame that no table knows, and a value its sender
//! marks as not available or in error, is counted and absent; it is never a number.
//!
//! `candump` reads recorded lines. J1939: `j1939` splits identifiers, `transport` puts long groups together, `table` says
//! where signals lie, `trouble_code` and `vin` read what is no signal. `obd` reads OBD-II answers. `vehicle` turns what they
//! give into readings, with `code_watch`, `lamp_watch` and `speaker`; this file puts them together.

use std::sync::Arc;

use milepost_proto::Reading;

use super::fault::{Fault, Faults};
use transport::Group;

pub mod bus_state;
pub mod candump;
pub mod code_watch;
pub mod dbc;
pub mod j1939;
pub mod lamp_watch;
pub mod log_line;
pub mod obd;
pub mod speaker;
pub mod table;
pub mod transport;
pub mod trouble_code;
pub mod vehicle;
pub mod vin;

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
    /// A J1939 message with signals.
    Message(table::MessageData<'a>),
    /// Lamps and trouble codes.
    Codes(trouble_code::CodeList<'a>),
    /// Which vehicle this is; none when it is no VIN.
    Vin(Option<vin::Vin>),
    /// An answer to an OBD-II question.
    Obd(obd::Answer<'a>),
}

/// Decodes the frames of one bus by the built-in tables.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    transport: transport::Transport,
    answers: obd::Answers,
}

impl Decoder {
    /// What the tables make of `frame`; nothing while it is part of a longer group.
    ///
    /// # Errors
    /// The [`Fault`] to count.
    pub fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Fault> {
        self.gather(frame)?.map(by_table).transpose()
    }

    /// What `frame` carries, or completes; nothing while it is part of something longer.
    fn gather<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Gathered<'a>>, Fault> {
        let data = match &frame.body {
            FrameBody::Data(data) => data.as_bytes(),
            FrameBody::RemoteRequest => return Err(Fault::RemoteRequest),
            FrameBody::Error => return Err(Fault::ErrorFrame),
        };
        if obd::is_answer(frame.id) {
            return Ok(self.answers.push(frame.id, data)?.map(Gathered::Answer));
        }
        if let Some(address) = transport::address(frame.id) {
            return Ok(self.transport.push(address, data)?.map(Gathered::Transported));
        }
        let CanId::Extended(id) = frame.id else { return Err(Fault::UnknownId) };
        let j1939::Address { pgn, source, .. } = j1939::Address::from_id(id);
        Ok(Some(Gathered::InOneFrame(Group { pgn, source, data })))
    }
}

/// What frames carry, before any table.
#[derive(Debug, Clone, Copy)]
enum Gathered<'a> {
    /// An answer to an OBD-II question.
    Answer(obd::Answer<'a>),
    /// A J1939 group in a frame of its own.
    InOneFrame(Group<'a>),
    /// One in several frames.
    Transported(Group<'a>),
}

fn by_table(gathered: Gathered<'_>) -> Result<Decoded<'_>, Fault> {
    let group = match gathered {
        Gathered::Answer(answer) => return Ok(Decoded::Obd(answer)),
        Gathered::InOneFrame(group) | Gathered::Transported(group) => group,
    };
    if let Some(kind) = trouble_code::ListKind::of_pgn(group.pgn) {
        let list = trouble_code::CodeList::new(kind, group.source, group.data);
        return list.map(Decoded::Codes).ok_or(Fault::ShortFrame);
    }
    if group.pgn == vin::PGN {
        return Ok(Decoded::Vin(vin::Vin::read(group.data)));
    }
    let message = table::find(group.pgn).ok_or(Fault::UnknownId)?;
    Ok(Decoded::Message(table::MessageData { message, source: group.source, data: group.data }))
}

/// Turns frames into readings.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    decoder: Decoder,
    vehicle: vehicle::Vehicle,
    dbc: Arc<dbc::Database>,
}

impl Observer {
    /// Expects the vehicle with this VIN; any, when none is given.
    #[must_use]
    pub fn new(configured: Option<vin::Vin>) -> Self {
        Self {
            decoder: Decoder::default(),
            vehicle: vehicle::Vehicle::new(configured),
            dbc: Arc::new(dbc::Database::default()),
        }
    }

    /// Reads frames by these messages too. A name they give a signal is theirs: what the built-in tables would call so
    /// is left out.
    #[must_use]
    pub fn with_dbc(self, database: dbc::Database) -> Self {
        Self { dbc: Arc::new(database), ..self }
    }

    /// Frames are heard at `now_ms` of any clock that does not step back; to be called now and then before
    /// [`Self::observe`], so that what falls silent is noticed.
    pub fn pass_time(&mut self, now_ms: u64, observed: impl FnMut(Reading)) {
        self.vehicle.pass_time(now_ms, observed);
    }

    /// Calls `observed` with each reading of `frame`; counts what could not be used.
    pub fn observe(&mut self, frame: &Frame, faults: &mut Faults, mut observed: impl FnMut(Reading)) {
        let Self { decoder, vehicle, dbc } = self;
        let gathered = decoder.gather(frame);
        if dbc.is_empty() {
            return vehicle.observe(gathered, faults, observed);
        }
        let mut is_known = dbc.observe(frame, faults, &mut observed);
        if let Ok(Some(Gathered::Transported(group))) = &gathered {
            is_known |= dbc.observe_group(group, faults, &mut observed);
        }
        // What the built-in tables cannot use of a frame that the files know is no fault.
        let mut passed_over = Faults::default();
        let faults = if is_known { &mut passed_over } else { faults };
        vehicle.observe(gathered, faults, |reading| {
            if !dbc.has_named(&reading) {
                observed(reading);
            }
        });
    }
}

impl vehicle::Vehicle {
    /// What the built-in tables make of what came.
    fn observe(
        &mut self,
        gathered: Result<Option<Gathered<'_>>, Fault>,
        faults: &mut Faults,
        observed: impl FnMut(Reading),
    ) {
        match gathered.and_then(|gathered| gathered.map(by_table).transpose()) {
            Ok(Some(Decoded::Message(message))) => self.message(message, faults, observed),
            Ok(Some(Decoded::Codes(list))) => self.codes(list, faults, observed),
            Ok(Some(Decoded::Vin(vin))) => self.vin(vin, faults, observed),
            Ok(Some(Decoded::Obd(obd::Answer::Vin(vin)))) => self.vin(Some(vin), faults, observed),
            Ok(Some(Decoded::Obd(obd::Answer::CurrentData(data)))) => self.current_data(data, faults, observed),
            Ok(None) => {}
            Err(fault) => faults.count(fault),
        }
    }
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
                Reading::Switch(switch) => format!("{} {}", switch.name, switch.on),
                other => format!("{other:?}"),
            });
        });
        (found, faults.take().into_iter().collect())
    }

    #[test]
    fn signals_are_named_by_vss_where_it_has_a_path() {
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#F3005AFFFFFFFFFF");
        assert_eq!(found, ["parking_brake false", "Vehicle.Speed 90 km/h"]);
        assert_eq!(faults, [("not_available", 3)]);
    }

    #[test]
    fn codes_that_are_no_values_make_a_signal_absent_and_counted() {
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#FFFFFFFFFFFFFFFF");
        assert_eq!((found.len(), faults), (0, vec![("not_available", 5)]));
        let (found, faults) = observe(&mut Observer::default(), "(1.0) can0 18FEF100#FB00FEFFFFFFFFFF");
        assert_eq!((found.len(), faults), (0, vec![("error_code", 2), ("not_available", 3)]));
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

    /// What the frames of a drive give, in order.
    fn check_drive(lines: &[&str], expected: &[&str]) {
        let mut observer = Observer::default();
        let found: Vec<_> = lines.iter().flat_map(|line| observe(&mut observer, line).0).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_switch_is_reported_when_it_changes() {
        let (released, set) = ("(1.0) can0 18FEF121#F3FFFFFFFFFFFFFF", "(1.0) can0 18FEF121#F7FFFFFFFFFFFFFF");
        check_drive(&[released, released, set, set], &["parking_brake false", "parking_brake true"]);
    }

    #[test]
    fn units_that_contradict_each_other_do_not_flicker_and_units_that_complete_each_other_are_both_heard() {
        let engine = "(1.0) can0 18FEF100#FF005AFFFFFFFFFF";
        let cab = "(1.0) can0 18FEF121#F70060FFFFFFFFFF";
        check_drive(&[engine, cab, engine], &["Vehicle.Speed 90 km/h", "parking_brake true", "Vehicle.Speed 90 km/h"]);
    }

    #[test]
    fn another_unit_is_heard_when_the_first_falls_silent() {
        let mut observer = Observer::default();
        let (engine, cab) = ("(1.0) can0 18FEF100#FF005AFFFFFFFFFF", "(1.0) can0 18FEF121#FF0060FFFFFFFFFF");
        assert_eq!(observe(&mut observer, engine).0, ["Vehicle.Speed 90 km/h"]);
        let mut heard = Vec::new();
        for now_ms in (0..12_000).step_by(1_000) {
            observer.pass_time(now_ms, |_| {});
            heard.push(observe(&mut observer, cab).0.len());
        }
        assert_eq!(heard, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn doors_power_takeoff_and_key_tell_switches() {
        check_drive(
            &[
                "(1.0) can0 18FE4E00#F2FFFFFFFFFFFFFF",
                "(1.0) can0 18FEF003#FFFFFFFFFFFDFFFF",
                "(1.0) can0 18FEF700#FFFFFFFFF401F401",
            ],
            &["door false", "pto true", "Vehicle.LowVoltageBattery.CurrentVoltage 25 V", "ignition true"],
        );
    }

    #[test]
    fn a_vin_by_broadcast_or_by_obd_is_reported_once() {
        let vin = "Health(VehicleIdentified { vin: \"1XPBD49X1MD000001\" })";
        check_drive(
            &[
                "(1.0) can0 18ECFF00#20120003FFECFE00",
                "(1.0) can0 18EBFF00#0131585042443439",
                "(1.0) can0 18EBFF00#0258314D44303030",
                "(1.0) can0 18EBFF00#033030312AFFFFFF",
                "(1.0) can0 7E8#1014490201315850",
                "(1.0) can0 7E8#214244343958314D",
                "(1.0) can0 7E8#2244303030303031",
            ],
            &[vin],
        );
    }

    #[test]
    fn another_vehicles_vin_raises_an_alarm() {
        let mut observer = Observer::new("1XPBD49X1MD000002".parse().ok());
        let found: Vec<_> = ["#1014490201315850", "#214244343958314D", "#2244303030303031"]
            .iter()
            .flat_map(|data| observe(&mut observer, &format!("(1.0) can0 7E8{data}")).0)
            .collect();
        let alarm = "Health(WrongVehicle { configured: \"1XPBD49X1MD000002\", heard: \"1XPBD49X1MD000001\" })";
        assert_eq!(found, [alarm]);
    }

    #[test]
    fn what_no_table_knows_is_counted() {
        for (line, fault) in [
            ("(1.0) can0 18FF0000#00", "unknown_id"),
            ("(1.0) can0 123#00", "unknown_id"),
            ("(1.0) can0 18FEF100#R8", "remote_request"),
            ("(1.0) can0 20000080#0000000000000000", "error_frame"),
            ("(1.0) can0 18FEF100#00", "short_frame"),
            ("(1.0) can0 18FECA00#00", "short_frame"),
            ("(1.0) can0 18FEEC00#2A2A2A2A2A2A2A2A", "unparsed"),
            ("(1.0) can0 7E8#037F0112", "unknown_id"),
        ] {
            let faults = observe(&mut Observer::default(), line).1;
            assert!(faults.iter().any(|(kind, _)| *kind == fault), "{line}: {faults:?}");
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
        let speed = ["Vehicle.Speed 180 km/h", "parking_brake false"];
        check("(1.0) can0 18FEF100#F3005AFFFFFFFFFF", &speed, &[]);
        check("(1.0) can0 123#01", &["Lamp.On 1 "], &[("unknown_page", 1)]);
        check("(1.0) can0 124#01", &[], &[("unknown_id", 1)]);
    }

    /// A group of ten bytes as a file describes it: of one sender, of the group (VFrameFormat), of nobody, or not at all.
    fn check_transported(
        format: &str,
        message: &str,
        frames: &[&str],
        expected: &[&str],
        count: &[(&'static str, u64)],
    ) {
        let file = format!(
            "{message}\n SG_ Last : 72|8@1+ (0.5,10) [0|0] \"kPa\" X\n SG_ Whole : 7|16@0+ (1,0) [0|0] \"\" X\n\
             BA_DEF_ BO_ \"VFrameFormat\" ENUM \"StandardCAN\",\"ExtendedCAN\",\"reserved\",\"J1939PG\";\n\
             BA_DEF_DEF_ \"VFrameFormat\" \"{format}\";\n"
        );
        let (database, faults) = dbc::Database::parse(file.as_bytes());
        assert_eq!(faults, []);
        let mut observer = Observer::default().with_dbc(database);
        let (mut found, mut counts) = (Vec::new(), std::collections::BTreeMap::new());
        for frame in frames {
            let (readings, faults) = observe(&mut observer, &format!("(1.0) can0 {frame}"));
            found.extend(readings);
            faults.into_iter().for_each(|(kind, more)| *counts.entry(kind).or_default() += more);
        }
        assert_eq!(
            (found, counts.into_iter().collect::<Vec<_>>()),
            (expected.iter().map(|e| (*e).to_owned()).collect(), count.to_vec()),
            "{message}"
        );
    }

    /// 65280 (FF00), proprietary, from 00 to everybody and to 0B.
    const BROADCAST: [&str; 3] =
        ["1CECFF00#200A0002FF00FF00", "1CEBFF00#0101020304050607", "1CEBFF00#0208090AFFFFFFFF"];
    const TO_ONE: [&str; 5] = [
        "1CEC0B00#100A0002FF00FF00",
        "1CEC000B#110201FFFF00FF00",
        "1CEB0B00#0101020304050607",
        "1CEB0B00#0208090AFFFFFFFF",
        "1CEC000B#130A0002FF00FF00",
    ];
    const READ: [&str; 2] = ["G.Last 15 kPa", "G.Whole 258 "];

    #[test]
    fn a_dbc_files_message_of_several_frames_is_read_once_it_is_whole() {
        // 18FF0000x: of this sender, sent with another priority than the transfer's.
        check_transported("ExtendedCAN", "BO_ 2566848512 G: 10 X", &BROADCAST, &READ, &[]);
        check_transported("ExtendedCAN", "BO_ 2566848512 G: 10 X", &TO_ONE, &READ, &[]);
    }

    #[test]
    fn of_another_sender_it_is_read_only_where_the_file_means_any() {
        let unknown = [("unknown_id", 1)];
        // 18FF0003x: of another sender.
        check_transported("ExtendedCAN", "BO_ 2566848515 G: 10 X", &BROADCAST, &[], &unknown);
        check_transported("J1939PG", "BO_ 2566848515 G: 10 X", &BROADCAST, &READ, &[]);
        // 18FF00FEx: of nobody, which means anybody.
        check_transported("ExtendedCAN", "BO_ 2566848766 G: 10 X", &BROADCAST, &READ, &[]);
        // 18FF0100x: another group.
        check_transported("ExtendedCAN", "BO_ 2566848768 G: 10 X", &BROADCAST, &[], &unknown);
    }

    #[test]
    fn half_a_group_is_not_read() {
        let broken = [BROADCAST[0], BROADCAST[2], BROADCAST[1]];
        check_transported("ExtendedCAN", "BO_ 2566848512 G: 10 X", &broken, &[], &[("transport_broken", 2)]);
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
