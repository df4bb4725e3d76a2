//! The fold through the store: what stands depends on what was recorded, not on how it arrived.

use std::time::Duration;

use milepost_proto::driver_app::PodItem;
use milepost_proto::reading::FixType;
use milepost_proto::{BootId, Chunk, DeviceId, Lane, Position, Reading, Record, SpoolId, TimeQuality, Trip, VehicleId};
use rusqlite::Connection;

use super::*;
use crate::milestone::{Milestone, Status, VehicleState};
use crate::store::accept::{Arrival, ArrivedChunk, Content, SealState, accept};
use crate::store::plan::put_trip;
use crate::store::roster::{Assignment, Duty, add_device, assign};
use crate::store::{StoreResult, commit, outbox};

const START_S: i64 = 1_700_000_000;
const RECORDS_PER_CHUNK: usize = 20;

struct Yard {
    store: Store,
    fleet: FleetId,
    truck: VehicleId,
    metrics: Metrics,
    _folder: tempfile::TempDir,
}

impl Yard {
    /// One truck with one delivery at 47.0, 8.0, and a device in it.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("gateway.sqlite")).expect("opens");
        let yard = Self {
            store,
            fleet: "north".parse().expect("a name"),
            truck: "truck-7".parse().expect("a name"),
            metrics: Metrics::new(),
            _folder: folder,
        };
        let (fleet, truck) = (yard.fleet.clone(), yard.truck.clone());
        let set_up = move |connection: &Connection| {
            add_device(connection, &fleet, &device(), Timestamp::EPOCH)?;
            let duty = Duty::Vehicle(truck.clone());
            assign(connection, &fleet, &device(), &[Assignment { valid_from: None, valid_to: None, duty }])?;
            put_trip(connection, &fleet, &truck, &trip(47.0), Timestamp::EPOCH)?;
            Ok(())
        };
        yard.store.write(set_up).await.expect("set up");
        yard
    }

    async fn arrive(&self, chunks: Vec<ArrivedChunk>, low_water_mark: Option<Timestamp>) {
        let arrival = Arrival {
            fleet_id: self.fleet.clone(),
            device_id: device(),
            public_key: Vec::new(),
            spool_id: SpoolId([1; 16]),
            boot_id: BootId([2; 16]),
            agent_version: "0.1.0".to_owned(),
            low_water_mark,
            lanes: Lane::ALL.to_vec(),
            chunks,
            troubles: Vec::new(),
            down_link_held: Vec::new(),
            blob_offers: Vec::new(),
            received_at: clock::now(),
        };
        self.store.write(move |connection| accept(connection, &arrival)).await.expect("kept");
    }

    async fn fold(&self) {
        let (fleets, rules) = ([self.fleet.clone()], Rules::default());
        catch_up(&self.store, &fleets, &rules, &self.metrics, &CancellationToken::new()).await.expect("folds");
    }

    /// What stands now, without what depends on the history of delivery.
    async fn standing(&self) -> Vec<Milestone> {
        let (fleet, truck) = (self.fleet.clone(), self.truck.clone());
        let told = self.store.read(move |connection| commit::milestones_of(connection, &fleet, &truck)).await;
        let standing = told.expect("reads").into_iter().filter(|one| one.status != Status::Retracted);
        standing.map(|one| Milestone { revision: 0, status: Status::Provisional, ..one }).collect()
    }

    async fn texts(&self, sql: &'static str) -> Vec<String> {
        let read = move |connection: &Connection| -> StoreResult<Vec<String>> {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.store.read(read).await.expect("reads")
    }
}

fn device() -> DeviceId {
    "box-7".parse().expect("a name")
}

fn trip(lat: f64) -> Trip {
    let json = format!(
        r#"{{"id":"T1","stops":[{{"id":"S1","kind":"delivery","shipment":"P1","lat":{lat},"lon":8,"radius_m":100}}]}}"#
    );
    serde_json::from_str(&json).expect("a trip")
}

/// A drive to 47.0, 8.0, ten minutes there, and away again, in chunks.
fn drive() -> Vec<ArrivedChunk> {
    drive_in_chunks_of(RECORDS_PER_CHUNK)
}

fn drive_in_chunks_of(records: usize) -> Vec<ArrivedChunk> {
    let away_e7 = |step: i64| (60 - step).max(step - 180).max(0) * 5_000;
    let fixes: Vec<Record> = (0..240)
        .map(|step| {
            let lat_e7 = i32::try_from(470_000_000 + away_e7(step)).expect("fits");
            let moving = away_e7(step) > 0;
            fix(START_S + step * 5, lat_e7, if moving { 1100 } else { 0 })
        })
        .collect();
    let firsts = (0..).map(|index| index * records as u64 + 1);
    firsts.zip(fixes.chunks(records)).map(|(first, chunk)| sealed(Lane::Telemetry, first, chunk)).collect()
}

fn fix(at_s: i64, lat_e7: i32, speed_cmps: u32) -> Record {
    let position = Position {
        lat_e7,
        lon_e7: 80_000_000,
        altitude_cm: None,
        speed_cmps: Some(speed_cmps),
        course_cdeg: None,
        fix: FixType::Fix3d,
        satellites: None,
        hdop_centi: None,
        accuracy_cm: Some(500),
    };
    record(at_s, Reading::Position(position))
}

fn pod(at_s: i64) -> Record {
    let json = r#"{"client_ref":"c","stop":"S1","shipment":"P1","outcome":"completed","revision":1}"#;
    record(at_s, Reading::Pod(Box::new(serde_json::from_str(json).expect("a proof"))))
}

fn pod_with_quantity(at_s: i64, delivered: f64) -> Record {
    let mut record = pod(at_s);
    if let Reading::Pod(pod) = &mut record.reading {
        let mut item: PodItem = serde_json::from_str(r#"{"ref":"line-1"}"#).expect("an item");
        item.delivered = delivered;
        pod.items.push(item);
    }
    record
}

fn record(at_s: i64, reading: Reading) -> Record {
    let event_time = Timestamp::from_millis(at_s * 1000);
    Record { event_time, monotonic_ms: 0, time_quality: TimeQuality::UNKNOWN, reading, seal: None }
}

fn sealed(lane: Lane, first: u64, records: &[Record]) -> ArrivedChunk {
    let boot_id = BootId([2; 16]);
    let Chunk { range, checksum, body } = Chunk::seal(first, boot_id, records.to_vec()).expect("sealed");
    let event_times = [records[0].event_time, records[records.len() - 1].event_time];
    let content = Content { boot_id, event_times, age_ms: None, seal: SealState::None, chain: None };
    ArrivedChunk { lane, history: false, range, checksum, body, content: Some(content), loss: None }
}

#[tokio::test]
async fn milestones_do_not_depend_on_the_order_or_the_batches_of_arrival() {
    let in_order = Yard::new().await;
    in_order.arrive(drive(), None).await;
    in_order.fold().await;
    let expected = in_order.standing().await;
    let kinds: Vec<&str> = expected.iter().map(|one| one.kind.as_str()).collect();
    assert!(kinds.contains(&"delivery.arrived") && kinds.contains(&"delivery.departed"), "{kinds:?}");

    // Each rotation delivers some chunks late; each chunk is folded alone, as it would be on the road.
    for late in 1..drive().len() {
        let yard = Yard::new().await;
        let mut chunks = drive();
        chunks.rotate_left(late);
        for chunk in chunks {
            yard.arrive(vec![chunk.clone()], None).await;
            yard.fold().await;
            yard.arrive(vec![chunk], None).await;
        }
        yard.fold().await;
        assert_eq!(yard.standing().await, expected, "{late} chunks came last");
    }
}

#[tokio::test]
async fn folding_onwards_gives_what_folding_at_once_gives() {
    let (at_once, onwards) = (Yard::new().await, Yard::new().await);
    at_once.arrive(drive(), None).await;
    at_once.fold().await;
    for chunk in drive() {
        onwards.arrive(vec![chunk], None).await;
        onwards.fold().await;
    }
    assert_eq!(onwards.standing().await, at_once.standing().await);
    assert_eq!(onwards.metrics.refolds.get(), at_once.metrics.refolds.get(), "only the plan asked for a fold again");
}

#[tokio::test]
async fn a_backlog_that_comes_newest_first_is_folded_again_once_at_its_end() {
    let yard = Yard::new().await;
    yard.fold().await;
    let refolds = yard.metrics.refolds.get();
    let mut backlog = drive_in_chunks_of(1);
    backlog.reverse();
    yard.arrive(backlog, Some(Timestamp::MAX)).await;
    yard.fold().await;
    assert_eq!(yard.metrics.refolds.get() - refolds, 1);

    let in_order = Yard::new().await;
    in_order.arrive(drive(), None).await;
    in_order.fold().await;
    assert_eq!(yard.standing().await, in_order.standing().await);
}

#[tokio::test]
async fn a_milestone_is_confirmed_once_nothing_earlier_can_arrive_and_announced_once() {
    let yard = Yard::new().await;
    yard.arrive(drive(), Some(Timestamp::EPOCH)).await;
    yard.fold().await;
    let statuses = || yard.texts("SELECT DISTINCT status FROM milestone");
    assert_eq!(statuses().await, ["provisional"]);
    let owed = yard.texts("SELECT effect_key FROM outbox").await;
    assert!(!owed.is_empty() && owed.iter().all(|key| key.ends_with(":stands")), "{owed:?}");

    yard.arrive(Vec::new(), Some(Timestamp::MAX)).await;
    yard.fold().await;
    assert_eq!(statuses().await, ["confirmed"]);
    assert_eq!(yard.texts("SELECT effect_key FROM outbox").await, owed, "being surer is no news");
    let revisions = yard.texts("SELECT DISTINCT CAST(revision AS TEXT) FROM milestone_history ORDER BY 1").await;
    assert_eq!(revisions, ["1", "2"], "every revision is remembered");
}

#[tokio::test]
async fn a_changed_plan_retracts_what_did_not_happen() {
    let yard = Yard::new().await;
    yard.arrive(drive(), None).await;
    yard.fold().await;
    let (fleet, truck) = (yard.fleet.clone(), yard.truck.clone());
    let move_stop = move |connection: &Connection| put_trip(connection, &fleet, &truck, &trip(48.0), Timestamp::EPOCH);
    yard.store.write(move_stop).await.expect("changed");
    yard.fold().await;
    assert_eq!(yard.standing().await, []);
    let owed = yard.texts("SELECT effect_key FROM outbox WHERE effect_key LIKE '%:retracted-r2'").await;
    assert_eq!(owed.len(), 2);
}

#[tokio::test]
async fn of_contradicting_proofs_the_same_one_stands_whichever_came_first() {
    let (mut one, mut other) =
        (sealed(Lane::Evidence, 1, &[pod(START_S + 600)]), sealed(Lane::Evidence, 1, &[pod(START_S + 700)]));
    if other.checksum < one.checksum {
        std::mem::swap(&mut one, &mut other);
    }
    for (first, second) in [(one.clone(), other.clone()), (other, one.clone())] {
        let yard = Yard::new().await;
        yard.arrive(drive(), None).await;
        for proof in [first, second] {
            yard.arrive(vec![proof], None).await;
            yard.fold().await;
        }
        let expected = one.content.as_ref().expect("records").event_times[0];
        let told = yard.texts("SELECT CAST(event_time AS TEXT) FROM milestone WHERE kind = 'delivery.completed'").await;
        assert_eq!(told, [expected.as_millis().to_string()]);
        assert_eq!(yard.texts("SELECT effect_key FROM outbox WHERE effect_key LIKE 'pod:%'").await.len(), 1);
    }
}

#[tokio::test]
async fn records_of_a_device_without_a_vehicle_are_kept_and_a_person_is_told() {
    let yard = Yard::new().await;
    let (fleet, truck) = (yard.fleet.clone(), yard.truck.clone());
    let unassign = {
        let fleet = fleet.clone();
        move |connection: &Connection| assign(connection, &fleet, &device(), &[])
    };
    yard.store.write(unassign).await.expect("changed");
    yard.arrive(drive(), None).await;
    yard.fold().await;
    assert_eq!(yard.texts("SELECT kind FROM exception_case").await, ["unassigned"]);
    assert_eq!(yard.standing().await, []);

    let duty = Assignment { valid_from: None, valid_to: None, duty: Duty::Vehicle(truck) };
    yard.store.write(move |connection| assign(connection, &fleet, &device(), &[duty])).await.expect("changed");
    yard.fold().await;
    assert!(!yard.standing().await.is_empty(), "once it is assigned, its history counts");
}

#[tokio::test]
async fn a_damaged_row_tells_nothing_and_holds_up_nothing() {
    let yard = Yard::new().await;
    yard.arrive(drive(), None).await;
    let damage =
        |connection: &Connection| Ok(connection.execute("UPDATE chunk SET body = x'00' WHERE first_sequence = 1", [])?);
    assert_eq!(yard.store.write(damage).await.expect("damaged"), 1);
    yard.fold().await;
    assert_eq!(yard.texts("SELECT kind FROM exception_case").await, ["store_damaged"]);
    assert!(!yard.standing().await.is_empty(), "the rest is folded");
}

/// A quantity that is no number would be written to the outbox as JSON that does not read back.
#[tokio::test]
async fn a_proof_beyond_the_contracts_bounds_is_kept_aside_and_blocks_no_effect() {
    let yard = Yard::new().await;
    yard.arrive(drive(), None).await;
    let proofs = [pod_with_quantity(START_S + 600, f64::NAN), pod_with_quantity(START_S + 610, 2.0)];
    yard.arrive(vec![sealed(Lane::Evidence, 1, &proofs)], None).await;
    yard.arrive(vec![sealed(Lane::Telemetry, 1000, &[pod(START_S + 620)])], None).await;
    yard.fold().await;
    assert_eq!(yard.texts("SELECT effect_key FROM outbox WHERE effect_key LIKE 'pod:%/2'").await.len(), 1);
    assert_eq!(yard.texts("SELECT effect_key FROM outbox WHERE effect_key LIKE 'pod:%'").await.len(), 1);
    let detail = yard.texts("SELECT detail FROM exception_case WHERE kind = 'unusable' ORDER BY subject").await;
    assert!(detail[0].contains("sequence 1") && detail[0].contains("quantity"), "{detail:?}");
    assert!(detail[1].contains("sequence 1000") && detail[1].contains("evidence"), "{detail:?}");
    let fleet = yard.fleet.clone();
    yard.store.read(move |connection| outbox::heads(connection, &fleet, 100)).await.expect("every effect reads back");
}

/// A trip is taken from a vehicle that has begun it and given to another: what it told goes on under the same name.
#[tokio::test]
async fn a_trip_that_moves_to_another_vehicle_takes_its_milestones_along() {
    for other in ["truck-1", "truck-9"] {
        let yard = Yard::new().await;
        yard.arrive(drive(), None).await;
        yard.fold().await;
        assert_eq!(yard.standing().await.len(), 2);
        let fleet = yard.fleet.clone();
        let hand_over = move |connection: &Connection| {
            let vehicle: VehicleId = other.parse().expect("a name");
            let duty = Duty::Vehicle(vehicle.clone());
            assign(connection, &fleet, &device(), &[Assignment { valid_from: None, valid_to: None, duty }])?;
            put_trip(connection, &fleet, &vehicle, &trip(47.0), Timestamp::EPOCH)
        };
        yard.store.write(hand_over).await.expect("changed");
        yard.fold().await;
        yard.arrive(vec![sealed(Lane::Evidence, 1, &[pod(START_S + 600)])], None).await;
        yard.fold().await;
        let standing = "SELECT kind FROM milestone WHERE status <> 'retracted' ORDER BY kind";
        assert_eq!(
            yard.texts(standing).await,
            ["delivery.arrived", "delivery.completed", "delivery.departed"],
            "{other}"
        );
        let taken_back = yard.texts("SELECT effect_key FROM outbox WHERE effect_key LIKE '%retracted%'").await;
        assert_eq!(taken_back, [""; 0], "{other}");
    }
}

#[tokio::test]
async fn a_record_dated_far_ahead_does_not_make_everything_after_it_late() {
    let yard = Yard::new().await;
    let (early, late) = (drive()[..6].to_vec(), drive()[6..].to_vec());
    let ahead = fix(Timestamp::MAX.as_millis() / 1000, 470_000_000, 0);
    yard.arrive(vec![sealed(Lane::Telemetry, 1000, &[ahead])], None).await;
    yard.arrive(early, None).await;
    yard.fold().await;
    let refolds = yard.metrics.refolds.get();
    yard.arrive(late, None).await;
    yard.fold().await;
    assert_eq!(yard.metrics.refolds.get(), refolds);
    assert_eq!(yard.standing().await.len(), 2, "it arrived and departed as if the record had not come");
    let detail = yard.texts("SELECT detail FROM exception_case WHERE kind = 'unusable'").await;
    assert!(detail[0].contains("clock is wrong"), "{detail:?}");
}

#[tokio::test]
async fn a_vehicle_is_never_shown_where_no_vehicle_can_be() {
    let yard = Yard::new().await;
    let beyond = fix(START_S + 9_000, i32::MAX, 0);
    yard.arrive(vec![sealed(Lane::Telemetry, 1, &[fix(START_S, 470_000_000, 0), beyond])], None).await;
    yard.fold().await;
    assert_eq!(yard.texts("SELECT CAST(lat AS TEXT) FROM vehicle_state").await, ["47.0"]);
}

/// A counter that is full stands for any defect of the engine: overflow stops the fold, in every build.
#[tokio::test]
async fn a_vehicle_whose_fold_panics_holds_up_nothing_and_a_person_is_told() {
    let yard = Yard::new().await;
    let (early, late) = (drive()[..6].to_vec(), drive()[6..].to_vec());
    yard.arrive(early, None).await;
    yard.fold().await;
    let fill = |connection: &Connection| -> StoreResult<usize> {
        let held: Vec<u8> = connection.query_row("SELECT state FROM vehicle_state", [], |row| row.get(0))?;
        let state: VehicleState = column::from_bytes(&held)?;
        let mut json = serde_json::to_value(state).expect("JSON");
        json["counts"][0] = u64::MAX.into();
        let full: VehicleState = serde_json::from_value(json).expect("a state");
        Ok(connection.execute("UPDATE vehicle_state SET state = ?1", [column::to_bytes(&full)?])?)
    };
    assert_eq!(yard.store.write(fill).await.expect("changed"), 1);
    yard.arrive(late, None).await;
    yard.fold().await;
    assert_eq!(yard.texts("SELECT kind FROM exception_case").await, ["fold_failed"]);
    let behind = "SELECT CAST(position - (SELECT position FROM cursor) AS TEXT) FROM journal ORDER BY 1 DESC LIMIT 1";
    assert_eq!(yard.texts(behind).await, ["0"]);
}

#[tokio::test]
async fn the_running_projector_follows_what_is_committed() {
    let yard = Yard::new().await;
    let shutdown = CancellationToken::new();
    let fleets = vec![yard.fleet.clone()];
    let running =
        tokio::spawn(run(yard.store.clone(), fleets, Rules::default(), yard.metrics.clone(), shutdown.clone()));
    yard.arrive(drive(), None).await;
    let mut commits = yard.store.commits();
    let folded = async {
        while yard.standing().await.is_empty() {
            commits.changed().await.expect("the writer runs");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), folded).await.expect("milestones appear");
    shutdown.cancel();
    running.await.expect("ends");
}
