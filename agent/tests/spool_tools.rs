//! `milepost-agent spool inspect / verify / export` on files of vehicles that will never start again.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use milepost_agent::capture::{BlobPart, DriverCapture};
use milepost_agent::spool::{CaptureKey, Spool, SpoolOptions};
use milepost_proto::driver_app::{ActionKind, DriverAction};
use milepost_proto::reading::{Signal, Switch};
use milepost_proto::{BootId, Lane, Reading, Record, Sha256, SpoolId, TimeQuality, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

const BOOT: BootId = BootId([7; 16]);

/// A spool with three captures, five signals, an ignition and a photo, left behind by an agent that was killed.
fn dead_spool() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("spool.db");
    let options = SpoolOptions {
        path: &path,
        quota_bytes: 64 << 20,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([1; 16]),
        signer: Box::new(|digest| Ok(digest.to_vec())),
    };
    let (spool, ..) = Spool::open_without_thread(options).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for client_ref in ["a", "b", "c"] {
            let (key, record) = capture(client_ref);
            spool.capture(key, BOOT, record).await.expect("kept").expect("no conflict");
        }
        let signals = (0..5).map(|n| {
            record(Reading::Signal(Signal {
                name: "Vehicle.Speed".to_owned(),
                value: f64::from(n),
                unit: "km/h".to_owned(),
            }))
        });
        spool.append(Lane::Telemetry, BOOT, signals.collect()).await.expect("kept");
        let ignition = record(Reading::Switch(Switch { name: "ignition".to_owned(), on: true }));
        spool.append(Lane::Event, BOOT, vec![ignition]).await.expect("kept");
        let part = BlobPart { sha256: Sha256::of(b"photo"), offset: 0, bytes: b"photo".to_vec(), size: Some(5) };
        spool.blob_part(part).await.expect("kept").expect("whole");
    });
    // A killed agent closes nothing: what it wrote last is in the log.
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["spool.db", "spool.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
    }
    let path = copy.path().join("spool.db");
    (copy, path)
}

fn capture(client_ref: &str) -> (CaptureKey, Record) {
    let action = DriverAction {
        client_ref: client_ref.to_owned(),
        action: ActionKind::Arrived,
        stop: None,
        at: None,
        driver: None,
    };
    let key = CaptureKey::of(&DriverCapture::Action(Box::new(action.clone())));
    (key, record(Reading::DriverAction(Box::new(action))))
}

fn record(reading: Reading) -> Record {
    Record {
        event_time: Timestamp::from_millis(1_700_000_000_000),
        monotonic_ms: 1,
        time_quality: TimeQuality::UNKNOWN,
        reading,
        seal: None,
    }
}

fn look(what: &str, spool: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milepost-agent"));
    command.args(["spool", what, "--spool"]).arg(spool).args(more);
    command.output().expect("runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_sound_file_is_told_in_figures_found_in_order_and_given_line_by_line() {
    let (folder, spool) = dead_spool();
    let before = std::fs::read(&spool).expect("the file");
    let inspection: Value = serde_json::from_str(&said(&look("inspect", &spool, &["--json"]))).expect("JSON");
    assert_eq!(inspection["spool_id"], SpoolId([1; 16]).to_string());
    let waiting: Vec<u64> =
        inspection["lanes"].as_array().expect("lanes").iter().filter_map(|lane| lane["waiting"].as_u64()).collect();
    assert_eq!((waiting, &inspection["blobs_whole"]), (vec![3, 1, 5], &Value::from(1)));
    assert!(said(&look("inspect", &spool, &[])).contains("3 records wait"));

    let verified = look("verify", &spool, &[]);
    assert!(verified.status.success() && said(&verified) == "in order\n", "{verified:?}");

    let blobs = folder.path().join("photos");
    let exported = said(&look("export", &spool, &["--blobs", blobs.to_str().expect("text")]));
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |lane: &str| lines.iter().filter(|line| line["lane"] == lane).count();
    assert_eq!([of("evidence"), of("event"), of("telemetry")], [3, 1, 5]);
    assert_eq!(lines[2]["record"]["reading"]["driver_action"]["client_ref"], "c");
    assert_eq!(std::fs::read(blobs.join(Sha256::of(b"photo").to_string())).expect("the photo"), b"photo");
    assert_eq!(std::fs::read(&spool).expect("the file"), before, "the file was only read");
}

#[test]
fn what_was_changed_afterwards_is_found() {
    for (change, finding) in [
        ("UPDATE chunk SET body = zeroblob(20) WHERE id >> 56 = 3", "lane telemetry: chunk 1..=5 does not open"),
        ("UPDATE fact SET value = zeroblob(32) WHERE name = 'chain_head'", "the chain does not end in the record 3"),
        (
            "DELETE FROM chunk WHERE id >> 56 = 1 AND last_sequence = 3; UPDATE lane SET last_sequence = 2 WHERE lane = 1",
            "the chain does not end",
        ),
        ("UPDATE blob_part SET body = x'00'", "its bytes have another hash"),
        ("UPDATE lane SET last_sequence = 4 WHERE lane = 3", "beyond the last sequence given out, 4"),
    ] {
        let (_folder, spool) = dead_spool();
        let connection = rusqlite::Connection::open(&spool).expect("opens");
        connection.execute_batch(change).expect("changed");
        drop(connection);
        let verified = look("verify", &spool, &[]);
        assert_eq!(verified.status.code(), Some(1), "{change}");
        assert!(said(&verified).contains(finding), "{change}: {}", said(&verified));
    }
}

#[test]
fn a_file_that_is_none_or_in_use_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("spool.db");
    let complaint = |path: &Path| {
        let output = look("inspect", path, &[]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(complaint(&path).contains("failed to read the spool"));
    std::fs::write(&path, "no spool at all, whatever it is named").expect("written");
    assert!(complaint(&path).contains("not a database"));
    std::fs::remove_file(&path).expect("deleted");
    let options = SpoolOptions {
        path: &path,
        quota_bytes: 64 << 20,
        boot_id: BOOT,
        fresh_spool_id: SpoolId([1; 16]),
        signer: Box::new(|digest| Ok(digest.to_vec())),
    };
    let _running = Spool::open_without_thread(options).expect("opens");
    assert!(complaint(&path).contains("in use"));
}
