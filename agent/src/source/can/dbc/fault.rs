//! Mistakes in DBC files.
//!
//! Promise: each has its line, what it costs, and its mend; at most [`FAULTS_MAX`] of a file are kept.

use std::fmt;
use std::path::PathBuf;

/// Most faults kept of one file.
pub const FAULTS_MAX: usize = 1_000;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbcFault {
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What it costs.
    pub severity: Severity,
    /// What is wrong and what would mend it.
    pub message: String,
}

/// What a mistake costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// What it is in is left out.
    Refused,
    /// Nothing: it is strange, and used as it stands.
    Odd,
}

/// One mistake, with its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file.
    pub file: PathBuf,
    /// The mistake.
    pub fault: DbcFault,
}

impl fmt::Display for FileFault {
    /// `file:line: message`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, fault: DbcFault { line, message, .. } } = self;
        match line {
            0 => write!(f, "{}: {message}", file.display()),
            line => write!(f, "{}:{line}: {message}", file.display()),
        }
    }
}

/// The mistakes of a file so far.
#[derive(Debug, Default)]
pub(super) struct DbcFaults {
    list: Vec<DbcFault>,
}

impl DbcFaults {
    pub(super) fn refused(&mut self, line: usize, message: String) {
        self.push(DbcFault { line, severity: Severity::Refused, message });
    }

    pub(super) fn odd(&mut self, line: usize, message: String) {
        self.push(DbcFault { line, severity: Severity::Odd, message });
    }

    fn push(&mut self, fault: DbcFault) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        }
    }

    pub(super) fn into_list(mut self) -> Vec<DbcFault> {
        self.list.sort_by_key(|fault| fault.line);
        self.list
    }
}
