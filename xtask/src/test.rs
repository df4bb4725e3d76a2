//! `cargo xtask test`: every test there is, with the real services they need.
//!
//! Promise: the workspace is built once, with one set of features, and then run group by group; a group whose tests fail,
//! or that turns out to hold none, fails the chore; no test is ever retried.

mod group;
mod test_binary;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::mosquitto::Mosquitto;
use crate::odoo::Odoo;
use crate::scratch::Scratch;
use crate::services::{broker_variables, odoo_variables};
use crate::test::group::Group;
use crate::test::test_binary::TestBinary;
use crate::{gpsd, uml, workspace};

/// Which tests to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave out what needs Odoo
    #[arg(long)]
    fast: bool,
    /// Run only this group; may be given several times
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Group>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let groups = group::select(options.fast, &options.only)?;
    let watch = Stopwatch::start();
    let interrupt = Interrupt::install()?;
    watch.say("building the workspace and its tests");
    let status = interrupt.run(workspace::cargo().args(["build", "--workspace", "--quiet"]))?;
    ensure!(status.success(), "the workspace does not build");
    let binaries = test_binary::build_all(&interrupt)?;

    let scratch = Scratch::create("test")?;
    let services = Services::start(&groups, &scratch, &interrupt, watch)?;
    for &group in &groups {
        watch.say(&format!("group {group}"));
        let tests = run_group(group, &binaries, &services, &interrupt)?;
        ensure!(tests > 0, "group {group} holds no test; a group that cannot fail proves nothing");
        watch.say(&format!("group {group}: {tests} tests passed"));
    }
    drop(services);
    watch.say(&format!("{} groups passed", groups.len()));
    Ok(())
}

/// The services that the selected groups need, and what their tests are told about them.
#[derive(Debug)]
struct Services {
    broker: Option<Mosquitto>,
    odoo: Option<Odoo>,
    kernel: Option<PathBuf>,
    gpsd: Option<PathBuf>,
}

impl Services {
    fn start(groups: &[Group], scratch: &Scratch, interrupt: &Interrupt, watch: Stopwatch) -> Result<Self> {
        let needed = |needs: fn(Group) -> bool| groups.iter().copied().any(needs);
        let broker =
            if needed(Group::needs_broker) { Some(Mosquitto::start(scratch, interrupt, watch)?) } else { None };
        let odoo = if needed(Group::needs_odoo) { Some(Odoo::start(scratch, interrupt, watch)?) } else { None };
        let kernel = if needed(Group::needs_kernel) { uml::find_or_install(interrupt, watch)? } else { None };
        let gpsd = if needed(Group::needs_gpsd) { Some(gpsd::ensure(interrupt, watch)?) } else { None };
        Ok(Self { broker, odoo, kernel, gpsd })
    }

    fn variables(&self, group: Group) -> Vec<(&'static str, String)> {
        let broker = self.broker.as_ref().filter(|_| group.needs_broker());
        let odoo = self.odoo.as_ref().filter(|_| group.needs_odoo());
        let kernel = self.kernel.as_ref().filter(|_| group.needs_kernel());
        let told = broker.into_iter().flat_map(broker_variables);
        let told = told.chain(odoo.into_iter().flat_map(odoo_variables));
        let gpsd = self.gpsd.as_ref().filter(|_| group.needs_gpsd());
        let told = told.chain(kernel.map(|kernel| ("MILEPOST_UML", kernel.display().to_string())));
        told.chain(gpsd.map(|gpsd| ("MILEPOST_GPSD", gpsd.display().to_string()))).collect()
    }
}

/// Runs the tests of `group` and returns how many passed.
fn run_group(group: Group, binaries: &[TestBinary], services: &Services, interrupt: &Interrupt) -> Result<u64> {
    let mut commands: Vec<(String, Command)> = binaries
        .iter()
        .filter(|binary| Group::of(&binary.package, &binary.target) == Some(group))
        .map(|binary| (format!("{} {}", binary.package, binary.target), binary.command()))
        .collect();
    if group == Group::Doc {
        let mut doc = workspace::cargo();
        doc.args(["test", "--workspace", "--doc", "--quiet"]);
        commands.push(("doc tests".to_owned(), doc));
    }
    let mut passed = 0;
    for (name, mut command) in commands {
        command.env("MILEPOST_BIN_DIR", workspace::binaries()?).envs(services.variables(group));
        passed += run_tests(&mut command, interrupt).with_context(|| format!("group {group}: {name}"))?;
    }
    Ok(passed)
}

/// Runs one test program, passes on what it prints, and returns how many tests it says have passed.
fn run_tests(command: &mut Command, interrupt: &Interrupt) -> Result<u64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("failed to start the tests")?;
    let printed = BufReader::new(child.stdout.take().context("the tests' output is not piped")?);
    let reader = std::thread::spawn(move || {
        let mut passed = 0;
        for line in printed.lines().map_while(Result::ok) {
            println!("{line}");
            passed += passed_tests(&line).unwrap_or(0);
        }
        passed
    });
    let status = interrupt.wait_for(child)?;
    if !status.success() {
        bail!("tests failed ({status})");
    }
    // The reader only prints and counts; if it panicked, printing failed, and so has the chore.
    reader.join().ok().context("failed to pass on the tests' output")
}

/// The count in a test program's last line, `test result: ok. 3 passed; …`.
fn passed_tests(line: &str) -> Option<u64> {
    let counts = line.strip_prefix("test result: ok. ")?;
    counts.split_once(" passed")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted_from_the_result_line_alone() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(passed_tests(line), Some(12));
        assert_eq!(passed_tests("test result: FAILED. 3 passed; 1 failed; 0 ignored"), None);
        assert_eq!(passed_tests("test a_result ... ok"), None);
    }

    #[test]
    fn a_failing_test_program_is_an_error() {
        let interrupt = Interrupt::install().expect("signals");
        let script = "echo 'test result: ok. 2 passed; 0 failed'; exit $0";
        let with_status = |status: &str| run_tests(Command::new("sh").args(["-c", script, status]), &interrupt);
        assert_eq!(with_status("0").expect("succeeds"), 2);
        assert!(with_status("101").is_err());
    }
}
