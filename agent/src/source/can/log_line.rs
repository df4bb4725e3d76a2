//! A frame as candump writes it, without a time: `can0 18FEF100#F3005AFFFFFFFFFF`.
//!
//! Promise: what is written is read back as the same frame by [`super::candump`], so that a line on the status page can
//! be pasted into a log.

use std::fmt;

use super::{CanId, Frame, FrameBody};

/// Set in the identifier of an error frame.
const ERROR_FLAG: u32 = 0x2000_0000;
/// Longest data of a frame that is no CAN FD frame, bytes.
const CLASSIC_BYTES_MAX: usize = 8;

/// A frame of a bus, to be shown.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// The bus, such as `can0`.
    pub bus: &'a str,
    /// The frame.
    pub frame: &'a Frame,
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.bus)?;
        match (&self.frame.body, self.frame.id) {
            (FrameBody::Error, CanId::Standard(id)) => write!(f, "{:08X}", ERROR_FLAG | u32::from(id))?,
            (FrameBody::Error, CanId::Extended(id)) => write!(f, "{:08X}", ERROR_FLAG | id)?,
            (_, CanId::Standard(id)) => write!(f, "{id:03X}")?,
            (_, CanId::Extended(id)) => write!(f, "{id:08X}")?,
        }
        match &self.frame.body {
            FrameBody::RemoteRequest => f.write_str("#R"),
            FrameBody::Error => f.write_str("#"),
            FrameBody::Data(data) => {
                let bytes = data.as_bytes();
                f.write_str(if bytes.len() > CLASSIC_BYTES_MAX { "##0" } else { "#" })?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Data, candump};
    use super::*;

    #[test]
    fn frames_are_written_as_candump_does() {
        for line in ["can0 18FEF100#F3005A", "can0 7FF#", "can0 00000123#R", "can0 123##0001122334455667788"] {
            let frame = candump::parse(line.as_bytes()).expect("a line").frame;
            assert_eq!(LogLine { bus: "can0", frame: &frame }.to_string(), line);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            extended: bool,
            id in 0_u32..0x2000_0000,
            kind in 0_usize..3,
            bytes in proptest::collection::vec(any::<u8>(), 0..=64),
        ) {
            let mut data = Data::EMPTY;
            prop_assert!(bytes.iter().all(|byte| data.push(*byte)));
            let body = [FrameBody::Data(data), FrameBody::RemoteRequest, FrameBody::Error][kind];
            let standard = CanId::Standard(u16::try_from(id & 0x7ff).expect("11 bits"));
            // An error frame's identifier says what went wrong and has no short form.
            let id = if extended || body == FrameBody::Error { CanId::Extended(id) } else { standard };
            let frame = Frame { id, body };
            let line = LogLine { bus: "can0", frame: &frame }.to_string();
            prop_assert_eq!(candump::parse(line.as_bytes()).map(|line| line.frame), Some(frame));
        }
    }
}
