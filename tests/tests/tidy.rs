//! The house rules that a program can check: promises, names, lengths, and what cores may touch.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, lines without its unit tests, whose tables may be long: beyond this it has two subjects.
const LINES_MAX: usize = 450;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "base", "manager", "helper", "helpers"];
/// What a core must not touch: the network, the disk, the clock, the environment.
const SHELL_WORDS: [&str; 7] =
    ["tokio::", "rusqlite::", "reqwest::", "axum::", "std::fs", "std::env", "std::time::SystemTime"];
/// Cores: folders and files that decide, and leave moving bytes to others.
const CORES: [&str; 19] = [
    "proto/src",
    "gateway/src/milestone",
    "gateway/src/milestone.rs",
    "gateway/src/outbox/decide.rs",
    "gateway/src/odoo/classify.rs",
    "gateway/src/odoo/wording.rs",
    "agent/src/uplink.rs",
    "agent/src/uplink/backoff.rs",
    "agent/src/uplink/narrowing.rs",
    "agent/src/uplink/gateways.rs",
    "agent/src/uplink/budget.rs",
    "agent/src/uplink/blob_queue.rs",
    "agent/src/uplink/slot.rs",
    "agent/src/uplink/failing.rs",
    "agent/src/reporting",
    "agent/src/event_loop/power.rs",
    "agent/src/spool/thin.rs",
    "agent/src/source/nmea",
    "agent/src/source/can",
];

#[test]
fn every_file_opens_with_its_promise() {
    check(&sources(""), |path, text| (!text.starts_with("//!")).then(|| format!("{path} opens with no promise (//!)")));
}

#[test]
fn no_file_has_grown_two_subjects() {
    check(&sources(""), |path, text| {
        let lines = code(text).lines().count();
        (lines > LINES_MAX).then(|| format!("{path} has {lines} lines; split it by subject"))
    });
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    check(&sources(""), |path, _| {
        let stem = Path::new(path).file_stem()?.to_str()?;
        EMPTY_NAMES.contains(&stem).then(|| format!("{path}: a file is named after the thing in it"))
    });
}

#[test]
fn modules_are_files_not_mod_rs() {
    check(&sources(""), |path, _| path.ends_with("/mod.rs").then(|| format!("{path}: write foo.rs beside foo/")));
}

#[test]
fn cores_touch_nothing_but_what_they_are_given() {
    let is_code = |path: &PathBuf| !path.ends_with("tests.rs");
    let cores: Vec<PathBuf> = CORES.iter().flat_map(|core| sources(core)).filter(is_code).collect();
    assert!(cores.len() > 40, "the list of cores names files that are gone: {}", cores.len());
    check(&cores, |path, text| {
        let lines = code(text).lines().filter(|line| !line.trim_start().starts_with("//"));
        let word = lines.flat_map(|line| SHELL_WORDS.iter().filter(move |word| line.contains(**word))).next()?;
        Some(format!("{path} is a core and touches {word}"))
    });
}

/// A file without its unit tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Fails with everything that `complain` says of the files.
fn check(files: &[PathBuf], complain: impl Fn(&str, &str) -> Option<String>) {
    let complaints: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("readable");
            complain(&path.to_string_lossy(), &text)
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The Rust files of the workspace under `place`.
fn sources(place: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["proto", "agent", "gateway", "tests", "xtask"];
    let places = if place.is_empty() { crates.to_vec() } else { vec![place] };
    let mut files = Vec::new();
    for place in places {
        collect(&root.join(place), &mut files);
    }
    files
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable").flatten() {
            collect(&entry.path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        files.push(path.to_owned());
    }
}
