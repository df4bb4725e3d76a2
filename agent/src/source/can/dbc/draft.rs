//! What a DBC file says about messages, before anybody asked whether it makes sense.

use super::layout::ByteOrder;

/// A message as written.
#[derive(Debug)]
pub(super) struct DraftMessage {
    pub(super) line: usize,
    /// The identifier; bit 31 says that it is an extended one.
    pub(super) raw_id: u64,
    pub(super) name: String,
    /// Length, bytes.
    pub(super) length: u64,
    pub(super) signals: Vec<DraftSignal>,
    /// Whether it stands for its J1939 parameter group, whoever sends it; none where the file does not say.
    pub(super) is_group: Option<bool>,
}

/// A signal as written.
#[derive(Debug)]
pub(super) struct DraftSignal {
    pub(super) line: usize,
    pub(super) name: String,
    /// Whether its value says which page of the message this is.
    pub(super) is_switch: bool,
    /// The page it is on.
    pub(super) page: Option<i128>,
    /// The pages it is on, and of which switch, where the file says so at length.
    pub(super) pages: Option<DraftPages>,
    pub(super) start: u64,
    pub(super) bits: u64,
    pub(super) order: ByteOrder,
    pub(super) signed: bool,
    /// 0 for a whole number, 1 for single, 2 for double precision.
    pub(super) precision: u8,
    pub(super) factor: f64,
    pub(super) offset: f64,
    pub(super) unit: String,
    pub(super) texts: Vec<(i128, String)>,
}

/// The pages a signal is on.
#[derive(Debug)]
pub(super) struct DraftPages {
    pub(super) switch: String,
    /// First and last of each run.
    pub(super) runs: Vec<(i128, i128)>,
}
