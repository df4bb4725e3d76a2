//! The real binary's command line: what it says and how it exits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_milepost-agent")).args(arguments).output().expect("runs")
}

fn check(command: &str, config: &Path, status: i32, said: &str) {
    let output = agent(&[command, "--config", config.to_str().expect("a path in UTF-8")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(said), "{text}");
}

fn file(folder: &tempfile::TempDir, content: &[u8]) -> PathBuf {
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, content).expect("written");
    path
}

#[test]
fn status_says_when_no_agent_answers() {
    let folder = tempfile::tempdir().expect("folder");
    // Nobody can listen on port 0.
    let config = "device = \"truck-7\"\n[spool]\npath = \"s\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
                  [gateway]\nurl = \"https://gateway.example\"\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n";
    check("status", &file(&folder, config.as_bytes()), 1, "no agent answers at 127.0.0.1:0");
}

#[test]
fn what_is_no_configuration_is_told_so() {
    let folder = tempfile::tempdir().expect("folder");
    check("run", &folder.path().join("nothing"), 1, "failed to read");
    check("run", folder.path(), 1, "failed to read");
    check("run", &file(&folder, b""), 2, "device is missing");
    check("check", &file(&folder, b"# a comment\ndevice = \"caf\xe9\"\n"), 2, "line 2: is not text in UTF-8");
    check("run", Path::new("/dev/zero"), 1, "more than");
}
