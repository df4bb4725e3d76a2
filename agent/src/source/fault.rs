//! What a decoder could not use, counted by kind.
//!
//! Promise: counting costs one array slot and never allocates, so a line full of noise is as cheap as a clean one.
//! Counts become a [`FaultCounts`] only when a shell reports them.

use super::FaultCounts;

/// A kind of unusable input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes outside any sentence, counted once per run: comments, binary protocols, a wrong line speed.
    Noise,
    /// A new `$` began before the sentence ended.
    Torn,
    /// A sentence longer than any receiver sends.
    TooLong,
    /// A sentence holds a byte that is no printable ASCII.
    NotAscii,
    /// The checksum is another than the sentence's.
    BadChecksum,
    /// The sentence ends without a checksum.
    NoChecksum,
    /// A manufacturer's own sentence.
    Proprietary,
    /// A sentence, or a command, that no table knows.
    UnknownType,
    /// A known sentence whose fields cannot be read.
    Unparsed,
    /// A value outside what exists, such as latitude 91.
    OutOfRange,
    /// A sentence for an epoch that was already reported.
    Late,
    /// A fix dated before this software existed, or far from the clock the receiver set before; its time is not believed.
    ImplausibleDate,
    /// A fix dated 1024 or 2048 weeks back by a receiver that lost count; it was redated by the agent's clock.
    WeekRollover,
    /// A fix whose date nothing confirms yet; it is not used.
    UnconfirmedDate,
    /// A fix worse than the source's policy wants.
    PoorFix,
    /// A fix farther from the last one than the vehicle can have come.
    Jump,
    /// A peer, such as gpsd, refused what was asked of it.
    PeerError,
    /// A line that cannot be read: of a candump log, of gpsd.
    Malformed,
    /// A frame that no table knows.
    UnknownId,
    /// A frame shorter than its table says.
    ShortFrame,
    /// A multiplexed frame whose page its table does not list.
    UnknownPage,
    /// A group of several frames that was aborted, replaced or lost one.
    TransportBroken,
    /// A request for a frame; it carries no data.
    RemoteRequest,
    /// An error frame of the bus itself.
    ErrorFrame,
    /// A signal whose sender says it is not available.
    NotAvailable,
    /// A signal whose sender reports an error, or a reserved code.
    ErrorCode,
    /// A frame that the kernel dropped because it was not fetched in time.
    Dropped,
    /// The controller or adapter lost at least one frame because it was not emptied in time.
    Overflow,
    /// A command that an adapter refused.
    Refused,
    /// One more trouble code or vehicle than are followed.
    TooMany,
    /// A question that the interface or adapter did not send.
    NotSent,
}

impl Fault {
    const ALL: &'static [Self] = &[
        Self::Noise,
        Self::Torn,
        Self::TooLong,
        Self::NotAscii,
        Self::BadChecksum,
        Self::NoChecksum,
        Self::Proprietary,
        Self::UnknownType,
        Self::Unparsed,
        Self::OutOfRange,
        Self::Late,
        Self::ImplausibleDate,
        Self::WeekRollover,
        Self::UnconfirmedDate,
        Self::PoorFix,
        Self::Jump,
        Self::PeerError,
        Self::Malformed,
        Self::UnknownId,
        Self::ShortFrame,
        Self::UnknownPage,
        Self::TransportBroken,
        Self::RemoteRequest,
        Self::ErrorFrame,
        Self::NotAvailable,
        Self::ErrorCode,
        Self::Dropped,
        Self::Overflow,
        Self::Refused,
        Self::TooMany,
        Self::NotSent,
    ];

    /// The kind's word on the status page and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Torn => "torn",
            Self::TooLong => "too_long",
            Self::NotAscii => "not_ascii",
            Self::BadChecksum => "bad_checksum",
            Self::NoChecksum => "no_checksum",
            Self::Proprietary => "proprietary",
            Self::UnknownType => "unknown_type",
            Self::Unparsed => "unparsed",
            Self::OutOfRange => "out_of_range",
            Self::Late => "late",
            Self::ImplausibleDate => "implausible_date",
            Self::WeekRollover => "week_rollover",
            Self::UnconfirmedDate => "unconfirmed_date",
            Self::PoorFix => "poor_fix",
            Self::Jump => "jump",
            Self::PeerError => "peer_error",
            Self::Malformed => "malformed",
            Self::UnknownId => "unknown_id",
            Self::ShortFrame => "short_frame",
            Self::UnknownPage => "unknown_page",
            Self::TransportBroken => "transport_broken",
            Self::RemoteRequest => "remote_request",
            Self::ErrorFrame => "error_frame",
            Self::NotAvailable => "not_available",
            Self::ErrorCode => "error_code",
            Self::Dropped => "dropped",
            Self::Overflow => "overflow",
            Self::Refused => "refused",
            Self::TooMany => "too_many",
            Self::NotSent => "not_sent",
        }
    }
}

/// Counts of faults since they were last taken.
#[derive(Debug, Clone)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
}

impl Default for Faults {
    fn default() -> Self {
        Self { counts: [0; Fault::ALL.len()] }
    }
}

impl Faults {
    /// One more of this kind.
    pub fn count(&mut self, fault: Fault) {
        self.add(fault, 1);
    }

    /// So many more of this kind.
    pub fn add(&mut self, fault: Fault, more: u64) {
        let count = &mut self.counts[fault as usize];
        *count = count.saturating_add(more);
    }

    /// All that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
    }

    /// How many were counted, of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The counts by kind, and starts again from zero. Kinds that did not occur are absent.
    pub fn take(&mut self) -> FaultCounts {
        let counts = std::mem::take(self).counts;
        Fault::ALL.iter().zip(counts).filter(|(_, count)| *count > 0).map(|(fault, n)| (fault.as_str(), n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_counted_under_its_own_word_once() {
        let mut faults = Faults::default();
        for fault in Fault::ALL {
            faults.count(*fault);
        }
        let counts = faults.take();
        assert_eq!(counts.len(), Fault::ALL.len());
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        assert_eq!(faults.total(), 0);
    }
}
