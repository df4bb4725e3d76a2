//! The dry-run ledger: the writes that would have been made, one JSON line each.
//!
//! Promise: a line is exactly what would have been sent, `{"effect","method","path","body"}`, except that file contents
//! (`datas`) are replaced by their size, so that a person can read it. The file never grows beyond
//! [`LEDGER_BYTES_MAX`]; what comes after is refused, and the effect stays owed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Largest ledger, in bytes.
pub const LEDGER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest text that is kept as `datas`, in bytes.
const DATAS_BYTES_MAX: usize = 64;

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    file: Mutex<File>,
}

impl Ledger {
    /// Opens the ledger for appending, creating it when missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends one call that would have been made for `effect`.
    ///
    /// # Errors
    /// What the file system says, or that the ledger is full.
    pub fn append(&self, effect: &str, path: &str, body: &Value) -> io::Result<()> {
        let mut line = line(effect, path, body);
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() + line.len() as u64 > LEDGER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "it is full; move it away"));
        }
        file.write_all(line.as_bytes())
    }
}

fn line(effect: &str, path: &str, body: &Value) -> String {
    json!({"effect": effect, "method": "POST", "path": path, "body": without_contents(body)}).to_string()
}

fn without_contents(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "datas" && text.len() > DATAS_BYTES_MAX => {
                    (name.clone(), Value::String(format!("({} base64 characters)", text.len())))
                }
                _ => (name.clone(), without_contents(value)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(without_contents).collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_call_without_file_contents() {
        let body = json!({"vals_list": [{"name": "a.png", "datas": "A".repeat(100)}], "ids": [7]});
        let line: Value = serde_json::from_str(&line("key-1", "/json/2/ir.attachment/create", &body)).expect("json");
        assert_eq!(
            line,
            json!({"effect": "key-1", "method": "POST", "path": "/json/2/ir.attachment/create",
                   "body": {"vals_list": [{"name": "a.png", "datas": "(100 base64 characters)"}], "ids": [7]}})
        );
    }

    #[test]
    fn lines_are_appended_across_openings() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("ledger.jsonl");
        for effect in ["one", "two"] {
            Ledger::open(&path).expect("opens").append(effect, "/p", &json!({})).expect("appends");
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        let effects: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("json")["effect"].clone()).collect();
        assert_eq!(effects, ["one", "two"]);
    }
}
