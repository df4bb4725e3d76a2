//! `decode`: recorded input in, one JSON line per decoded fact out.
//!
//! Promise: the decoders are the agent's own, so what a technician sees here is what a vehicle records. Faults in the
//! input are counted and written as one JSON object at the end; they are no failure. Unknown fields are absent.

use std::io::{self, BufRead, Write};

use milepost_proto::reading::FixType;
use milepost_proto::{Position, Timestamp};
use serde::Serialize;

use crate::source::can::dbc::Database;
use crate::source::can::transport::{self, Transport};
use crate::source::can::{self, Decoded, FrameBody, candump};
use crate::source::fault::{Fault, Faults};
use crate::source::nmea::{Decoder, Epoch};

mod can_line;
mod dbc_line;

/// Decodes a receiver's bytes: a line per fix epoch.
///
/// # Errors
/// When `input` cannot be read, or `out` or `faults` cannot be written.
pub fn nmea(mut input: impl BufRead, out: &mut impl Write, faults: &mut impl Write) -> io::Result<()> {
    let mut decoder = Decoder::default();
    loop {
        let bytes = input.fill_buf()?;
        let length = bytes.len();
        let mut written = Ok(());
        decoder.push(bytes, |epoch| {
            if written.is_ok() {
                written = write_line(out, &EpochLine::new(&epoch));
            }
        });
        written?;
        input.consume(length);
        if length == 0 {
            break;
        }
    }
    if let Some(epoch) = decoder.flush() {
        write_line(out, &EpochLine::new(&epoch))?;
    }
    write_line(faults, &decoder.faults().take())
}

/// Decodes a candump log by the built-in tables: a line per decoded message.
///
/// # Errors
/// When `input` cannot be read, or `out` or `faults` cannot be written.
pub fn can(input: impl BufRead, out: &mut impl Write, faults: &mut impl Write) -> io::Result<()> {
    let (mut decoder, mut counts) = (can::Decoder::default(), Faults::default());
    each_line(input, |line| can_frame(line, &mut decoder, out, &mut counts))?;
    write_line(faults, &counts.take())
}

/// Decodes a candump log by the messages of DBC files and nothing else: a line per decoded message. One of several frames
/// (J1939 transport) has the time and the identifier of its last.
///
/// # Errors
/// When `input` cannot be read, or `out` or `faults` cannot be written.
pub fn can_by(
    database: &Database,
    input: impl BufRead,
    out: &mut impl Write,
    faults: &mut impl Write,
) -> io::Result<()> {
    let (mut transport, mut counts) = (Transport::default(), Faults::default());
    each_line(input, |line| dbc_frame(line, database, &mut transport, out, &mut counts))?;
    write_line(faults, &counts.take())
}

/// Calls `take` with each line of a log that is neither empty nor a comment.
fn each_line(mut input: impl BufRead, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut text = Vec::new();
    while input.read_until(b'\n', &mut text)? > 0 {
        let line = text.trim_ascii();
        if !line.is_empty() && !line.starts_with(b"#") {
            take(line)?;
        }
        text.clear();
    }
    Ok(())
}

fn dbc_frame(
    text: &[u8],
    database: &Database,
    transport: &mut Transport,
    out: &mut impl Write,
    faults: &mut Faults,
) -> io::Result<()> {
    let Some(line) = candump::parse(text) else {
        faults.count(Fault::Malformed);
        return Ok(());
    };
    let data = match &line.frame.body {
        FrameBody::Data(data) => data.as_bytes(),
        FrameBody::RemoteRequest => return count(faults, Fault::RemoteRequest),
        FrameBody::Error => return count(faults, Fault::ErrorFrame),
    };
    if let Some(message) = database.find(line.frame.id) {
        write_line(out, &dbc_line::DbcLine::new(&line, message, data, faults))?;
    } else if transport::address(line.frame.id).is_none() {
        return count(faults, Fault::UnknownId);
    }
    let Some(address) = transport::address(line.frame.id) else { return Ok(()) };
    match transport.push(address, data) {
        Ok(Some(group)) => match database.find_group(&group) {
            Some(message) => write_line(out, &dbc_line::DbcLine::new(&line, message, group.data, faults)),
            None => count(faults, Fault::UnknownId),
        },
        Ok(None) => Ok(()),
        Err(fault) => count(faults, fault),
    }
}

fn count(faults: &mut Faults, fault: Fault) -> io::Result<()> {
    faults.count(fault);
    Ok(())
}

fn can_frame(text: &[u8], decoder: &mut can::Decoder, out: &mut impl Write, faults: &mut Faults) -> io::Result<()> {
    let Some(line) = candump::parse(text) else {
        faults.count(Fault::Malformed);
        return Ok(());
    };
    match decoder.decode(&line.frame) {
        Ok(Some(Decoded::Message(message))) => write_line(out, &can_line::message(&line, message, faults)),
        Ok(Some(Decoded::Codes(list))) => write_line(out, &can_line::codes(&line, list)),
        Ok(Some(Decoded::Vin(vin))) => write_line(out, &can_line::vin(&line, vin, faults)),
        Ok(Some(Decoded::Obd(answer))) => write_line(out, &can_line::obd(&line, answer, faults)),
        Ok(None) => Ok(()),
        Err(fault) => {
            faults.count(fault);
            Ok(())
        }
    }
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// An epoch as `decode nmea` prints it.
#[derive(Serialize)]
struct EpochLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_m: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_mps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    course_deg: Option<f64>,
    fix: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sats: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hdop: Option<f64>,
}

impl EpochLine {
    fn new(epoch: &Epoch) -> Self {
        let position = epoch.position.as_ref();
        Self {
            time: time(epoch),
            lat: position.map(Position::lat_deg),
            lon: position.map(Position::lon_deg),
            alt_m: position.and_then(|position| position.altitude_cm).map(hundredths),
            speed_mps: position.and_then(|position| position.speed_cmps).map(hundredths),
            course_deg: position.and_then(|position| position.course_cdeg).map(hundredths),
            fix: position.map_or("none", |position| fix_word(position.fix)),
            sats: position.and_then(|position| position.satellites),
            hdop: position.and_then(|position| position.hdop_centi).map(hundredths),
        }
    }
}

fn hundredths(value: impl Into<f64>) -> f64 {
    value.into() / 100.0
}

/// The instant, or the time of day alone where no sentence gave a date.
fn time(epoch: &Epoch) -> Option<String> {
    let undated = |ms: u32| {
        let on_some_day = Timestamp::EPOCH.plus_millis(ms.into()).to_string();
        on_some_day.split_once('T').map_or_else(String::new, |(_, time)| format!("T{time}"))
    };
    epoch.event_time.map(|time| time.to_string()).or_else(|| epoch.time_of_day_ms.map(undated))
}

const fn fix_word(fix: FixType) -> &'static str {
    match fix {
        FixType::Fix2d => "2d",
        FixType::Fix3d => "3d",
        FixType::Dgps => "dgps",
        FixType::RtkFixed => "rtk_fixed",
        FixType::RtkFloat => "rtk_float",
        FixType::Estimated => "estimated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decode<'a> = fn(&'a [u8], &mut Vec<u8>, &mut Vec<u8>) -> io::Result<()>;

    /// Decodes `input` and compares what is written.
    fn check<'a>(decode: Decode<'a>, input: &'a str, lines: &[&str], faults: &str) {
        let (mut out, mut counted) = (Vec::new(), Vec::new());
        decode(input.as_bytes(), &mut out, &mut counted).expect("in memory");
        assert_eq!(String::from_utf8_lossy(&out).lines().collect::<Vec<_>>(), lines);
        assert_eq!(String::from_utf8_lossy(&counted).trim_end(), faults);
    }

    #[test]
    fn a_fix_epoch_is_one_line_and_unknown_fields_are_absent() {
        check(
            nmea,
            "$GPGGA,120000.00,5206.00,N,00454.00,E,1,09,0.9,3.1,M,46.9,M,,*62\r\n\
             $GPRMC,120000.00,A,5206.00,N,00454.00,E,23.91,271.0,010621,,,A*50\r\n\
             $GPGLL,5206.00,N,00454.00,E,120001.00,A,A*6F\r\n\
             $GPRMC,120002.00,V,,,,,,,010621,,,N*78\r\n",
            &[
                r#"{"time":"2021-06-01T12:00:00.000Z","lat":52.1,"lon":4.9,"alt_m":3.1,"speed_mps":12.3,"course_deg":271.0,"fix":"3d","sats":9,"hdop":0.9}"#,
                r#"{"time":"2021-06-01T12:00:01.000Z","lat":52.1,"lon":4.9,"fix":"2d"}"#,
                r#"{"time":"2021-06-01T12:00:02.000Z","fix":"none"}"#,
            ],
            "{}",
        );
    }

    #[test]
    fn a_fix_without_a_date_prints_its_time_of_day_and_faults_are_one_object() {
        check(
            nmea,
            "noise\r\n$GPGLL,5206.00,N,00454.00,E,120000.00,A,A*6E\r\n$GPGLL,5206.00,N,0045",
            &[r#"{"time":"T12:00:00.000Z","lat":52.1,"lon":4.9,"fix":"2d"}"#],
            r#"{"noise":1}"#,
        );
    }

    #[test]
    fn a_message_is_one_line_with_its_signals_by_the_standards_names() {
        check(
            can,
            "(1.250000) can0 0CF00400#607D84FF2520F084\n\
             (1.500000) can0 18FEF100#FFFFFFFFFFFFFFFF\n\
             (1.600000) can0 123#00\n\
             what\n",
            &[
                r#"{"t":1.25,"bus":"can0","id":"0CF00400x","name":"EEC1","signals":{"DriversDemandEngPercentTorque":{"v":0.0,"unit":"%"},"ActualEngPercentTorque":{"v":7.0,"unit":"%"},"EngSpeed":{"v":1215.875,"unit":"rpm"}}}"#,
                r#"{"t":1.5,"bus":"can0","id":"18FEF100x","name":"CCVS1","signals":{}}"#,
            ],
            r#"{"malformed":1,"not_available":5,"unknown_id":1}"#,
        );
    }

    #[test]
    fn a_dbc_file_names_messages_signals_units_and_texts() {
        let (database, faults) = Database::parse(
            b"BO_ 291 Lamp: 2 X\n SG_ On : 0|1@1+ (1,0) [0|0] \"\" X\n SG_ Level : 8|8@1- (0.5,0) [0|0] \"%\" X\n\
              VAL_ 291 On 0 \"off\" 1 \"on\" ;\n",
        );
        assert_eq!(faults, []);
        let log = "(1.25) can0 123#01FF\n(2.0) can0 123#00\n(3.0) can0 00000123#01FF\n(4.0) can0 123#R\nwhat\n";
        let (mut out, mut counted) = (Vec::new(), Vec::new());
        can_by(&database, log.as_bytes(), &mut out, &mut counted).expect("in memory");
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"t":1.25,"bus":"can0","id":"123","name":"Lamp","signals":{"On":{"v":1.0,"unit":"","text":"on"},"Level":{"v":-0.5,"unit":"%"}}}
{"t":2.0,"bus":"can0","id":"123","name":"Lamp","signals":{"On":{"v":0.0,"unit":"","text":"off"}}}
"#
        );
        let counts = r#"{"malformed":1,"remote_request":1,"short_frame":1,"unknown_id":1}"#;
        assert_eq!(String::from_utf8_lossy(&counted).trim_end(), counts);
    }

    #[test]
    fn a_dbc_files_message_of_several_frames_is_a_line() {
        let file = b"BO_ 2566848512 G: 10 X\n SG_ Last : 72|8@1+ (0.5,10) [0|0] \"kPa\" X\n";
        let (database, faults) = Database::parse(file);
        assert_eq!(faults, []);
        let log = "(1.0) can0 1CECFF00#200A0002FF00FF00\n(1.5) can0 1CEBFF00#0101020304050607\n\
                   (2.0) can0 1CEBFF00#0208090AFFFFFFFF\n(3.0) can0 1CECFF00#200A0002FF01FF00\n\
                   (3.5) can0 1CEBFF00#0101020304050607\n(4.0) can0 1CEBFF00#0208090AFFFFFFFF\n\
                   (5.0) can0 1CEBFF00#0208090AFFFFFFFF\n";
        let (mut out, mut counted) = (Vec::new(), Vec::new());
        can_by(&database, log.as_bytes(), &mut out, &mut counted).expect("in memory");
        let line = r#"{"t":2.0,"bus":"can0","id":"1CEBFF00x","name":"G","signals":{"Last":{"v":15.0,"unit":"kPa"}}}"#;
        assert_eq!(String::from_utf8_lossy(&out).trim_end(), line);
        assert_eq!(String::from_utf8_lossy(&counted).trim_end(), r#"{"transport_broken":1,"unknown_id":1}"#);
    }

    #[test]
    fn trouble_codes_are_listed() {
        check(
            can,
            "(1.0) can0 18FECA00#40FF5B000301FFFF\n(2.0) can0 18FECB00#00FF000000000000\n",
            &[
                r#"{"t":1.0,"bus":"can0","id":"18FECA00x","name":"DM1","signals":{},"dtcs":[{"spn":91,"fmi":3,"oc":1}]}"#,
                r#"{"t":2.0,"bus":"can0","id":"18FECB00x","name":"DM2","signals":{},"dtcs":[]}"#,
            ],
            "{}",
        );
    }

    #[test]
    fn obd_answers_and_vins_are_lines_of_their_own() {
        check(
            can,
            "(1.0) can0 7E8#03410D3500000000\n\
             (1.0) can0 7E8#1014490201315850\n\
             (1.0) can0 7E8#214244343958314D\n\
             (2.0) can0 7E8#2244303030303031\n",
            &[
                r#"{"t":1.0,"bus":"can0","id":"7E8","name":"OBD","signals":{"Speed":{"v":53.0,"unit":"km/h"}}}"#,
                r#"{"t":2.0,"bus":"can0","id":"7E8","name":"VI","signals":{"VehicleIdentNumber":{"v":"1XPBD49X1MD000001","unit":""}}}"#,
            ],
            "{}",
        );
    }
}
