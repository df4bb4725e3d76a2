//! SAE J1939-21 transport protocol: parameter groups longer than one frame.
//!
//! Promise: pure and bounded: at most [`SESSIONS_MAX`] transfers at once, the one idle longest gives way. Broadcasts
//! (BAM) and transfers between two units (RTS/CTS) are overheard, never answered. A transfer that was aborted, replaced
//! or lost a packet gives nothing and is counted; half a group is never decoded.

use crate::source::fault::Fault;

use super::CanId;
use super::j1939::Address;

/// Connection management.
pub const CONTROL_PGN: u32 = 60_416;
/// Data transfer.
pub const DATA_PGN: u32 = 60_160;
/// Most transfers under way at once.
pub const SESSIONS_MAX: usize = 16;

const REQUEST_TO_SEND: u8 = 16;
/// Announces a group for everybody.
pub(super) const BROADCAST: u8 = 32;
const ABORT: u8 = 255;
const PACKET_BYTES: usize = 7;
/// 255 packets.
const GROUP_BYTES_MAX: usize = 1_785;
/// The destination of a group for everybody.
const EVERYBODY: u8 = 255;

/// Puts groups together.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    sessions: Vec<Session>,
    /// Frames heard, to tell which session is idle longest.
    heard: u64,
}

/// A group that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its parameter group number.
    pub pgn: u32,
    /// Who sent it.
    pub source: u8,
    /// Its data.
    pub data: &'a [u8],
}

/// One transfer; kept when it has ended, so that its memory is used again.
#[derive(Debug, Clone)]
struct Session {
    route: Route,
    under_way: bool,
    pgn: u32,
    size: usize,
    /// Packets that came, in order.
    packets: usize,
    last_heard: u64,
    bytes: [u8; GROUP_BYTES_MAX],
}

/// Who sends to whom; one transfer at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    source: u8,
    destination: u8,
}

/// Whose transfer a frame belongs to, if it belongs to one.
#[must_use]
pub const fn address(id: CanId) -> Option<Address> {
    let CanId::Extended(id) = id else { return None };
    let address = Address::from_id(id);
    if matches!(address.pgn, CONTROL_PGN | DATA_PGN) { Some(address) } else { None }
}

impl Transport {
    /// Takes a frame of [`CONTROL_PGN`] or [`DATA_PGN`]; gives the group that it completes.
    ///
    /// # Errors
    /// The [`Fault`] to count.
    pub fn push(&mut self, address: Address, data: &[u8]) -> Result<Option<Group<'_>>, Fault> {
        let &[first, a, b, c, d, e, f, g] = data.first_chunk().ok_or(Fault::ShortFrame)?;
        let route = Route { source: address.source, destination: address.destination.unwrap_or(EVERYBODY) };
        self.heard += 1;
        if address.pgn == DATA_PGN {
            return self.packet(route, first, [a, b, c, d, e, f, g]);
        }
        match first {
            BROADCAST | REQUEST_TO_SEND => {
                self.begin(route, u32::from_le_bytes([e, f, g, 0]), u16::from_le_bytes([a, b]).into()).map(|()| None)
            }
            ABORT => self.abort(route).map(|()| None),
            _ => Ok(None),
        }
    }

    fn begin(&mut self, route: Route, pgn: u32, size: usize) -> Result<(), Fault> {
        if !(9..=GROUP_BYTES_MAX).contains(&size) {
            return Err(Fault::TransportBroken);
        }
        let heard = self.heard;
        let session = self.session(route);
        // The sender has given up what it had begun before, or another transfer had to make room.
        let broken = session.under_way;
        (session.route, session.under_way, session.last_heard) = (route, true, heard);
        (session.pgn, session.size, session.packets) = (pgn, size, 0);
        if broken { Err(Fault::TransportBroken) } else { Ok(()) }
    }

    /// The session for a route: its own, a new one, or the one idle longest.
    fn session(&mut self, route: Route) -> &mut Session {
        let own = self.sessions.iter().position(|session| session.route == route);
        let index = own.unwrap_or_else(|| {
            if self.sessions.len() < SESSIONS_MAX {
                self.sessions.push(Session::unused(route));
                return self.sessions.len() - 1;
            }
            let idle =
                self.sessions.iter().enumerate().min_by_key(|(_, session)| (session.under_way, session.last_heard));
            idle.map_or(0, |(index, _)| index)
        });
        &mut self.sessions[index]
    }

    fn packet(&mut self, route: Route, number: u8, bytes: [u8; PACKET_BYTES]) -> Result<Option<Group<'_>>, Fault> {
        let heard = self.heard;
        let under_way = self.sessions.iter_mut().find(|session| session.route == route && session.under_way);
        let session = under_way.ok_or(Fault::TransportBroken)?;
        session.last_heard = heard;
        let place = usize::from(number).wrapping_sub(1);
        // A receiver may ask for packets again; a broadcast is never repeated.
        let repeated = route.destination != EVERYBODY && place < session.packets;
        if place != session.packets && !repeated {
            session.under_way = false;
            return Err(Fault::TransportBroken);
        }
        let room = session.bytes.get_mut(place * PACKET_BYTES..).and_then(|rest| rest.first_chunk_mut());
        *room.ok_or(Fault::TransportBroken)? = bytes;
        session.packets = session.packets.max(place + 1);
        if session.packets * PACKET_BYTES < session.size {
            return Ok(None);
        }
        session.under_way = false;
        Ok(Some(Group { pgn: session.pgn, source: route.source, data: &session.bytes[..session.size] }))
    }

    /// Either side may abort; the abort travels from one to the other.
    fn abort(&mut self, route: Route) -> Result<(), Fault> {
        let back = Route { source: route.destination, destination: route.source };
        let mut under_way = self.sessions.iter_mut().filter(|session| session.under_way);
        let Some(session) = under_way.find(|session| session.route == route || session.route == back) else {
            return Ok(());
        };
        session.under_way = false;
        Err(Fault::TransportBroken)
    }
}

impl Session {
    const fn unused(route: Route) -> Self {
        Self { route, under_way: false, pgn: 0, size: 0, packets: 0, last_heard: 0, bytes: [0; GROUP_BYTES_MAX] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frames as `identifier data`, and what each gives.
    fn check(frames: &[(u32, [u8; 8])], expected: &[&str]) {
        let mut transport = Transport::default();
        let found: Vec<_> = frames.iter().map(|(id, data)| show(transport.push(Address::from_id(*id), data))).collect();
        assert_eq!(found, expected);
    }

    fn show(outcome: Result<Option<Group<'_>>, Fault>) -> String {
        match outcome {
            Ok(None) => "-".to_owned(),
            Ok(Some(group)) => format!("{} from {}: {:?}", group.pgn, group.source, group.data),
            Err(fault) => fault.as_str().to_owned(),
        }
    }

    const BAM_10: [u8; 8] = [32, 10, 0, 2, 0xff, 0xca, 0xfe, 0];
    const RTS_10: [u8; 8] = [16, 10, 0, 2, 0xff, 0xca, 0xfe, 0];
    const FIRST: [u8; 8] = [1, 1, 2, 3, 4, 5, 6, 7];
    const SECOND: [u8; 8] = [2, 8, 9, 10, 0xff, 0xff, 0xff, 0xff];
    const WHOLE: &str = "65226 from 0: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    const BROKEN: &str = "transport_broken";

    #[test]
    fn a_broadcast_is_put_together() {
        check(&[(0x1CEC_FF00, BAM_10), (0x1CEB_FF00, FIRST), (0x1CEB_FF00, SECOND)], &["-", "-", WHOLE]);
    }

    #[test]
    fn transfers_of_two_senders_do_not_mix() {
        let frames = [
            (0x1CEC_FF00, BAM_10),
            (0x1CEC_FF03, BAM_10),
            (0x1CEB_FF00, FIRST),
            (0x1CEB_FF03, FIRST),
            (0x1CEB_FF00, SECOND),
        ];
        check(&frames, &["-", "-", "-", "-", WHOLE]);
    }

    #[test]
    fn a_transfer_between_two_units_may_repeat_packets_and_is_answered_by_others() {
        let clear_to_send = [17, 2, 1, 0xff, 0xff, 0xca, 0xfe, 0];
        let frames = [
            (0x1CEC_0B00, RTS_10),
            (0x1CEC_000B, clear_to_send),
            (0x1CEB_0B00, FIRST),
            (0x1CEB_0B00, FIRST),
            (0x1CEB_0B00, SECOND),
        ];
        check(&frames, &["-", "-", "-", "-", WHOLE]);
    }

    #[test]
    fn a_broken_transfer_gives_nothing_and_is_counted() {
        check(&[(0x1CEC_FF00, BAM_10), (0x1CEB_FF00, SECOND), (0x1CEB_FF00, FIRST)], &["-", BROKEN, BROKEN]);
        check(&[(0x1CEC_FF00, BAM_10), (0x1CEC_FF00, BAM_10), (0x1CEB_FF00, FIRST)], &["-", BROKEN, "-"]);
        let abort = [255, 1, 0xff, 0xff, 0xff, 0xca, 0xfe, 0];
        check(&[(0x1CEC_0B00, RTS_10), (0x1CEC_000B, abort), (0x1CEB_0B00, FIRST)], &["-", BROKEN, BROKEN]);
        check(&[(0x1CEC_FF00, [32, 8, 0, 2, 0xff, 0xca, 0xfe, 0])], &[BROKEN]);
        check(&[(0x1CEC_FF00, [32, 0xff, 0xff, 2, 0xff, 0xca, 0xfe, 0])], &[BROKEN]);
    }

    proptest! {
        #[test]
        fn any_frames_keep_memory_bounded(
            frames in proptest::collection::vec((any::<bool>(), any::<u16>(), any::<[u8; 8]>()), 0..400)
        ) {
            let mut transport = Transport::default();
            for (control, route, data) in frames {
                let id = if control { 0x1CEC_0000 } else { 0x1CEB_0000 } | u32::from(route);
                if let Ok(Some(group)) = transport.push(Address::from_id(id), &data) {
                    prop_assert!(group.data.len() <= GROUP_BYTES_MAX);
                }
            }
            prop_assert!(transport.sessions.len() <= SESSIONS_MAX);
        }
    }
}
