//! Markdown: our own export and notes people keep by hand.

use std::fmt::Write as _;

use super::text::{Reader, head_line, participant};
use super::turns::{clock, fits_speaker, lines, normalise_speaker, some_text, stamp};
use super::{ExportMeeting, FormatError, ImportedTranscript};

const EXPECTED: &str = "lines such as `**Speaker** (12:04): words`";

pub(super) fn parse(text: &str) -> Result<ImportedTranscript, FormatError> {
    let mut transcript = ImportedTranscript::default();
    let mut reader = Reader::default();
    // Our head lasts until the second heading; a list of people until the next one.
    let (mut in_head, mut in_people) = (false, false);
    for (number, line) in lines(text) {
        let line = line.trim();
        if let Some(heading) = heading(line) {
            reader.close()?;
            let words = unescape(heading);
            in_people = matches!(
                words.to_lowercase().as_str(),
                "participants" | "attendees" | "people" | "present"
            );
            in_head = transcript.title.is_none() && line.starts_with("# ");
            if in_head {
                transcript.title = some_text(&words);
            }
        } else if let Some(item) = list_item(line).filter(|_| in_people) {
            transcript
                .participants
                .push(participant(&unescape(&item.replace("**", ""))));
        } else if let Some((name, start, words)) = bold_turn(line) {
            (in_head, in_people) = (false, false);
            reader.turn(number, start, &unescape(name), &unescape(words))?;
        } else if let Some(item) = list_item(line).filter(|item| {
            in_head && (item.starts_with("Series: ") || item.starts_with("Starts: "))
        }) {
            head_line(&mut transcript, &unescape(item));
        } else if !is_rule(line) {
            let words = list_item(line).unwrap_or(line);
            reader.line(number, &unescape(words.trim_start_matches(['>', ' '])))?;
        }
    }
    transcript.segments = reader.finish()?.finish(EXPECTED)?;
    Ok(transcript)
}

/// The words of an ATX heading.
fn heading(line: &str) -> Option<&str> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    let sound = (1..=6).contains(&level) && (words.is_empty() || words.starts_with([' ', '\t']));
    sound.then(|| words.trim())
}

/// What follows a list mark.
fn list_item(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let mark = if (1..=9).contains(&digits) {
        &line[digits..]
    } else {
        line
    };
    let marks: &[&str] = if mark.len() < line.len() {
        &[". ", ") "]
    } else {
        &["- ", "* ", "+ "]
    };
    marks
        .iter()
        .find_map(|prefix| mark.strip_prefix(prefix))
        .map(str::trim_start)
}

fn is_rule(line: &str) -> bool {
    line.len() >= 3
        && (line.bytes().all(|b| b == b'-')
            || line.bytes().all(|b| b == b'*')
            || line.starts_with("```"))
}

/// `**Name** (12:04): words`, `**Name**: words`, `**Name:** words`, each with an optional list mark.
fn bold_turn(line: &str) -> Option<(&str, Option<i64>, &str)> {
    let inner = list_item(line).unwrap_or(line).strip_prefix("**")?;
    let end = unescaped(inner, "**")?;
    let (name, rest) = (&inner[..end], inner[end + 2..].trim_start());
    // With a time the colon comes after it, so a name may end in one of its own.
    if let Some((time, words)) = rest
        .strip_prefix('(')
        .and_then(|rest| rest.split_once("):"))
        && let Some(start) = clock(time)
    {
        return Some((name, Some(start), words));
    }
    match name.strip_suffix(':') {
        Some(name) => fits_speaker(name).then_some((name, None, rest)),
        None => Some((name, None, rest.strip_prefix(':')?)),
    }
}

/// Where a mark stands that no backslash takes away.
fn unescaped(text: &str, mark: &str) -> Option<usize> {
    let mut skip = false;
    text.char_indices().find_map(|(at, c)| {
        if skip {
            skip = false;
            return None;
        }
        skip = c == '\\';
        text[at..].starts_with(mark).then_some(at)
    })
}

/// Takes the backslash from escaped punctuation.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next)) if next.is_ascii_punctuation() => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Escapes what Markdown or HTML would act on inside a line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' | '|' | '&' | '#' | '$'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

pub(super) fn render(meeting: &ExportMeeting<'_>) -> String {
    let title = some_text(meeting.title).unwrap_or_else(|| "Meeting".to_owned());
    let mut out = format!("# {}\n\n", escaped(&title));
    for (key, value) in [("Series", meeting.series), ("Starts", meeting.starts_at)] {
        if let Some(value) = value.and_then(some_text) {
            let _ = writeln!(out, "- {key}: {}", escaped(&value));
        }
    }
    if !meeting.participants.is_empty() {
        out.push_str("\n## Participants\n\n");
    }
    for person in meeting.participants {
        let role = person
            .role_title
            .as_deref()
            .and_then(some_text)
            .map(|role| format!(" — {}", escaped(&role)));
        let name = escaped(&normalise_speaker(&person.name));
        let _ = writeln!(out, "- **{name}**{}", role.unwrap_or_default());
    }
    out.push_str("\n## Transcript\n");
    for segment in meeting.segments {
        let Some(text) = some_text(&segment.text) else {
            continue;
        };
        let name = escaped(&normalise_speaker(&segment.speaker));
        let _ = write!(
            out,
            "\n**{name}** ({}): {}\n",
            short(segment.start_ms),
            escaped(&text)
        );
    }
    out
}

/// `12:04`, from an hour on `1:12:04`.
fn short(ms: i64) -> String {
    let time = stamp(ms, '.');
    let time = &time[..time.len() - 4];
    time.strip_prefix("00:")
        .or_else(|| time.strip_prefix('0'))
        .unwrap_or(time)
        .to_owned()
}
