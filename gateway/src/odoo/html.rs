//! Text made safe for HTML.
//!
//! Promise: what a driver or a phone wrote can stand anywhere in a note, between tags or in a quoted attribute, and is
//! shown as it was written; nothing in it is ever markup.

/// `text` with the five characters that mean something to HTML replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escape("<script>a('b' & \"c\")</script>"),
            "&lt;script&gt;a(&#39;b&#39; &amp; &quot;c&quot;)&lt;/script&gt;"
        );
        assert_eq!(escape("Zoë – 3 pallets"), "Zoë – 3 pallets");
    }

    proptest! {
        #[test]
        fn no_text_opens_a_tag_or_ends_an_attribute(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
