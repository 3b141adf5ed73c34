//! QMSum's `meeting_transcripts`: tokenised speech with marks, turned back into words as people write them.

use serde_json::Value;

use super::turns::{Turn, Turns};
use super::{FormatError, Place};

pub(super) fn turns(list: Vec<Value>) -> Result<Turns, FormatError> {
    let mut turns = Turns::default();
    for (index, value) in list.into_iter().enumerate() {
        let at = Place::Segment(index + 1);
        let (Some(speaker), Some(content)) = (
            value.get("speaker").and_then(Value::as_str),
            value.get("content").and_then(Value::as_str),
        ) else {
            return Err(FormatError::Syntax {
                at,
                expected: "an object of strings {speaker, content}",
            });
        };
        let turn = Turn {
            speaker: speaker.to_owned(),
            text: clean(content),
            ..Default::default()
        };
        turns.push(at, turn)?;
    }
    Ok(turns)
}

/// Takes out `{vocalsound}` and its like, joins what the tokeniser split, spells acronyms plainly.
pub(super) fn clean(content: &str) -> String {
    let plain = without_marks(content);
    let tokens: Vec<&str> = plain.split_whitespace().collect();
    let mut out = String::with_capacity(plain.len());
    let mut quote_open = false;
    // Whether the next token continues the last one without a space.
    let mut glued = true;
    for (index, token) in tokens.iter().enumerate() {
        let more = tokens.get(index + 1);
        match *token {
            // A stretch nobody could make out.
            "@" => {}
            "." | "," | "?" | "!" | ";" | ":" | "..." => {
                if out.ends_with(',') || (*token == "." && out.ends_with('.')) {
                    out.pop();
                }
                // Punctuation whose words were all marks has nothing to close.
                if out.chars().any(char::is_alphanumeric) {
                    out.push_str(token);
                    glued = false;
                }
            }
            "\"" => {
                quote_open = !quote_open;
                if !quote_open {
                    out.push('"');
                } else if more.is_some() {
                    spaced(&mut out, "\"", glued);
                }
                glued = quote_open;
            }
            "-" | "'" if starts_word(more) && ends_word(&out) => {
                out.push_str(token);
                glued = true;
            }
            "'s" | "'m" | "'re" | "'ll" | "'ve" | "'d" | "'t" | "n't" if ends_word(&out) => {
                out.push_str(token)
            }
            _ => {
                spaced(&mut out, &spell(token), glued);
                glued = false;
            }
        }
    }
    if out.chars().any(char::is_alphanumeric) {
        out
    } else {
        String::new()
    }
}

fn spaced(out: &mut String, token: &str, glued: bool) {
    if !glued && !out.is_empty() {
        out.push(' ');
    }
    out.push_str(token);
}

fn ends_word(out: &str) -> bool {
    out.chars().next_back().is_some_and(char::is_alphanumeric)
}

fn starts_word(token: Option<&&str>) -> bool {
    token.is_some_and(|token| token.starts_with(char::is_alphanumeric))
}

/// `{word}` becomes a space; other braces stay.
fn without_marks(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let inner = &rest[open + 1..];
        let length = inner.bytes().take_while(u8::is_ascii_lowercase).count();
        if length > 0 && inner[length..].starts_with('}') {
            out.push(' ');
            rest = &inner[length + 1..];
        } else {
            out.push('{');
            rest = inner;
        }
    }
    out.push_str(rest);
    out
}

/// `L_C_D_` is LCD, `T_V_'s` is TV's; other underscores stay.
fn spell(token: &str) -> String {
    let bytes = token.as_bytes();
    let pairs = bytes.as_chunks::<2>().0.iter();
    let letters = pairs
        .take_while(|pair| {
            (pair[0].is_ascii_uppercase() || pair[0].is_ascii_digit()) && pair[1] == b'_'
        })
        .count();
    let tail = &token[letters * 2..];
    if letters == 0 || tail.contains('_') {
        return token.to_owned();
    }
    let mut out: String = token[..letters * 2].chars().filter(|c| *c != '_').collect();
    out.push_str(tail);
    out
}
