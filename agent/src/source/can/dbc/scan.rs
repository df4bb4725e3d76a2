//! The words, numbers and texts of a DBC file.
//!
//! Promise: reading never goes back and never fails silently: what is expected and not there is an error that says so.
//! After an error, [`Scanner::skip_statement`] goes on at the next line that begins a statement.

/// What begins a statement.
const KEYWORDS: [&str; 31] = [
    "VERSION",
    "NS_",
    "BS_",
    "BU_",
    "BO_",
    "SG_",
    "EV_",
    "CM_",
    "BA_DEF_",
    "BA_",
    "VAL_",
    "VAL_TABLE_",
    "BA_DEF_DEF_",
    "CAT_DEF_",
    "CAT_",
    "FILTER",
    "EV_DATA_",
    "ENVVAR_DATA_",
    "SGTYPE_",
    "SIG_TYPE_REF_",
    "SIG_GROUP_",
    "SIG_VALTYPE_",
    "BO_TX_BU_",
    "BA_DEF_REL_",
    "BA_REL_",
    "BA_DEF_DEF_REL_",
    "BU_SG_REL_",
    "BU_EV_REL_",
    "BU_BO_REL_",
    "SG_MUL_VAL_",
    "BA_DEF_SGTYPE_",
];

/// What was expected, as the end of a sentence that says what to do.
pub(super) type Unexpected = String;

/// A place in the text.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Line of `at`, from 1.
    line: usize,
}

impl<'t> Scanner<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    pub(super) const fn line(&self) -> usize {
        self.line
    }

    /// The word that begins the next statement; none at the end.
    pub(super) fn statement(&mut self) -> Option<&'t str> {
        self.skip_space();
        let rest = self.rest();
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..length.max(rest.chars().next().map_or(0, char::len_utf8)))?;
        self.advance(word.len());
        (!word.is_empty()).then_some(word)
    }

    /// A name.
    pub(super) fn word(&mut self) -> Result<&'t str, Unexpected> {
        self.skip_space();
        let rest = self.rest();
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(format!("a name must stand before {}", self.here()));
        }
        self.advance(length);
        Ok(&rest[..length])
    }

    /// A number, as it is written.
    pub(super) fn number(&mut self) -> Result<&'t str, Unexpected> {
        self.skip_space();
        let rest = self.rest();
        let mut before = ' ';
        let length = rest.find(|c: char| {
            let part = c.is_ascii_digit()
                || matches!(c, '.' | 'e' | 'E')
                || (matches!(c, '+' | '-') && matches!(before, ' ' | 'e' | 'E'));
            before = c;
            !part
        });
        let length = length.unwrap_or(rest.len());
        if length == 0 {
            return Err(format!("a number must stand before {}", self.here()));
        }
        self.advance(length);
        Ok(&rest[..length])
    }

    /// A number without a fraction.
    pub(super) fn whole<T: std::str::FromStr>(&mut self) -> Result<T, Unexpected> {
        let written = self.number()?;
        written.parse().map_err(|_| format!("{written} must be a whole number that fits here"))
    }

    /// A number.
    pub(super) fn real(&mut self) -> Result<f64, Unexpected> {
        let written = self.number()?;
        let real = written.parse().ok().filter(|real: &f64| real.is_finite());
        real.ok_or_else(|| format!("{written} must be a finite number"))
    }

    /// A text in quotation marks, as it is written between them; it may run over several lines.
    pub(super) fn quoted(&mut self) -> Result<&'t str, Unexpected> {
        self.expect('"').map_err(|_| format!("a text in quotation marks must stand before {}", self.here()))?;
        let rest = self.rest();
        let (mut before, mut closed) = (' ', None);
        for (at, c) in rest.char_indices() {
            if c == '"' && before != '\\' {
                closed = Some(at);
                break;
            }
            if c == '\n' && begins_message(&rest[at + 1..]) {
                break;
            }
            before = c;
        }
        // Windows paths end in a backslash that is not meant to escape what follows it.
        let closed = closed.or_else(|| rest.lines().next().and_then(|line| line.rfind('"')));
        let Some(length) = closed else {
            return Err("the text that begins here does not end; close it with a quotation mark".to_owned());
        };
        self.advance(length + 1);
        Ok(&rest[..length])
    }

    /// This character.
    pub(super) fn expect(&mut self, mark: char) -> Result<(), Unexpected> {
        if self.take(mark) { Ok(()) } else { Err(format!("{mark:?} must stand before {}", self.here())) }
    }

    /// Whether this character comes next; it is then behind us.
    pub(super) fn take(&mut self, mark: char) -> bool {
        let found = self.is_at(mark);
        if found {
            self.advance(mark.len_utf8());
        }
        found
    }

    /// Whether this character comes next.
    pub(super) fn is_at(&mut self, mark: char) -> bool {
        self.skip_space();
        self.rest().starts_with(mark)
    }

    /// Whether a digit or a sign comes next.
    pub(super) fn is_at_number(&mut self) -> bool {
        self.skip_space();
        self.rest().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'))
    }

    /// Everything up to a semicolon that is in no text.
    pub(super) fn skip_to_semicolon(&mut self) -> Result<(), Unexpected> {
        loop {
            let rest = self.rest();
            let Some(length) = rest.find([';', '"']) else {
                return Err("the statement must end with ';'".to_owned());
            };
            if rest[..length].split('\n').skip(1).any(begins_message) {
                return Err("the statement must end with ';'".to_owned());
            }
            self.advance(length);
            if self.take(';') {
                return Ok(());
            }
            self.quoted()?;
        }
    }

    /// The rest of this line.
    pub(super) fn skip_line(&mut self) {
        let rest = self.rest();
        self.advance(rest.find('\n').unwrap_or(rest.len()));
    }

    /// Everything up to the next line that begins with a statement's word.
    pub(super) fn skip_statement(&mut self) {
        loop {
            self.skip_line();
            self.skip_space();
            let rest = self.rest();
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if rest.is_empty() || is_keyword(&rest[..length]) {
                return;
            }
        }
    }

    /// The rest of this line and the lines that hold nothing but names.
    pub(super) fn skip_name_lines(&mut self) {
        self.skip_line();
        loop {
            self.skip_space();
            let rest = self.rest();
            let line = rest.lines().next().unwrap_or_default().trim();
            if line.is_empty() || !line.chars().all(|c| is_word(c) || c == ' ') {
                return;
            }
            self.skip_line();
        }
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start().len());
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn advance(&mut self, length: usize) {
        let passed = &self.text.as_bytes()[self.at..self.at + length];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at += length;
    }

    /// The next characters, to show where something is missing.
    fn here(&self) -> String {
        let line = self.rest().lines().next().unwrap_or_default().trim();
        match line.char_indices().nth(20) {
            _ if line.is_empty() => "the end of the line".to_owned(),
            Some((length, _)) => format!("{:?}", &line[..length]),
            None => format!("{line:?}"),
        }
    }
}

/// Whether this word begins a statement.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the line begins a message, which no text does.
fn begins_message(line: &str) -> bool {
    let message = line.trim_start().strip_prefix("BO_ ");
    message.is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_the_next_mark_begins() {
        let mut scanner = Scanner::new("8|16@1+ (1E-005,-.5) 5-7");
        assert_eq!(scanner.whole::<u8>(), Ok(8));
        assert_eq!(scanner.expect('|'), Ok(()));
        assert_eq!(scanner.whole::<u8>(), Ok(16));
        assert!(scanner.take('@'));
        assert_eq!(scanner.whole::<u8>(), Ok(1));
        assert!(scanner.take('+') && scanner.take('('));
        assert_eq!(scanner.real(), Ok(1e-5));
        assert!(scanner.take(','));
        assert_eq!(scanner.real(), Ok(-0.5));
        assert!(scanner.take(')'));
        assert_eq!(scanner.whole::<u8>(), Ok(5));
        assert!(scanner.take('-'));
        assert_eq!(scanner.whole::<u8>(), Ok(7));
    }

    #[test]
    fn texts_run_over_lines_and_keep_escaped_marks() {
        let mut scanner = Scanner::new("\"a\n \\\"b\\\";\" \"C:\\\" ;\n");
        assert_eq!(scanner.quoted(), Ok("a\n \\\"b\\\";"));
        assert_eq!(scanner.line(), 2);
        assert_eq!(scanner.quoted(), Ok("C:\\"));
        assert!(scanner.take(';'));
    }

    #[test]
    fn a_text_that_does_not_end_stops_before_the_next_message() {
        let mut scanner = Scanner::new("CM_ \"open;\nBO_ 5 Next: 8 X\n CM_ \"closed\";");
        assert_eq!(scanner.statement(), Some("CM_"));
        assert!(scanner.skip_to_semicolon().is_err_and(|why| why.contains("close it")));
        scanner.skip_statement();
        assert_eq!(scanner.statement(), Some("BO_"));
        assert_eq!(scanner.line(), 2);
    }
}
