//! Other programs run to their end, with errors that say what was run and what it said.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::interrupt::Interrupt;

/// Most bytes of a failed program's last words that are repeated in the error.
const LAST_WORDS_BYTES_MAX: usize = 2000;
/// How often a download is tried. Nothing else is ever retried.
const DOWNLOAD_TRIES_MAX: u32 = 3;

/// Runs `command` quietly and returns what it printed; fails with its last words when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = command_line(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to start {line}"))?;
    if !output.status.success() {
        bail!("{line} failed ({}):\n{}", output.status, last_words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` runs and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Runs a download up to three times.
pub(crate) fn download(interrupt: &Interrupt, make_command: impl Fn() -> Command) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..DOWNLOAD_TRIES_MAX {
        interrupt.wait(std::time::Duration::ZERO)?;
        outcome = output(&mut make_command()).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.with_context(|| format!("gave up after {DOWNLOAD_TRIES_MAX} tries; is the network reachable?"))
}

/// Where `program` is on the search path, looking also where Debian keeps daemons.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn last_words(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let tail = &said[said.len().saturating_sub(LAST_WORDS_BYTES_MAX)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_repeats_its_last_words() {
        let error = output(Command::new("sh").args(["-c", "echo no space left >&2; exit 3"])).expect_err("fails");
        let text = error.to_string();
        assert!(text.starts_with("sh -c echo no space left >&2; exit 3 failed"), "{text}");
        assert!(text.ends_with("\nno space left"), "{text}");
    }

    #[test]
    fn a_program_is_found_only_where_it_is() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-as-this"), None);
    }
}
