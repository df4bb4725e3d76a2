//! Numbers as people say them, and texts as they may be shown.

use std::fmt;

/// Seconds as a duration of at most two units: `42 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0 / 60;
        let (hours, days) = (minutes / 60, minutes / 60 / 24);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{} s", self.0),
            (0, 0, _) => write!(f, "{minutes} min"),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// Bytes in binary units with one decimal: `512 B`, `1.5 KiB`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, size)| self.0 >= *size) {
            Some((unit, size)) => write!(f, "{}.{} {unit}", self.0 / size, self.0 % size * 10 / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Foreign text with everything invisible made visible as `·`: control characters (a terminal would obey them) and
/// those that change the direction of writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visible<'t>(pub(super) &'t str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |c: char| if c.is_control() || is_direction(c) { '·' } else { c };
        self.0.chars().try_for_each(|c| fmt::Write::write_char(f, shown(c)))
    }
}

const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Foreign text inside HTML, as content or as a quoted attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.to_string();
        Visible(&shown).to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => fmt::Write::write_char(f, other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h")];
        for (seconds, expected) in cases {
            assert_eq!(Seconds(seconds).to_string(), expected);
        }
    }

    #[test]
    fn bytes_are_rounded_down_to_one_decimal() {
        let cases = [(1_023, "1023 B"), (1_536, "1.5 KiB"), (256 << 20, "256.0 MiB"), (u64::MAX, "17179869183.9 GiB")];
        for (bytes, expected) in cases {
            assert_eq!(Bytes(bytes).to_string(), expected);
        }
    }

    #[test]
    fn foreign_text_can_neither_command_a_terminal_nor_become_markup() {
        assert_eq!(Visible("a\u{1b}[2Jb\u{202e}c\n").to_string(), "a·[2Jb·c·");
        assert_eq!(Escaped("<script a='\"'>&\u{1b}").to_string(), "&lt;script a=&#39;&quot;&#39;&gt;&amp;·");
    }
}
