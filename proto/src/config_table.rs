//! Configuration files: one TOML table read key by key, every mistake collected with its line.
//!
//! Promise: a person who made three mistakes is told of all three at once, each with the line and the mend, and a
//! misspelt key is a mistake, never silently ignored. Both ends read their files through this, so they complain alike.
//!
//! ```
//! use milepost_proto::config_table::Document;
//!
//! let document = Document::parse("port = 70000\nprot = 1\n");
//! let mut root = document.root();
//! let port = root.get_in("port", 1..=65535_u32, 8080);
//! root.finish();
//! let faults: Vec<String> = document.into_faults().iter().map(ToString::to_string).collect();
//! assert_eq!(port, 8080);
//! assert_eq!(faults, ["line 1: port must be 1 to 65535, not 70000", "line 2: prot is not a known key here"]);
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigFault {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// A parsed file and the mistakes found so far.
pub struct Document<'i> {
    text: &'i str,
    root: Spanned<DeTable<'i>>,
    faults: RefCell<Vec<ConfigFault>>,
}

impl<'i> Document<'i> {
    /// Parses `text`; what does not parse is a fault, the rest can still be read.
    #[must_use]
    pub fn parse(text: &'i str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { text, root, faults: RefCell::default() };
        for error in errors {
            document.fault(error.span().unwrap_or_default(), error.message().to_owned());
        }
        document
    }

    /// The file's top-level table.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::new(self, self.root.get_ref(), String::new(), self.root.span())
    }

    /// All mistakes, in file order; empty when there are none.
    #[must_use]
    pub fn into_faults(self) -> Vec<ConfigFault> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults.dedup();
        faults
    }

    fn fault(&self, span: Range<usize>, message: String) {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        self.faults.borrow_mut().push(ConfigFault { line, message });
    }
}

/// One table of the file. [`finish`](Self::finish) it, so that unknown keys are noticed.
pub struct Table<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    /// `uplink.` for keys in `[uplink]`; empty at the top.
    prefix: String,
    span: Range<usize>,
    known: BTreeSet<String>,
}

impl<'d> Table<'d> {
    fn new(document: &'d Document<'_>, table: &'d DeTable<'_>, prefix: String, span: Range<usize>) -> Self {
        Self { document, table, prefix, span, known: BTreeSet::new() }
    }

    /// Whether `key` is there, of whatever type.
    pub fn has(&mut self, key: &str) -> bool {
        self.take(key).is_some()
    }

    /// Whether a text is at `key`.
    pub fn is_text(&mut self, key: &str) -> bool {
        self.take(key).is_some_and(|value| value.get_ref().as_str().is_some())
    }

    /// The keys, in file order, for a table whose keys are chosen by whoever writes it.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.table.keys().map(|key| (key.span().start, key.get_ref().to_string())).collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// The value of `key`, if it is there and of the right type.
    pub fn get<T: FromConfig>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key)?;
        match T::from_config(value.get_ref()) {
            Some(read) => Some(read),
            None => {
                let found = match value.get_ref() {
                    // The type may be right and the number beyond what it holds.
                    DeValue::Integer(integer) => integer.to_string(),
                    other => article(other.type_str()),
                };
                self.fault_at(value.span(), key, &format!("must be {}, not {found}", T::EXPECTED));
                None
            }
        }
    }

    /// The value of `key`; its absence is a mistake.
    pub fn require<T: FromConfig>(&mut self, key: &str) -> Option<T> {
        self.must_have(key);
        self.get(key)
    }

    /// The value of `key`, or `default`.
    pub fn get_or<T: FromConfig>(&mut self, key: &str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// The value of `key` if it lies in `range`, or `default`; outside it is a mistake.
    pub fn get_in<T>(&mut self, key: &str, range: RangeInclusive<T>, default: T) -> T
    where
        T: FromConfig + PartialOrd + fmt::Display,
    {
        match self.get(key) {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                self.fault(key, &format!("must be {} to {}, not {value}", range.start(), range.end()));
                default
            }
            None => default,
        }
    }

    /// The text at `key` read as a `T`, if it is there.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let text: String = self.get(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, &format!("is not usable: {error}"));
                None
            }
        }
    }

    /// The text at `key` read as a `T`; its absence is a mistake.
    pub fn require_parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Option<T> {
        self.must_have(key);
        self.parsed(key)
    }

    /// The table at `key`, if it is there.
    pub fn table(&mut self, key: &str) -> Option<Table<'d>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.inner(key, table, value.span())),
            other => {
                self.fault_at(value.span(), key, &format!("must be a table, not {}", article(other.type_str())));
                None
            }
        }
    }

    /// The table at `key`; its absence is a mistake.
    pub fn require_table(&mut self, key: &str) -> Option<Table<'d>> {
        self.must_have(key);
        self.table(key)
    }

    /// The tables `[[key]]`, none when there are none.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'d>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.fault_at(value.span(), key, &format!("must be tables written as [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in array.iter() {
            match entry.get_ref() {
                DeValue::Table(table) => tables.push(self.inner(key, table, entry.span())),
                _ => self.fault_at(entry.span(), key, &format!("must be tables written as [[{key}]]")),
            }
        }
        tables
    }

    /// Records a mistake in the value of `key` (or in the table itself where the key is absent).
    pub fn fault(&self, key: &str, message: &str) {
        let span = self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span);
        self.fault_at(span, key, message);
    }

    /// Notices keys that nobody asked for.
    pub fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(key.get_ref().as_ref())) {
            self.fault_at(key.span(), key.get_ref(), "is not a known key here");
        }
    }

    fn take(&mut self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.insert(key.to_owned());
        self.table.get(key)
    }

    fn must_have(&mut self, key: &str) {
        if self.take(key).is_none() {
            self.fault_at(self.span.clone(), key, "is missing");
        }
    }

    fn inner(&self, key: &str, table: &'d DeTable<'d>, span: Range<usize>) -> Table<'d> {
        Table::new(self.document, table, format!("{}{key}.", self.prefix), span)
    }

    fn fault_at(&self, span: Range<usize>, key: &str, message: &str) {
        self.document.fault(span, format!("{}{key} {message}", self.prefix));
    }
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

/// A type that a TOML value can be read as.
pub trait FromConfig: Sized {
    /// The type in words, with its article.
    const EXPECTED: &'static str;

    /// The value, if it is of this type.
    fn from_config(value: &DeValue<'_>) -> Option<Self>;
}

impl FromConfig for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn from_config(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromConfig for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn from_config(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(Self::from)
    }
}

impl FromConfig for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_config(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl FromConfig for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_config(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        }
    }
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl FromConfig for $integer {
            const EXPECTED: &'static str = "a whole number";

            fn from_config(value: &DeValue<'_>) -> Option<Self> {
                let integer = value.as_integer()?;
                Self::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
        }
    )*};
}

integer!(i64, u64, u32, u16, u8, usize);

impl<T: FromConfig> FromConfig for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn from_config(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|entry| T::from_config(entry.get_ref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, read: impl FnOnce(&mut Table<'_>)) -> Vec<String> {
        let document = Document::parse(text);
        let mut root = document.root();
        read(&mut root);
        root.finish();
        document.into_faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_a_fault_with_its_line() {
        let text = "device = 7\n\n[uplink]\ngateway = \"x\"\nretry_s = \"soon\"\nsize = -1\n";
        let found = faults(text, |root| {
            root.require::<String>("device");
            let mut uplink = root.require_table("uplink").expect("there");
            uplink.require::<String>("certificate");
            uplink.get::<u32>("retry_s");
            uplink.get::<u32>("size");
            uplink.require::<String>("gateway");
            uplink.finish();
        });
        assert_eq!(
            found,
            [
                "line 1: device must be a text in quotes, not 7",
                "line 3: uplink.certificate is missing",
                "line 5: uplink.retry_s must be a whole number, not a string",
                "line 6: uplink.size must be a whole number, not -1",
            ]
        );
    }

    #[test]
    fn a_file_that_does_not_parse_still_gives_its_other_mistakes() {
        let found = faults("a = \nb = 1\n", |root| {
            root.get::<String>("b");
        });
        assert!(found.iter().any(|fault| fault.starts_with("line 1:")), "{found:?}");
        assert!(found.iter().any(|fault| fault.starts_with("line 2: b must be")), "{found:?}");
    }

    #[test]
    fn lists_of_tables_are_read_in_order() {
        let mut names = Vec::new();
        let found = faults("[[source]]\nname = \"a\"\n[[source]]\nname = \"b\"\nnmae = 1\n", |root| {
            for mut source in root.tables("source") {
                names.extend(source.require::<String>("name"));
                source.finish();
            }
        });
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found, ["line 5: source.nmae is not a known key here"]);
    }
}
