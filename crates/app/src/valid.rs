//! Checks that many fields share. Each error names its field.

use meetmind_core::{Error, Result};

/// Trims a one-line text and holds it between 1 and `max` characters; control characters are refused.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if text.chars().count() > max {
        return Err(Error::invalid(
            field,
            format!("must have at most {max} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(
            field,
            "must be one line without control characters",
        ));
    }
    Ok(text.to_owned())
}

/// A one-line text of at most `max` characters, as it is; it may be empty.
pub(crate) fn optional_line(field: &str, text: &str, max: usize) -> Result<()> {
    if text.chars().count() > max {
        return Err(Error::invalid(
            field,
            format!("must have at most {max} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(
            field,
            "must be one line without control characters",
        ));
    }
    Ok(())
}

/// A text of several lines, of at most `max` bytes; NUL is refused because Postgres cannot hold it.
pub(crate) fn text(field: &str, text: &str, max: usize) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    optional_text(field, text, max)
}

/// Like [`text`], but may be empty.
pub(crate) fn optional_text(field: &str, text: &str, max: usize) -> Result<String> {
    if text.len() > max {
        return Err(Error::invalid(
            field,
            format!("must have at most {max} bytes"),
        ));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, "must not contain a NUL character"));
    }
    Ok(text.to_owned())
}

/// A list of at most `count` one-line texts.
pub(crate) fn lines(field: &str, list: &[String], count: usize, max: usize) -> Result<Vec<String>> {
    if list.len() > count {
        return Err(Error::invalid(
            field,
            format!("must have at most {count} entries"),
        ));
    }
    list.iter().map(|entry| line(field, entry, max)).collect()
}

/// A JSON object of at most `max` bytes without NUL characters.
pub(crate) fn object(field: &str, value: &serde_json::Value, max: usize) -> Result<()> {
    if !value.is_object() {
        return Err(Error::invalid(field, "must be an object"));
    }
    let text = value.to_string();
    if text.len() > max {
        return Err(Error::invalid(
            field,
            format!("must have at most {max} bytes as JSON"),
        ));
    }
    if text.contains("\\u0000") {
        return Err(Error::invalid(field, "must not contain a NUL character"));
    }
    Ok(())
}
