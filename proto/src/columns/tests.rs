//! What every chunk must survive: any record there can be, any bytes there can be.

use proptest::prelude::*;

use crate::blob::Sha256;
use crate::chunk::{Chunk, ChunkBody, ChunkFault, checksum};
use crate::id::BootId;
use crate::ranges::SequenceRange;
use crate::reading::{Diagnostic, FixType, Health, Position, Reading, Signal, Switch};
use crate::record::Record;
use crate::seal::EvidenceSeal;
use crate::time::{TimeQuality, TimeSource, Timestamp};

const BOOT: BootId = BootId([7; 16]);

/// Small values mostly, the ends of the type sometimes, anything otherwise.
fn number<T: Arbitrary + Copy + TryFrom<i64> + std::fmt::Debug + 'static>(ends: [T; 2]) -> BoxedStrategy<T> {
    let small = (0..100_i64).prop_filter_map("fits", |small| T::try_from(small).ok());
    prop_oneof![3 => small, 1 => prop::sample::select(ends.to_vec()), 1 => any::<T>()].boxed()
}

fn fix_type() -> impl Strategy<Value = FixType> {
    use FixType::{Dgps, Estimated, Fix2d, Fix3d, RtkFixed, RtkFloat};
    prop::sample::select(vec![Fix2d, Fix3d, Dgps, RtkFixed, RtkFloat, Estimated])
}

fn position() -> impl Strategy<Value = Reading> {
    let place = (number([i32::MIN, i32::MAX]), number([i32::MIN, i32::MAX]));
    let optional = (
        prop::option::of(number([i32::MIN, i32::MAX])),
        prop::option::of(number([0, u32::MAX])),
        prop::option::of(number([35_999, u16::MAX])),
        prop::option::of(number([0, u8::MAX])),
        prop::option::of(number([0, u16::MAX])),
        prop::option::of(number([0, u32::MAX])),
    );
    (place, fix_type(), optional).prop_map(|((lat_e7, lon_e7), fix, optional)| {
        let (altitude_cm, speed_cmps, course_cdeg, satellites, hdop_centi, accuracy_cm) = optional;
        Reading::Position(Position {
            lat_e7,
            lon_e7,
            altitude_cm,
            speed_cmps,
            course_cdeg,
            fix,
            satellites,
            hdop_centi,
            accuracy_cm,
        })
    })
}

fn signal() -> impl Strategy<Value = Reading> {
    let name = prop_oneof![4 => "(Speed|Rpm|Fuel)?", 1 => ".{0,9}", 1 => Just("n".repeat(300))];
    let value = prop_oneof![
        3 => (0..5_000_i32).prop_map(|count| f64::from(count) * 0.1),
        1 => (0..5_000_i32).prop_map(|count| f64::from(count) / 8.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![-0.0, f64::INFINITY, f64::MIN_POSITIVE, 9_007_199_254_740_993.0]),
    ];
    (name, value, "(km/h)?").prop_map(|(name, value, unit)| Reading::Signal(Signal { name, value, unit }))
}

fn other() -> impl Strategy<Value = Reading> {
    prop_oneof![
        (".{0,9}", any::<bool>()).prop_map(|(name, on)| Reading::Switch(Switch { name, on })),
        any::<(u8, u32, u8, u8, bool)>().prop_map(|(source_address, spn, fmi, occurrence, active)| {
            Reading::Diagnostic(Diagnostic { source_address, spn, fmi, occurrence, active })
        }),
        ".{0,9}".prop_map(|version| Reading::Health(Health::Started { version })),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let reading = prop_oneof![4 => position(), 4 => signal(), 1 => other()];
    let event_ms = prop_oneof![4 => 1_600_000_000_000..1_600_000_100_000_i64, 1 => any::<i64>()];
    let source = prop::sample::select(vec![TimeSource::Gnss, TimeSource::Network, TimeSource::FreeRunning]);
    let seal = prop::option::weighted(0.05, (any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 0..72)));
    (reading, event_ms, number([0, u64::MAX]), source, number([0, u32::MAX]), seal).prop_map(
        |(reading, event_ms, monotonic_ms, source, error_ms, seal)| Record {
            event_time: Timestamp::from_millis(event_ms),
            monotonic_ms,
            time_quality: TimeQuality { source, error_ms },
            reading,
            seal: seal.map(|(hash, signature)| EvidenceSeal { prev_hash: Sha256(hash), signature }),
        },
    )
}

/// Equal to the last bit, which `==` does not say of what is not a number.
fn bits(records: &[(u64, Record)]) -> Vec<u8> {
    postcard::to_stdvec(records).expect("serialises")
}

fn opened(chunk: &Chunk) -> Vec<(u64, Record)> {
    chunk.open().expect("opens").into_numbered(chunk.range)
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(records in prop::collection::vec(record(), 1..40), first in 1..=u64::MAX / 2) {
        let chunk = Chunk::seal(first, BOOT, records.clone()).expect("sealed");
        let numbered: Vec<_> = (first..).zip(records.clone()).collect();
        prop_assert_eq!(bits(&opened(&chunk)), bits(&numbered));
        prop_assert_eq!(Chunk::seal(first, BOOT, records).expect("sealed again"), chunk);
    }

    #[test]
    fn what_thinning_left_is_opened(
        steps in prop::collection::vec((prop_oneof![4 => 1..4_u64, 1 => 1..u64::MAX / 64], record()), 1..40),
        first in 1..=u64::MAX / 8,
    ) {
        let (mut at, mut kept) = (first - 1, Vec::new());
        for (step, record) in steps {
            at += step;
            kept.push((at, record));
        }
        let range = SequenceRange::new(first, at).expect("a range");
        let chunk = Chunk::seal_thinned(range, BOOT, kept.clone()).expect("sealed");
        prop_assert_eq!(bits(&opened(&chunk)), bits(&kept));
    }

    #[test]
    fn any_bytes_end_in_records_or_a_fault(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        form in 3..=4_u8,
        count in 0..200_u8,
        last in 1..300_u64,
    ) {
        let mut body = vec![form; 17];
        body.extend_from_slice(&[count & 0x7f, 0]);
        body.extend_from_slice(&bytes);
        open(body, last).ok();
    }

    #[test]
    fn a_damaged_body_ends_in_records_or_a_fault(
        records in prop::collection::vec(record(), 1..20),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = Chunk::seal(1, BOOT, records.clone()).expect("sealed").body;
        let at = at.index(body.len());
        body[at] ^= flip;
        open(body.clone(), records.len() as u64).ok();
        body.truncate(cut.index(body.len()));
        open(body, records.len() as u64).ok();
    }
}

fn open(body: Vec<u8>, last: u64) -> Result<ChunkBody, ChunkFault> {
    let range = SequenceRange::new(1, last).expect("a range");
    Chunk { range, checksum: checksum(&body), body }.open()
}

#[test]
fn what_is_wrong_is_named() {
    let record = Record {
        event_time: Timestamp::from_millis(1_000),
        monotonic_ms: 5,
        time_quality: TimeQuality::UNKNOWN,
        reading: Reading::Signal(Signal { name: "rpm".to_owned(), value: 0.3, unit: String::new() }),
        seal: None,
    };
    let good = Chunk::seal(1, BOOT, vec![record]).expect("sealed").body;
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut body = good.clone();
        change(&mut body);
        let said = open(body, 1).expect_err("a fault").to_string();
        assert!(said.contains(expected), "{said} for {expected}");
    };
    check(&|body| body.truncate(9), "cut off");
    check(&|body| body[0] = 9, "does not decode");
    check(&|body| body.splice(17..18, [0xFF, 0x7F]).for_each(drop), "at most 4096");
    check(&|body| body[18] = 0x7F, "cut off");
    check(&|body| body[19] = 0xFF, "words do not read");
    check(&|body| body.extend_from_slice(&[1; 40]), "left over");
}

/// A receiver's fixes once a second, as they come: what a fleet pays for.
#[test]
fn a_parked_vehicle_and_a_steady_drive_cost_little() {
    let fix = |at: i32, speed_cmps: u32, step: i32| Record {
        event_time: Timestamp::from_millis(1_700_000_000_000 + i64::from(at) * 1_000),
        monotonic_ms: 50_000 + u64::from(at.unsigned_abs()) * 1_000 + u64::from(at.unsigned_abs() % 7),
        time_quality: TimeQuality { source: TimeSource::Gnss, error_ms: 500 },
        reading: Reading::Position(Position {
            lat_e7: 470_000_000 + at * step,
            lon_e7: 80_000_000 + at * step,
            altitude_cm: Some(45_000 + (at % 5) * 10),
            speed_cmps: Some(speed_cmps),
            course_cdeg: Some(4_500),
            fix: FixType::Fix3d,
            satellites: Some(9),
            hdop_centi: Some(90),
            accuracy_cm: None,
        }),
        seal: None,
    };
    let check = |speed_cmps, step, count: i32, bytes_max: usize| {
        let records = (0..count).map(|at| fix(at, speed_cmps, step)).collect();
        let bytes = Chunk::seal(1, BOOT, records).expect("sealed").body.len();
        assert!(bytes <= bytes_max, "{bytes} bytes for {count} fixes");
    };
    check(0, 0, 300, 300);
    check(1_800, 950, 300, 450);
    check(1_800, 950, 10, 80);
    check(1_800, 950, 1, 60);
}
