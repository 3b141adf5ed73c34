//! `.env`: lines of `NAME=value`. Read into values of our own; the environment of the process stays
//! as it is, because changing it under running threads is a race.

use anyhow::{Result, bail};

/// Reads the text of a `.env` file, in its order.
///
/// A value may stand in single quotes (taken as it is) or double quotes (`\n`, `\t`, `\"`, `\\`); without
/// quotes it ends at ` #`. `export ` before a name is allowed.
///
/// # Errors
/// With the number of the line that cannot be read; never with its text, which may be a secret.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {number} is not NAME=value");
        };
        let name = name.trim();
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            bail!("line {number} has no name before `=`");
        }
        let Some(value) = value_of(value.trim()) else {
            bail!("line {number} has a quote that does not close, or text behind it");
        };
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

fn value_of(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, behind) = rest.split_once('\'')?;
        return is_end(behind).then(|| value.to_owned());
    }
    let Some(rest) = text.strip_prefix('"') else {
        let value = text.split_once(" #").map_or(text, |(value, _)| value);
        return Some(value.trim_end().to_owned());
    };
    let mut value = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => value.push(match letters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            letter => value.push(letter),
        }
    }
    is_end(letters.as_str()).then_some(value)
}

fn is_end(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn one(line: &str) -> String {
        parse(line).expect("readable").remove(0).1
    }

    #[test]
    fn values_are_read_as_shells_write_them() {
        assert_eq!(one("A=b"), "b");
        assert_eq!(one("export A = b c  # why"), "b c");
        assert_eq!(one("A=b#c"), "b#c");
        assert_eq!(one("A='$b \\n' # why"), "$b \\n");
        assert_eq!(one(r#"A="b \"c\"\n""#), "b \"c\"\n");
        assert_eq!(one("A="), "");
        assert_eq!(
            one("A=postgres://u:p=q@h/d?x=1"),
            "postgres://u:p=q@h/d?x=1"
        );
        assert!(parse("# only\n\n").expect("readable").is_empty());
    }

    #[test]
    fn a_broken_line_is_named_without_its_text() {
        for text in [
            "A=1\nsecret",
            "A=1\nB=\"secret",
            "A=1\n=secret",
            "A=1\nB='x' secret",
        ] {
            let error = parse(text).expect_err("broken").to_string();
            assert!(
                error.contains("line 2") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
