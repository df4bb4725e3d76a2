//! What an app may say, read and checked: bytes in, a capture or the reason against it out.
//!
//! Promise: a [`DriverCapture`] that [`Contract::read`] returns is within every bound, so it can be kept for years. What
//! is refused is refused with the place and the mend, and its [`client_ref`](client_ref_of) is found where the bytes
//! allow, so that even a torn message can be answered to the app that sent it.

use milepost_proto::driver_app::{Capture, REFERENCE_BYTES_MAX, Rejection, RejectionCode};
use milepost_proto::{DriverAction, DriverException, Pod, Timestamp, Trip};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::capture::DriverCapture;

/// Largest message with a capture, bytes: a proof of delivery with 1000 items fits; photos travel as blobs.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Which of the three shapes a message has; the topic or the path says so, never the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Proof of delivery.
    Pod,
    /// Something someone must look at.
    Exception,
    /// What the driver did.
    Driver,
}

impl Contract {
    /// Reads and checks a message.
    ///
    /// # Errors
    /// `too_large` before anything is parsed, `malformed` naming the field, or what the shape's own check says.
    pub fn read(self, message: &[u8]) -> Result<DriverCapture, Rejection> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Rejection::new(
                RejectionCode::TooLarge,
                format!("the message has more than {MESSAGE_BYTES_MAX} bytes"),
                "send photos and signatures as blobs and only their SHA-256 here",
            ));
        }
        match self {
            Self::Pod => {
                let pod: Pod = self.parse(message)?;
                pod.check().map(|()| DriverCapture::Pod(Box::new(pod)))
            }
            Self::Exception => {
                let exception: DriverException = self.parse(message)?;
                exception.check().map(|()| DriverCapture::Exception(Box::new(exception)))
            }
            Self::Driver => {
                let action: DriverAction = self.parse(message)?;
                action.check().map(|()| DriverCapture::Action(Box::new(action)))
            }
        }
    }

    /// The fields without which a message of this shape says nothing.
    const fn mend(self) -> &'static str {
        match self {
            Self::Pod => "send one JSON object with at least client_ref, stop, shipment and outcome",
            Self::Exception => "send one JSON object with at least client_ref and code",
            Self::Driver => "send one JSON object with at least client_ref and action",
        }
    }

    fn parse<T: DeserializeOwned>(self, message: &[u8]) -> Result<T, Rejection> {
        let mut reader = serde_json::Deserializer::from_slice(message);
        let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (place, what) = (error.path().to_string(), error.inner());
            // Where the bytes are no JSON at all, or the whole message is meant, the path says nothing.
            let placed = what.is_data() && place != ".";
            self.malformed(&if placed { format!("{place}: {what}") } else { what.to_string() })
        })?;
        reader.end().map_err(|error| self.malformed(&error.to_string()))?;
        Ok(parsed)
    }

    fn malformed(self, what: &str) -> Rejection {
        Rejection::new(RejectionCode::Malformed, format!("the message cannot be read: {what}"), self.mend())
    }
}

/// The `client_ref` of a message that may be torn, misshapen or too large; absent when none can be told.
#[must_use]
pub fn client_ref_of(message: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Referenced {
        client_ref: String,
    }
    let whole = serde_json::from_slice::<Referenced>(message).ok().map(|referenced| referenced.client_ref);
    whole.or_else(|| first_client_ref(message)).filter(|client_ref| is_reference(client_ref))
}

/// The text after the first `"client_ref":`, for messages that are not whole.
fn first_client_ref(message: &[u8]) -> Option<String> {
    const KEY: &[u8] = br#""client_ref""#;
    let key = message.windows(KEY.len()).position(|window| window == KEY)?;
    let value = message[key + KEY.len()..].trim_ascii_start().strip_prefix(b":")?;
    serde_json::Deserializer::from_slice(value).into_iter::<String>().next()?.ok()
}

fn is_reference(client_ref: &str) -> bool {
    (1..=REFERENCE_BYTES_MAX).contains(&client_ref.len()) && !client_ref.chars().any(char::is_control)
}

/// Checks that a capture is about a stop of the current trip.
///
/// Without a trip everything is accepted: a vehicle that never heard of its trip must still keep evidence.
///
/// # Errors
/// `unknown_stop`, naming the stop and the mend.
pub fn check_stop(capture: &DriverCapture, trip: Option<&Trip>) -> Result<(), Rejection> {
    match (capture.stop(), trip) {
        (Some(stop), Some(trip)) if trip.stop(stop).is_none() => Err(Rejection::new(
            RejectionCode::UnknownStop,
            format!("stop {stop:?} is not on trip {:?}", trip.id),
            "load the trip again and choose one of its stops, or report an exception without a stop",
        )),
        _ => Ok(()),
    }
}

/// Adds what only the agent knows: the time `now` where the app gave none, and where the vehicle was.
///
/// A fix that the app itself claims is replaced, also by none: it is the vehicle's statement, not the phone's.
#[must_use]
pub fn complete(capture: DriverCapture, now: Timestamp, fix: Option<Capture>) -> DriverCapture {
    match capture {
        DriverCapture::Pod(mut pod) => {
            pod.at.get_or_insert(now);
            pod.capture = fix;
            DriverCapture::Pod(pod)
        }
        DriverCapture::Action(mut action) => {
            action.at.get_or_insert(now);
            DriverCapture::Action(action)
        }
        DriverCapture::Exception(mut exception) => {
            exception.at.get_or_insert(now);
            DriverCapture::Exception(exception)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"client_ref":"c-1","stop":"S1","shipment":"P1","outcome":"completed"}"#;

    fn check(contract: Contract, message: &str, expected: Result<&str, &str>) {
        let read = contract.read(message.as_bytes());
        let shown = read
            .map(|capture| capture.client_ref().to_owned())
            .map_err(|rejection| format!("{}: {}", rejection.code.as_str(), rejection.message));
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{message}");
    }

    #[test]
    fn each_contract_takes_its_smallest_message() {
        check(Contract::Pod, POD, Ok("c-1"));
        check(Contract::Exception, r#"{"client_ref":"e-1","code":"A84"}"#, Ok("e-1"));
        check(Contract::Driver, r#"{"client_ref":"a-1","action":"trip_started"}"#, Ok("a-1"));
    }

    #[test]
    fn what_cannot_be_read_names_its_place() {
        let cases = [
            ("", "EOF while parsing a value at line 1 column 0"),
            (r#"{"client_ref":"c-1","#, "EOF while parsing a value at line 1 column 20"),
            (r#"{"client_ref":"c-1","stop":"S1"}"#, "missing field `shipment` at line 1 column 32"),
            (
                r#"{"client_ref":"c","stop":"S","shipment":"P","outcome":"completed","items":[{"ref":"l"},{"ref":"m","delivered":"2"}]}"#,
                "items[1].delivered: invalid type: string \"2\", expected f64 at line 1 column 113",
            ),
            (
                r#"{"client_ref":"c","stop":"S","shipment":"P","outcome":"completed","photos":["../../etc"]}"#,
                "photos[0]: a content hash is 64 hex digits (the SHA-256 of the bytes) at line 1 column 88",
            ),
        ];
        for (message, what) in cases {
            check(Contract::Pod, message, Err(&format!("malformed: the message cannot be read: {what}")));
        }
    }

    #[test]
    fn a_second_value_after_the_message_is_not_ignored() {
        check(
            Contract::Pod,
            &format!("{POD} {POD}"),
            Err("malformed: the message cannot be read: trailing characters at line 1 column 72"),
        );
    }

    #[test]
    fn values_out_of_bounds_get_the_shapes_own_rejection() {
        check(Contract::Pod, &POD.replace("S1", ""), Err("invalid_field: stop is empty"));
        check(Contract::Driver, r#"{"client_ref":"a","action":"arrived"}"#, Err("invalid_field: stop is missing"));
    }

    #[test]
    fn a_large_message_is_refused_before_it_is_parsed() {
        let padded = |bytes: usize| format!("{POD}{}", " ".repeat(bytes - POD.len()));
        check(Contract::Pod, &padded(MESSAGE_BYTES_MAX), Ok("c-1"));
        check(Contract::Pod, &padded(MESSAGE_BYTES_MAX + 1), Err("too_large: the message has more than 65536 bytes"));
    }

    #[test]
    fn the_reference_is_found_even_in_a_torn_message() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (POD.as_bytes(), Some("c-1")),
            (br#"{"remarks":"\"client_ref\":\"x\"","client_ref":"c-2"}"#, Some("c-2")),
            (br#"{"client_ref" : "c\u00e9", "stop":"#, Some("cé")),
            (br#"{"client_ref":"c-3"#, None),
            (br#"{"client_ref":7"#, None),
            (br#"{"client_ref":"a\u0000b""#, None),
            (b"\xff\xfe", None),
            (b"", None),
        ];
        for (message, expected) in cases {
            assert_eq!(client_ref_of(message).as_deref(), expected, "{}", String::from_utf8_lossy(message));
        }
        assert_eq!(client_ref_of(format!(r#"{{"client_ref":"{}""#, "x".repeat(129)).as_bytes()), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_be_answered(
            message in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            prefix_len in 0..POD.len(),
        ) {
            let torn = [&POD.as_bytes()[..prefix_len], &message].concat();
            for contract in [Contract::Pod, Contract::Exception, Contract::Driver] {
                let read = contract.read(&torn);
                proptest::prop_assert!(read.map_or_else(|rejection| !rejection.mend.is_empty(), |_| true));
            }
            let client_ref = client_ref_of(&torn);
            // The reference is whole once its closing quote arrived.
            proptest::prop_assert!(prefix_len < 19 || client_ref.as_deref() == Some("c-1"));
        }
    }

    fn trip() -> Trip {
        serde_json::from_str(r#"{"id":"T1","stops":[{"id":"S1","kind":"delivery","lat":47,"lon":8}]}"#).expect("a trip")
    }

    #[test]
    fn only_stops_of_the_known_trip_are_taken() {
        let capture = |stop: &str| Contract::Pod.read(POD.replace("S1", stop).as_bytes()).expect("well-formed");
        assert_eq!(check_stop(&capture("S1"), Some(&trip())), Ok(()));
        assert_eq!(check_stop(&capture("S9"), None), Ok(()));
        let rejection = check_stop(&capture("S9"), Some(&trip())).expect_err("S9 is not on the trip");
        assert_eq!(rejection.code, RejectionCode::UnknownStop);
        assert_eq!(rejection.message, r#"stop "S9" is not on trip "T1""#);
    }

    #[test]
    fn the_vehicle_speaks_for_time_and_place() {
        let now = Timestamp::from_millis(1_000);
        let fix = Capture { lat_e7: 1, lon_e7: 2, fix_age_ms: 3 };
        let claimed = POD.replace('}', r#","capture":{"lat_e7":9,"lon_e7":9,"fix_age_ms":0}}"#);
        let pod = |message: &str, fix| match complete(Contract::Pod.read(message.as_bytes()).expect("good"), now, fix) {
            DriverCapture::Pod(pod) => pod,
            other => panic!("not a POD: {other:?}"),
        };
        assert_eq!(pod(POD, Some(fix)).at, Some(now));
        assert_eq!(pod(POD, Some(fix)).capture, Some(fix));
        assert_eq!(pod(&claimed, None).capture, None);
        let told = POD.replace('}', r#","at":"2026-11-24T09:00:00Z"}"#);
        assert_eq!(pod(&told, None).at, "2026-11-24T09:00:00Z".parse().ok());
    }
}
