//! The bytes of a DBC file as text.
//!
//! Promise: every file becomes text. The format names no encoding: editors on Windows write code page 1252, newer tools
//! UTF-8, and what is valid UTF-8 beyond ASCII is practically never meant as anything else.

use std::borrow::Cow;

/// What code page 1252 has at 0x80 to 0x9F; the five bytes it leaves open become the replacement character.
const CP1252_HIGH: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', '\u{fffd}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

/// The text, without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| from_cp1252(*byte)).collect()),
    }
}

fn from_cp1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => CP1252_HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_give_the_same_text() {
        for bytes in [b"5 \x80 at 20 \xb0C".as_slice(), "5 € at 20 °C".as_bytes(), "\u{feff}5 € at 20 °C".as_bytes()]
        {
            assert_eq!(decode(bytes), "5 € at 20 °C");
        }
    }
}
