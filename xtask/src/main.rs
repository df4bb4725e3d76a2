//! Milepost's chores; the library's first page is their table of contents.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
