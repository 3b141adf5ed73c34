//! SubRip, which has no specification: what players and meeting services write and read.

use std::fmt::Write as _;

use super::captions::{Cue, Piece, entity, tag, timing, turns};
use super::turns::{lines, normalise_speaker, some_text, stamp};
use super::{ExportMeeting, FormatError, ImportedTranscript, Place};

const EXPECTED: &str = "cues such as `00:00:01,000 --> 00:00:04,000` with words below";

/// A cue that is being read: its line, its index, its times, its lines of words.
struct Open<'a> {
    line: usize,
    index: Option<u64>,
    times: (i64, i64),
    payload: Vec<&'a str>,
}

pub(super) fn parse(text: &str) -> Result<ImportedTranscript, FormatError> {
    let mut cues = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut before: Option<&str> = None;
    for (number, line) in lines(text) {
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let times = if line.contains("-->") {
            timing(line)
        } else {
            None
        };
        if let Some(times) = times {
            let index = match open.take() {
                Some(last) => close(&mut cues, last, true),
                None => before.and_then(|line| line.parse().ok()),
            };
            open = Some(Open {
                line: number,
                index,
                times,
                payload: Vec::new(),
            });
        } else if line.contains("-->")
            && line.starts_with(|c: char| c.is_ascii_digit())
            && at_block_start(&open)
        {
            let expected = "a timing such as `00:00:01,000 --> 00:00:04,000`";
            return Err(FormatError::Syntax {
                at: Place::Line(number),
                expected,
            });
        } else if let Some(open) = &mut open {
            // An empty line may stand inside a text; more than one says no more than one.
            if !line.is_empty() || open.payload.last().is_none_or(|last| !last.is_empty()) {
                open.payload.push(line);
            }
        } else {
            before = Some(line);
        }
    }
    if let Some(last) = open {
        close(&mut cues, last, false);
    }
    Ok(ImportedTranscript {
        segments: turns(cues)?.finish(EXPECTED)?,
        ..Default::default()
    })
}

/// Whether a timing is due: at the start, after an empty line, or after an index.
fn at_block_start(open: &Option<Open<'_>>) -> bool {
    let Some(open) = open else { return true };
    open.payload
        .last()
        .is_some_and(|line| line.is_empty() || line.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Ends a cue; returns the index of the next one, which stood among this one's lines.
///
/// A number is an index after an empty line or where it is the next in count; else somebody said it.
fn close(cues: &mut Vec<Cue>, mut open: Open<'_>, next: bool) -> Option<u64> {
    let count = open.payload.len();
    let number = open
        .payload
        .last()
        .filter(|_| next)
        .and_then(|line| line.parse::<u64>().ok());
    let alone = count >= 2 && open.payload[count - 2].is_empty();
    let follows = open
        .index
        .is_some_and(|index| Some(index.saturating_add(1)) == number);
    let index = number.filter(|_| alone || follows);
    if index.is_some() {
        open.payload.pop();
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for line in open.payload {
        let (change, words) = match line.strip_prefix(">>") {
            Some(rest) => (true, rest.trim_start_matches(['>', ' '])),
            None => (false, line),
        };
        if change || pieces.is_empty() {
            // A leading dash marks a speaker's line in subtitles, it is not said.
            let words = words.strip_prefix("- ").unwrap_or(words);
            pieces.push(Piece::new(change));
            read(&mut pieces, words);
        } else {
            if let Some(piece) = pieces.last_mut() {
                piece.literal(' ');
            }
            read(&mut pieces, words);
        }
    }
    let (start_ms, end_ms) = open.times;
    cues.push(Cue {
        line: open.line,
        start_ms,
        end_ms,
        pieces,
    });
    index
}

/// Adds a line's words to the last piece; tags and `{\an8}` marks go, entities are decoded.
fn read(pieces: &mut [Piece], line: &str) {
    let Some(piece) = pieces.last_mut() else {
        return;
    };
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = tag(rest)
            .map(|(_, length)| length)
            .or_else(|| override_mark(rest))
        {
            rest = &rest[length..];
        } else if let Some((c, length)) = entity(rest) {
            piece.decoded(c);
            rest = &rest[length..];
        } else {
            piece.literal(c);
            rest = &rest[c.len_utf8()..];
        }
    }
}

/// The length of a `{\…}` mark at the start of a text; it ends before the next `{`, which keeps this linear.
fn override_mark(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("{\\")?;
    let end = inner.find(['}', '{'])?;
    inner[end..].starts_with('}').then_some(end + 3)
}

pub(super) fn render(meeting: &ExportMeeting<'_>) -> String {
    let mut out = String::new();
    let spoken = meeting
        .segments
        .iter()
        .filter_map(|segment| Some((segment, some_text(&segment.text)?)));
    for (index, (segment, text)) in spoken.enumerate() {
        let speaker = escaped(&normalise_speaker(&segment.speaker), true);
        let (start, end) = (stamp(segment.start_ms, ','), stamp(segment.end_ms, ','));
        let _ = writeln!(
            out,
            "{}\n{start} --> {end}\n{speaker}: {}\n",
            index + 1,
            escaped(&text, false)
        );
    }
    out
}

/// Escapes what would be read as syntax, and only that: many players show entities as they stand.
fn escaped(text: &str, label: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        match c {
            '&' if entity(rest).is_some() => out.push_str("&amp;"),
            '<' if label
                || rest[1..].starts_with(|c: char| c == '/' || c.is_ascii_alphanumeric()) =>
            {
                out.push_str("&lt;");
            }
            '>' if label || text[..at].ends_with("--") => out.push_str("&gt;"),
            '{' if rest.starts_with("{\\") => out.push_str("&#123;"),
            ':' if label => out.push_str("&#58;"),
            '-' if label && at == 0 => out.push_str("&#45;"),
            _ => out.push(c),
        }
    }
    out
}
