//! WebVTT by the W3C specification, with the leniencies real files need.

use std::fmt::Write as _;

use super::captions::{Cue, Piece, decode, entity, tag, timing, turns};
use super::turns::{lines, normalise_speaker, normalise_text, some_text, stamp};
use super::{ExportMeeting, FormatError, ImportedTranscript, Place};

const EXPECTED: &str = "cues such as `00:00:01.000 --> 00:00:04.000` with words below";

/// Whether a text begins as the specification asks.
pub(super) fn has_signature(text: &str) -> bool {
    text.strip_prefix("WEBVTT")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

pub(super) fn parse(text: &str) -> Result<ImportedTranscript, FormatError> {
    if !has_signature(text) {
        return Err(FormatError::Syntax {
            at: Place::Line(1),
            expected: "`WEBVTT`",
        });
    }
    let mut title = None;
    let mut cues = Vec::new();
    let mut open: Option<(usize, (i64, i64), Vec<&str>)> = None;
    // The first line of a block that is no cue so far: an id, or NOTE, STYLE, REGION.
    let mut head: Option<&str> = None;
    for (number, line) in lines(text) {
        if number == 1 {
            title = line
                .strip_prefix("WEBVTT - ")
                .and_then(|title| some_text(&decode(title)));
            head = Some("WEBVTT");
            continue;
        }
        // Normalising drops NUL, so a line of only such bytes ends a block like an empty one.
        if line.trim_matches('\0').is_empty() {
            close(&mut cues, open.take());
            head = None;
            continue;
        }
        let times = if line.contains("-->") {
            timing(line)
        } else {
            None
        };
        match (&mut open, times) {
            (_, Some(times)) => {
                close(&mut cues, open.take());
                open = Some((number, times, Vec::new()));
            }
            (Some((_, _, payload)), None) => payload.push(line),
            (None, None) => {
                let comment = head.unwrap_or(line).split([' ', '\t']).next();
                let comment = matches!(comment, Some("NOTE" | "STYLE" | "REGION" | "WEBVTT"));
                if line.contains("-->") && !comment {
                    let expected = "a timing such as `00:00:01.000 --> 00:00:04.000`";
                    return Err(FormatError::Syntax {
                        at: Place::Line(number),
                        expected,
                    });
                }
                head.get_or_insert(line);
            }
        }
    }
    close(&mut cues, open);
    Ok(ImportedTranscript {
        title,
        segments: turns(cues)?.finish(EXPECTED)?,
        ..Default::default()
    })
}

fn close(cues: &mut Vec<Cue>, open: Option<(usize, (i64, i64), Vec<&str>)>) {
    if let Some((line, (start_ms, end_ms), payload)) = open {
        cues.push(Cue {
            line,
            start_ms,
            end_ms,
            pieces: pieces(&payload.join("\n")),
        });
    }
}

/// The stretches of a cue by voice tag; other tags go, their words stay.
fn pieces(payload: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current = Piece::default();
    let mut rest = payload;
    if let Some(after) = rest.trim_start().strip_prefix(">>") {
        current.change = true;
        rest = after.trim_start_matches(['>', ' ']);
    }
    while let Some(c) = rest.chars().next() {
        if let Some((inner, length)) = tag(rest) {
            let (name, annotation) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
            if name == "v" || name.starts_with("v.") || name == "/v" {
                pieces.push(std::mem::take(&mut current));
                current.voice = (name != "/v").then(|| normalise_speaker(&decode(annotation)));
            }
            rest = &rest[length..];
        } else if let Some((c, length)) = entity(rest) {
            current.decoded(c);
            rest = &rest[length..];
        } else {
            current.literal(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    pieces.push(current);
    pieces
}

pub(super) fn render(meeting: &ExportMeeting<'_>) -> String {
    let mut out = String::from("WEBVTT");
    if let Some(title) = some_text(meeting.title) {
        let _ = write!(out, " - {}", escaped(&title));
    }
    out.push('\n');
    for segment in meeting.segments {
        let text = normalise_text(&segment.text);
        if text.is_empty() {
            continue;
        }
        out.push('\n');
        if is_plain_id(&segment.id) {
            let _ = writeln!(out, "{}", segment.id);
        }
        let speaker = normalise_speaker(&segment.speaker);
        let (start, end) = (stamp(segment.start_ms, '.'), stamp(segment.end_ms, '.'));
        let _ = writeln!(
            out,
            "{start} --> {end}\n<v {}>{}",
            escaped(&speaker),
            escaped(&text)
        );
    }
    out
}

/// An id of ours; anything else could be read as a comment, a style or a timing.
fn is_plain_id(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !["NOTE", "STYLE", "REGION", "WEBVTT"].contains(&id)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
