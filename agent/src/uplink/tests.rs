//! What is decided, step by step, against gateways of every kind.

use milepost_proto::{Lane, Receipt, SequenceRange, SpoolId};

use super::budget::LinkBudget;
use super::gateways::RETURN_MS;
use super::narrowing::{REFUSALS_MAX, REQUEST_BYTES_MAX};
use super::*;

const POLICY: UplinkPolicy = UplinkPolicy {
    gather_ms: 5_000,
    heartbeat_ms: 30_000,
    retry_ms_max: 60_000,
    gateways: 1,
    budget: BudgetPolicy {
        links: [LinkBudget { telemetry_bytes: None, blobs_bytes: None }; 3],
        blobs_want_wifi: false,
        blobs_wait_ms: 0,
        link: LinkClass::Metered,
    },
};
const NOTHING: Waiting = Waiting { urgent: false, telemetry: false, salvaged: false };
const TELEMETRY: Waiting = Waiting { telemetry: true, ..NOTHING };
const EVIDENCE: Waiting = Waiting { urgent: true, ..NOTHING };
const BOTH: Waiting = Waiting { urgent: true, telemetry: true, ..NOTHING };

fn answer() -> UplinkAnswer {
    let spool_id = SpoolId([0; 16]);
    let receipt = Receipt { spool_id, lane: Lane::Event, through: 1, accepted: Vec::new(), refused: Vec::new() };
    UplinkAnswer { receipts: vec![receipt], down_link: Vec::new(), blobs: Vec::new() }
}

fn ticket(slot: Slot) -> Ticket {
    Ticket { slot, gateway: 0, spare: false }
}

/// `chunks` of 100 bytes from `first` on.
fn load(lane: Lane, first: u64, chunks: usize) -> Load {
    let range = SequenceRange::new(first, first).expect("a range");
    Load { chunks, bytes: chunks * 100, first: Some((lane, range)) }
}

fn unreachable() -> SendFailure {
    SendFailure::Unreachable { why: "no route".to_owned() }
}

fn refused() -> SendFailure {
    SendFailure::Refused { why: "422 no".to_owned() }
}

fn denied() -> SendFailure {
    SendFailure::Denied { why: "403".to_owned() }
}

/// An uplink whose gateway answered both slots at `now_ms`.
fn idle_since(now_ms: u64, policy: UplinkPolicy) -> Uplink {
    let mut uplink = Uplink::new(policy);
    for (slot, cargo) in [(Slot::Urgent, Cargo::Urgent), (Slot::Bulk, Cargo::Nothing)] {
        uplink.handle_requested(ticket(slot), cargo, Load::default(), false, 100, now_ms);
        uplink.handle_answer(ticket(slot), &answer(), now_ms);
        uplink.handle_taken(ticket(slot));
    }
    uplink
}

fn request(slot: Slot, cargo: Cargo) -> Action {
    Action::Request(ticket(slot), cargo)
}

/// Makes the request that is due, with `load`; gives its ticket.
fn send(uplink: &mut Uplink, waiting: Waiting, load: Load, now_ms: u64) -> Ticket {
    let Action::Request(ticket, cargo) = uplink.poll(waiting, now_ms) else {
        panic!("no request is due at {now_ms}: {:?}", uplink.poll(waiting, now_ms))
    };
    let load = if cargo == Cargo::Nothing { Load::default() } else { load };
    uplink.handle_requested(ticket, cargo, load, false, 100, now_ms);
    ticket
}

fn taken(uplink: &mut Uplink, ticket: Ticket, now_ms: u64) {
    uplink.handle_answer(ticket, &answer(), now_ms);
    uplink.handle_taken(ticket);
}

#[test]
fn evidence_goes_at_once_telemetry_gathers_and_silence_ends_in_a_heartbeat() {
    let uplink = idle_since(1_000, POLICY);
    assert_eq!(uplink.poll(BOTH, 1_001), request(Slot::Urgent, Cargo::Urgent));
    assert_eq!(uplink.poll(TELEMETRY, 1_001), Action::Wait(Some(6_000)));
    assert_eq!(uplink.poll(TELEMETRY, 6_000), request(Slot::Bulk, Cargo::Telemetry));
    assert_eq!(uplink.poll(NOTHING, 6_000), Action::Wait(Some(31_000)));
    assert_eq!(uplink.poll(NOTHING, 31_000), request(Slot::Bulk, Cargo::Nothing));
}

#[test]
fn evidence_goes_by_a_connection_of_its_own_while_telemetry_hangs_and_nothing_is_sent_twice() {
    let mut uplink = idle_since(0, POLICY);
    let bulk = send(&mut uplink, TELEMETRY, load(Lane::Telemetry, 1, 9), 5_000);
    assert_eq!(bulk, ticket(Slot::Bulk));
    assert_eq!(uplink.poll(TELEMETRY, 99_000), Action::Wait(None), "the same telemetry is not sent again");
    let urgent = send(&mut uplink, BOTH, load(Lane::Evidence, 1, 1), 5_001);
    assert_eq!(urgent, Ticket { spare: true, ..ticket(Slot::Urgent) });
    assert_eq!(uplink.poll(BOTH, 99_000), Action::Wait(None), "two are under way");
    taken(&mut uplink, urgent, 5_100);
    assert_eq!((uplink.last_receipt_ms(), uplink.poll(TELEMETRY, 5_100)), (Some(5_100), Action::Wait(None)));
}

#[test]
fn two_requests_never_share_a_connection_whichever_came_first() {
    let mut uplink = idle_since(0, POLICY);
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 5_000);
    let bulk = send(&mut uplink, BOTH, load(Lane::Telemetry, 1, 9), 5_000);
    assert_eq!((urgent.spare, bulk.spare), (false, true));
    taken(&mut uplink, urgent, 5_010);
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 2, 1), 5_020);
    assert!(!urgent.spare, "the spare one hangs");
}

#[test]
fn a_slot_that_waits_after_a_failure_keeps_the_other_from_nothing() {
    let mut uplink = idle_since(0, POLICY);
    let bulk = send(&mut uplink, TELEMETRY, load(Lane::Telemetry, 1, 9), 5_000);
    uplink.handle_failure(bulk, &unreachable(), 20_000, 1.0);
    assert_eq!(uplink.poll(TELEMETRY, 20_000), Action::Wait(Some(21_000)));
    assert_eq!(uplink.poll(BOTH, 20_000), request(Slot::Urgent, Cargo::Urgent));
}

#[test]
fn a_backlog_drains_without_pauses_and_salvage_goes_when_nothing_else_does() {
    let mut uplink = idle_since(0, POLICY);
    uplink.handle_requested(ticket(Slot::Bulk), Cargo::Telemetry, load(Lane::Telemetry, 1, 9), true, 100, 10);
    taken(&mut uplink, ticket(Slot::Bulk), 20);
    assert_eq!(uplink.poll(TELEMETRY, 20), request(Slot::Bulk, Cargo::Telemetry));
    let salvage = Waiting { salvaged: true, ..NOTHING };
    assert_eq!(uplink.poll(salvage, 20), request(Slot::Bulk, Cargo::Salvaged));
    uplink.handle_requested(ticket(Slot::Bulk), Cargo::Salvaged, Load::default(), false, 100, 30);
    uplink.handle_failure(ticket(Slot::Bulk), &refused(), 40, 0.5);
    assert_eq!(uplink.poll(salvage, 40), request(Slot::Bulk, Cargo::Nothing));
    taken(&mut uplink, ticket(Slot::Bulk), 50);
    assert_eq!(uplink.poll(salvage, 60), Action::Wait(Some(30_030)), "what was refused rests");
}

#[test]
fn a_failure_waits_and_makes_the_newest_chunk_the_present() {
    let mut uplink = idle_since(0, POLICY);
    uplink.handle_live_from(7);
    let bulk = send(&mut uplink, TELEMETRY, load(Lane::Telemetry, 7, 9), 5_000);
    assert_eq!(uplink.offer_limits(Slot::Bulk).live_from, 7);
    uplink.handle_failure(bulk, &unreachable(), 5_020, 0.5);
    assert_eq!(uplink.health(), UplinkHealth::Waiting);
    assert!(uplink.obstacle().expect("an obstacle").0.contains("no route"));
    assert_eq!(uplink.offer_limits(Slot::Bulk).live_from, u64::MAX);
    assert_eq!(uplink.poll(TELEMETRY, 5_520), request(Slot::Bulk, Cargo::Telemetry));
}

#[test]
fn a_gateway_that_does_not_want_this_device_is_asked_only_now_and_then() {
    let outdated = SendFailure::Outdated { why: "update this agent".to_owned() };
    let no_gateway = SendFailure::NoGateway { why: "404".to_owned() };
    for failure in [denied(), outdated, no_gateway] {
        let mut uplink = idle_since(0, POLICY);
        let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 10);
        uplink.handle_failure(urgent, &failure, 10, 0.5);
        assert_eq!(uplink.health(), UplinkHealth::Stopped);
        assert_eq!(uplink.poll(BOTH, 11), Action::Wait(Some(60_010)));
        let again = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 60_010);
        taken(&mut uplink, again, 60_020);
        assert_eq!((uplink.health(), uplink.obstacle()), (UplinkHealth::Idle, None));
    }
}

#[test]
fn a_busy_gateway_is_left_alone_as_long_as_it_asks() {
    let mut uplink = idle_since(0, POLICY);
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 10);
    uplink.handle_failure(urgent, &SendFailure::Busy { retry_after_ms: 9_000 }, 10, 0.5);
    assert_eq!(uplink.poll(EVIDENCE, 10), Action::Wait(Some(9_010)));
}

#[test]
fn too_large_halves_at_once_and_success_grows_again() {
    let mut uplink = idle_since(0, POLICY);
    let sent = Load { bytes: REQUEST_BYTES_MAX, ..load(Lane::Telemetry, 1, 9) };
    let bulk = send(&mut uplink, TELEMETRY, sent, 5_000);
    uplink.handle_failure(bulk, &SendFailure::TooLarge, 5_010, 0.5);
    assert_eq!(uplink.offer_limits(Slot::Bulk).bytes_max, REQUEST_BYTES_MAX / 2);
    let half = Load { bytes: REQUEST_BYTES_MAX / 2, ..sent };
    let bulk = send(&mut uplink, TELEMETRY, half, 5_010);
    taken(&mut uplink, bulk, 5_020);
    assert_eq!(uplink.offer_limits(Slot::Bulk).bytes_max, REQUEST_BYTES_MAX);
}

#[test]
fn what_does_not_fit_the_wire_is_halved_and_one_chunk_that_fits_none_is_set_aside() {
    let mut uplink = idle_since(0, POLICY);
    uplink.handle_unsendable(Slot::Bulk, load(Lane::Telemetry, 4, 2), "too large");
    assert_eq!(uplink.offer_limits(Slot::Bulk).bytes_max, 100);
    uplink.handle_unsendable(Slot::Bulk, load(Lane::Telemetry, 4, 1), "too large");
    let Action::Quarantine(poison) = uplink.poll(BOTH, 0) else { panic!("it is kept") };
    assert_eq!((poison.lane, poison.range.first()), (Lane::Telemetry, 4));
    uplink.handle_set_aside();
    assert_eq!(uplink.poll(BOTH, 0), request(Slot::Urgent, Cargo::Urgent));
}

/// Sends event 5 until something else happens than that it is sent again; every request without it is answered by `else_`.
fn refuse_five(uplink: &mut Uplink, from_ms: u64, mut else_: impl FnMut(&mut Uplink, Ticket, u64)) -> (Action, u64) {
    let mut now_ms = from_ms;
    for _ in 0..50 {
        match uplink.poll(EVIDENCE, now_ms) {
            Action::Request(ticket, cargo) => {
                let load = if cargo == Cargo::Urgent { load(Lane::Event, 5, 1) } else { Load::default() };
                uplink.handle_requested(ticket, cargo, load, false, 100, now_ms);
                if cargo == Cargo::Urgent {
                    uplink.handle_failure(ticket, &refused(), now_ms, 0.5);
                } else {
                    else_(uplink, ticket, now_ms);
                }
            }
            Action::Wait(Some(until_ms)) if uplink.health() != UplinkHealth::Stopped && until_ms < now_ms + 30_000 => {
                now_ms = until_ms;
            }
            other => return (other, now_ms),
        }
    }
    panic!("it does not end");
}

#[test]
fn a_chunk_that_a_sound_gateway_keeps_refusing_is_set_aside_within_seconds() {
    let mut uplink = idle_since(0, POLICY);
    let (action, now_ms) = refuse_five(&mut uplink, 10, taken);
    let Action::Quarantine(poison) = action else { panic!("{action:?}") };
    assert_eq!((poison.lane, poison.range.first()), (Lane::Event, 5));
    assert!(poison.why.contains("422 no"), "{}", poison.why);
    assert!(now_ms < 10_000, "{now_ms}");
    uplink.handle_set_aside();
    assert_eq!(uplink.poll(EVIDENCE, now_ms), request(Slot::Urgent, Cargo::Urgent));
}

#[test]
fn telemetry_goes_on_while_an_event_is_refused() {
    let mut uplink = idle_since(0, POLICY);
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Event, 5, 1), 10);
    uplink.handle_failure(urgent, &refused(), 10, 0.5);
    assert_eq!(uplink.poll(BOTH, 10), Action::Wait(Some(1_510)));
    let bulk = send(&mut uplink, TELEMETRY, load(Lane::Telemetry, 1, 9), 5_000);
    assert_eq!(bulk.slot, Slot::Bulk);
}

#[test]
fn a_gateway_that_refuses_everything_stops_the_sending_and_no_chunk_is_blamed() {
    let mut uplink = idle_since(0, POLICY);
    let refuse = |uplink: &mut Uplink, ticket, now_ms| uplink.handle_failure(ticket, &refused(), now_ms, 0.5);
    let (action, now_ms) = refuse_five(&mut uplink, 10, refuse);
    assert!(matches!(action, Action::Wait(Some(until_ms)) if until_ms == now_ms + 60_000), "{action:?}");
    assert_eq!(uplink.health(), UplinkHealth::Stopped);
    assert!(uplink.obstacle().expect("why").0.contains("even a request without records"));
}

#[test]
fn a_gateway_that_takes_no_chunk_at_all_does_not_empty_the_spool_into_the_quarantine() {
    let mut uplink = idle_since(0, POLICY);
    let mut now_ms = 10;
    for _ in 0..SET_ASIDE_MAX {
        let (action, at_ms) = refuse_five(&mut uplink, now_ms, |uplink, ticket, now_ms| {
            uplink.handle_answer(ticket, &answer(), now_ms);
            uplink.handle_taken(ticket);
        });
        assert!(matches!(action, Action::Quarantine(_)), "{action:?}");
        uplink.handle_set_aside();
        now_ms = at_ms;
    }
    let (action, now_ms) = refuse_five(&mut uplink, now_ms, taken);
    assert!(matches!(action, Action::Wait(Some(_))), "{action:?}");
    assert!(uplink.obstacle().expect("why").0.contains("one chunk after the other"));
    // Something is taken again: the next one that is refused is set aside as before.
    let bulk = send(&mut uplink, Waiting { urgent: false, ..BOTH }, load(Lane::Telemetry, 1, 9), now_ms + 5_000);
    taken(&mut uplink, bulk, now_ms + 5_000);
    let (action, _) = refuse_five(&mut uplink, now_ms + 60_000, taken);
    assert!(matches!(action, Action::Quarantine(_)), "{action:?}");
}

#[test]
fn an_answer_that_covers_nothing_waits_and_in_the_end_sets_aside() {
    let mut uplink = idle_since(0, POLICY);
    let mut now_ms = 10;
    for _ in 0..REFUSALS_MAX {
        let urgent = send(&mut uplink, EVIDENCE, load(Lane::Event, 5, 1), now_ms);
        uplink.handle_answer(urgent, &answer(), now_ms);
        uplink.handle_failure(urgent, &SendFailure::Uncovered, now_ms, 0.5);
        let Action::Wait(Some(until_ms)) = uplink.poll(EVIDENCE, now_ms) else { panic!("no pause") };
        now_ms = until_ms;
    }
    let without = send(&mut uplink, EVIDENCE, Load::default(), now_ms);
    taken(&mut uplink, without, now_ms);
    assert!(matches!(uplink.poll(EVIDENCE, now_ms), Action::Quarantine(_)));
}

#[test]
fn the_next_gateway_takes_over_and_the_first_is_used_again_when_it_answers() {
    let mut uplink = idle_since(0, UplinkPolicy { gateways: 2, ..POLICY });
    let mut now_ms = 10;
    while uplink.gateways().current() == 0 {
        let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), now_ms);
        uplink.handle_failure(urgent, &unreachable(), now_ms, 0.5);
        now_ms += 10_000;
    }
    let second = Ticket { gateway: 1, ..ticket(Slot::Urgent) };
    assert_eq!(uplink.poll(EVIDENCE, now_ms), Action::Request(second, Cargo::Urgent));
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), now_ms);
    taken(&mut uplink, urgent, now_ms);
    let due_ms = uplink.gateways().return_due_ms().expect("the first is asked again");
    assert!(due_ms <= now_ms + RETURN_MS);
    uplink.handle_requested(
        Ticket { gateway: 1, ..ticket(Slot::Bulk) },
        Cargo::Nothing,
        Load::default(),
        false,
        100,
        due_ms - 1,
    );
    taken(&mut uplink, Ticket { gateway: 1, ..ticket(Slot::Bulk) }, due_ms - 1);
    assert_eq!(uplink.poll(NOTHING, due_ms - 1), Action::Wait(Some(due_ms)));
    assert_eq!(uplink.poll(NOTHING, due_ms), request(Slot::Bulk, Cargo::Nothing));
    let asked = send(&mut uplink, NOTHING, Load::default(), due_ms);
    uplink.handle_failure(asked, &unreachable(), due_ms + 10, 0.5);
    assert_eq!((uplink.gateways().current(), uplink.failures()), (1, 0), "the one in use has not failed");
    let due_ms = uplink.gateways().return_due_ms().expect("and again");
    let back = ticket(Slot::Bulk);
    uplink.handle_requested(back, Cargo::Nothing, Load::default(), false, 100, due_ms);
    taken(&mut uplink, back, due_ms);
    assert_eq!(uplink.poll(EVIDENCE, due_ms), request(Slot::Urgent, Cargo::Urgent));
}

#[test]
fn a_device_that_one_gateway_refuses_tries_the_next_at_once_and_stops_when_all_do() {
    let mut uplink = idle_since(0, UplinkPolicy { gateways: 2, ..POLICY });
    let urgent = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 10);
    uplink.handle_failure(urgent, &denied(), 10, 0.5);
    let second = send(&mut uplink, EVIDENCE, load(Lane::Evidence, 1, 1), 10);
    assert_eq!((second.gateway, uplink.health()), (1, UplinkHealth::Sending));
    uplink.handle_failure(second, &denied(), 20, 0.5);
    assert_eq!(uplink.health(), UplinkHealth::Stopped);
    assert!(uplink.gateways().complaints().iter().all(Option::is_some));
}

#[test]
fn a_chunk_is_not_blamed_by_another_gateway_than_the_one_that_refused_it() {
    let mut uplink = idle_since(0, UplinkPolicy { gateways: 2, ..POLICY });
    for now_ms in [10, 10_000, 20_000] {
        let urgent = send(&mut uplink, EVIDENCE, load(Lane::Event, 5, 1), now_ms);
        uplink.handle_failure(urgent, &refused(), now_ms, 0.5);
    }
    let without = send(&mut uplink, EVIDENCE, Load::default(), 30_000);
    uplink.handle_failure(without, &refused(), 30_000, 0.5);
    let second = send(&mut uplink, EVIDENCE, load(Lane::Event, 5, 1), 30_000);
    assert_eq!(second.gateway, 1);
    taken(&mut uplink, second, 30_010);
    assert!(matches!(uplink.poll(NOTHING, 30_010), Action::Request(_, Cargo::Nothing) | Action::Wait(_)));
}

#[test]
fn telemetry_waits_for_its_budget_and_evidence_does_not() {
    let mut budget = POLICY.budget;
    budget.links[LinkClass::Metered as usize].telemetry_bytes = Some(10_000);
    let mut uplink = idle_since(0, UplinkPolicy { budget, ..POLICY });
    assert_eq!(uplink.offer_limits(Slot::Bulk).bytes_max, 10_000);
    let bulk = send(&mut uplink, TELEMETRY, load(Lane::Telemetry, 1, 9), 5_000);
    uplink.budget.handle_sent(Spent::Telemetry, 20_000);
    taken(&mut uplink, bulk, 5_010);
    assert_eq!(uplink.poll(TELEMETRY, 29_000), Action::Wait(Some(35_000)), "only the heartbeat is due");
    assert_eq!(uplink.poll(BOTH, 29_000), request(Slot::Urgent, Cargo::Urgent));
    uplink.handle_time(None, &[], Some(LinkClass::Wifi));
    assert_eq!(uplink.poll(TELEMETRY, 29_000), request(Slot::Bulk, Cargo::Telemetry));
}

/// An uplink whose gateway wants a photo from byte 100 on.
fn wanting(photo: BlobOffer) -> Uplink {
    let mut uplink = idle_since(0, POLICY);
    assert_eq!(uplink.offer_blobs(&[photo], 0), [photo]);
    let blobs = vec![BlobState { sha256: photo.sha256, held: 100, complete: false }];
    uplink.handle_answer(ticket(Slot::Bulk), &UplinkAnswer { blobs, ..answer() }, 0);
    uplink
}

#[test]
fn wanted_blobs_are_sent_from_where_the_gateway_left_off_and_keep_no_evidence_waiting() {
    let photo = BlobOffer { sha256: Sha256::of(b"photo"), size: 300 };
    let state = |held, complete| BlobState { sha256: photo.sha256, held, complete };
    let (mut uplink, bulk) = (wanting(photo), ticket(Slot::Bulk));
    assert_eq!(uplink.poll(NOTHING, 0), Action::BlobPart(bulk, photo, 100));
    uplink.handle_part_sent(bulk, photo.sha256, 100);
    assert_eq!(
        uplink.poll(EVIDENCE, 0),
        Action::Request(Ticket { spare: true, ..ticket(Slot::Urgent) }, Cargo::Urgent)
    );
    uplink.handle_part_taken(bulk, state(200, false), 100, 1, 0.5);
    assert_eq!(uplink.poll(NOTHING, 1), Action::BlobPart(bulk, photo, 200));
    uplink.handle_part_taken(bulk, state(300, true), 200, 2, 0.5);
    assert!(matches!(uplink.poll(NOTHING, 2), Action::Wait(Some(_))));
}

#[test]
fn a_gateway_that_takes_nothing_of_a_blob_is_not_sent_it_without_pause() {
    let photo = BlobOffer { sha256: Sha256::of(b"photo"), size: 300 };
    let (mut uplink, bulk) = (wanting(photo), ticket(Slot::Bulk));
    uplink.handle_part_sent(bulk, photo.sha256, 100);
    uplink.handle_part_taken(bulk, BlobState { sha256: photo.sha256, held: 0, complete: false }, 100, 1, 0.5);
    assert_eq!(uplink.health(), UplinkHealth::Waiting);
    assert!(matches!(uplink.poll(NOTHING, 1), Action::Wait(Some(_))));
}

#[test]
fn a_blob_whose_parts_are_refused_rests_and_the_others_go_on() {
    let photo = BlobOffer { sha256: Sha256::of(b"photo"), size: 300 };
    let other = BlobOffer { sha256: Sha256::of(b"other"), size: 300 };
    let (mut uplink, bulk) = (wanting(photo), ticket(Slot::Bulk));
    uplink.handle_part_sent(bulk, photo.sha256, 100);
    uplink.handle_failure(bulk, &refused(), 1, 0.5);
    assert_eq!(uplink.offer_blobs(&[photo, other], 2), [other]);
    assert_eq!((uplink.blobs_resting(), uplink.health()), (1, UplinkHealth::Waiting));
    assert_eq!(uplink.offer_blobs(&[photo, other], 2 + blob_queue::REST_MS), [photo, other]);
}
