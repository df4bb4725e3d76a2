//! The workspace's test programs, as cargo reports having built them.
//!
//! They are run by us rather than by `cargo test -p`, package by package: that resolves features anew for each package,
//! and would build most dependencies several times.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::interrupt::Interrupt;
use crate::workspace;

/// One test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestBinary {
    /// The name of its package's folder.
    pub(super) package: String,
    /// The crate, binary or integration test it was built from.
    pub(super) target: String,
    folder: PathBuf,
    program: PathBuf,
}

impl TestBinary {
    /// The program as cargo would run it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Builds all of them.
pub(super) fn build_all(interrupt: &Interrupt) -> Result<Vec<TestBinary>> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("failed to start cargo")?;
    let printed = child.stdout.take().context("cargo's output is not piped")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(printed));
    let status = interrupt.wait_for(child)?;
    ensure!(status.success(), "the tests do not build");
    let messages =
        reader.join().ok().context("failed to read cargo's output")?.context("failed to read cargo's output")?;
    Ok(messages.lines().filter_map(|line| built_test(&serde_json::from_str(line).ok()?)).collect())
}

/// The test program that a message of cargo's is about, if it is about one.
fn built_test(message: &Value) -> Option<TestBinary> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(TestBinary {
        package: folder.file_name()?.to_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        folder: folder.to_path_buf(),
        program: message["executable"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_built_tests_are_test_programs() {
        let message = |reason: &str, test: bool, executable: Value| {
            serde_json::json!({
                "reason": reason, "manifest_path": "/p/tests/Cargo.toml", "target": { "name": "kill" },
                "profile": { "test": test }, "executable": executable,
            })
        };
        let found = built_test(&message("compiler-artifact", true, "/p/target/kill-1".into())).expect("a test program");
        assert_eq!((found.package.as_str(), found.target.as_str()), ("tests", "kill"));
        assert_eq!(found.command().get_program(), "/p/target/kill-1");
        assert_eq!(built_test(&message("compiler-artifact", false, "/p/target/agent".into())), None);
        assert_eq!(built_test(&message("compiler-artifact", true, Value::Null)), None);
        assert_eq!(built_test(&message("build-finished", true, Value::Null)), None);
    }
}
