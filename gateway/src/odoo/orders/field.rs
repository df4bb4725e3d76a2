//! Fields of a row as Odoo's JSON has them.
//!
//! Promise: absent, `false` (Odoo's empty) and of another type are all `None`; nothing here fails.

use milepost_proto::Timestamp;
use serde_json::Value;

/// A text that is not empty.
#[must_use]
pub fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A whole number.
#[must_use]
pub fn integer(row: &Value, field: &str) -> Option<i64> {
    row.get(field).and_then(Value::as_i64)
}

/// A number.
#[must_use]
pub fn number(row: &Value, field: &str) -> Option<f64> {
    row.get(field).and_then(Value::as_f64)
}

/// The id and display name of a many2one.
#[must_use]
pub fn link<'a>(row: &'a Value, field: &str) -> Option<(i64, &'a str)> {
    match row.get(field)?.as_array()?.as_slice() {
        [id, name] => Some((id.as_i64()?, name.as_str().unwrap_or(""))),
        _ => None,
    }
}

/// An instant; Odoo writes UTC as `2026-11-24 00:26:14`.
#[must_use]
pub fn time(row: &Value, field: &str) -> Option<Timestamp> {
    format!("{}Z", text(row, field)?.replace(' ', "T")).parse().ok()
}

/// An instant as Odoo's searches take it, in whole seconds.
#[must_use]
pub fn odoo_time(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('.').next().unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn odoo_says_false_for_nothing() {
        let row = json!({"a": false, "b": [7, "Acme"], "c": "2026-11-24 00:26:14", "d": 0.0, "e": ""});
        assert_eq!(text(&row, "a"), None);
        assert_eq!(text(&row, "e"), None);
        assert_eq!(link(&row, "a"), None);
        assert_eq!(link(&row, "b"), Some((7, "Acme")));
        assert_eq!(number(&row, "d"), Some(0.0));
        assert_eq!(time(&row, "a"), None);
        let at = time(&row, "c").expect("a time");
        assert_eq!(at.to_string(), "2026-11-24T00:26:14.000Z");
        assert_eq!(odoo_time(at), "2026-11-24 00:26:14");
    }
}
