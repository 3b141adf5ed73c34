//! Plain text: our own export, which reads back exactly, and the habits of other tools.

use std::fmt::Write as _;

use super::turns::{
    Turn, Turns, clock, fits_speaker, lines, looks_like_name, normalise_speaker, some_text, stamp,
};
use super::{ExportMeeting, FormatError, ImportedParticipant, ImportedTranscript, Place};

/// The first line of an export; with it, every line is read by the rules of `render` alone.
const SIGNATURE: &str = "MeetMind transcript";
const EXPECTED: &str = "lines such as `[00:12:04] Speaker: words`";

pub(super) fn parse(text: &str) -> Result<ImportedTranscript, FormatError> {
    let mut transcript = ImportedTranscript::default();
    let ours = lines(text)
        .next()
        .is_some_and(|(_, line)| line.trim_end() == SIGNATURE);
    let mut reader = Reader::default();
    let mut in_head = ours;
    for (number, line) in lines(text).skip(usize::from(ours)) {
        if in_head {
            in_head = !line.trim().is_empty();
            head_line(&mut transcript, line);
        } else if let Some((start_ms, name, words)) = own_line(line).filter(|_| ours) {
            reader.turn(number, Some(start_ms), &name, words)?;
        } else {
            reader.line(number, line)?;
        }
    }
    transcript.segments = reader.finish()?.finish(EXPECTED)?;
    Ok(transcript)
}

/// Takes a `Key: value` line of an export's head.
pub(super) fn head_line(transcript: &mut ImportedTranscript, line: &str) {
    match line.split_once(": ") {
        Some(("Title", value)) => transcript.title = some_text(value),
        Some(("Series", value)) => transcript.series = some_text(value),
        Some(("Starts", value)) => transcript.starts_at = some_text(value),
        Some(("Participant", value)) => transcript.participants.push(participant(value)),
        _ => {}
    }
}

/// A person as the exports list them: `Name — role`.
pub(super) fn participant(value: &str) -> ImportedParticipant {
    let (name, role) = value
        .rsplit_once(" — ")
        .map_or((value, ""), |(name, role)| (name, role));
    ImportedParticipant {
        name: normalise_speaker(name),
        email: None,
        role_title: some_text(role),
    }
}

/// A line of `render`: bracketed time, escaped name, words.
fn own_line(line: &str) -> Option<(i64, String, &str)> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let start_ms = clock(time)?;
    let mut name = String::new();
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next_if(|(_, next)| matches!(next, ':' | '\\')) {
                Some((_, next)) => name.push(next),
                None => name.push('\\'),
            },
            ':' => return Some((start_ms, name, &rest[at + 1..])),
            _ => name.push(c),
        }
    }
    None
}

pub(super) fn render(meeting: &ExportMeeting<'_>) -> String {
    let mut out = format!("{SIGNATURE}\n");
    let head = [
        ("Title", Some(meeting.title)),
        ("Series", meeting.series),
        ("Starts", meeting.starts_at),
    ];
    for (key, value) in head {
        if let Some(value) = value.and_then(some_text) {
            let _ = writeln!(out, "{key}: {value}");
        }
    }
    for person in meeting.participants {
        let role = person
            .role_title
            .as_deref()
            .and_then(some_text)
            .map(|role| format!(" — {role}"));
        let _ = writeln!(
            out,
            "Participant: {}{}",
            normalise_speaker(&person.name),
            role.unwrap_or_default()
        );
    }
    out.push('\n');
    for segment in meeting.segments {
        let Some(text) = some_text(&segment.text) else {
            continue;
        };
        let time = stamp(segment.start_ms, '.');
        let name = escaped(&normalise_speaker(&segment.speaker));
        let _ = writeln!(out, "[{}] {name}: {text}", &time[..time.len() - 4]);
    }
    out
}

/// Escapes colons, and backslashes where they could be read as an escape.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let active = match c {
            ':' => true,
            '\\' => chars.peek().is_none_or(|next| matches!(next, ':' | '\\')),
            _ => false,
        };
        if active {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Reads the lines of other tools' transcripts.
#[derive(Debug, Default)]
pub(super) struct Reader {
    turns: Turns,
    speaker: String,
    /// The turn whose further lines are still to come.
    open: Option<(usize, Turn)>,
    /// `12:04 Okay`: a speaker's heading, or words, if no words follow.
    doubt: Option<(usize, Option<i64>, String)>,
}

impl Reader {
    /// Takes a turn that is beyond doubt; lines that follow at once go on with it.
    pub(super) fn turn(
        &mut self,
        at: usize,
        start: Option<i64>,
        name: &str,
        words: &str,
    ) -> Result<(), FormatError> {
        self.close()?;
        name.trim().clone_into(&mut self.speaker);
        self.begin(at, start, words);
        Ok(())
    }

    /// Takes a line and decides what it is.
    pub(super) fn line(&mut self, at: usize, line: &str) -> Result<(), FormatError> {
        let line = line.trim();
        if line.is_empty() {
            // A heading may stand apart from its words; a turn that has words ends here.
            if self
                .open
                .as_ref()
                .is_some_and(|(_, turn)| !turn.text.is_empty())
            {
                self.close()?;
            }
            return Ok(());
        }
        if let Some((start, rest)) = leading_time(line) {
            if let Some((name, words)) = label(rest) {
                return self.turn(at, Some(start), name, words);
            }
            self.close()?;
            if looks_like_name(rest) {
                self.doubt = Some((at, Some(start), rest.to_owned()));
            } else {
                self.begin(at, Some(start), rest);
            }
            return Ok(());
        }
        if let Some((name, start, words)) = trailing_time(line) {
            return self.turn(at, Some(start), name, words);
        }
        // Below a heading in doubt, `yes: sure` is more likely said than a second heading.
        let sure = |name: &str| self.doubt.is_none() || !name.starts_with(char::is_lowercase);
        if let Some((name, words)) = label(line).filter(|(name, _)| sure(name)) {
            return self.turn(at, None, name, words);
        }
        if let Some((at, start, name)) = self.doubt.take() {
            self.speaker = name;
            self.begin(at, start, line);
        } else if let Some((_, turn)) = &mut self.open {
            turn.text.push(' ');
            turn.text.push_str(line);
        } else {
            self.begin(at, None, line);
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, start_ms: Option<i64>, words: &str) {
        let turn = Turn {
            speaker: self.speaker.clone(),
            text: words.to_owned(),
            start_ms,
            ..Turn::default()
        };
        self.open = Some((at, turn));
    }

    /// Ends the turn at hand; the next unlabelled paragraph is the same person's.
    pub(super) fn close(&mut self) -> Result<(), FormatError> {
        if let Some((at, start, words)) = self.doubt.take() {
            self.begin(at, start, &words);
        }
        match self.open.take() {
            Some((at, turn)) => self.turns.push(Place::Line(at), turn),
            None => Ok(()),
        }
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<Turns, FormatError> {
        self.close()?;
        Ok(self.turns)
    }
}

/// `Name: words`, where the name reads like one.
fn label(line: &str) -> Option<(&str, &str)> {
    let (name, words) = line.split_once(':')?;
    let separated = words.is_empty() || words.starts_with(char::is_whitespace);
    let name = name.trim().trim_matches(['[', ']']);
    (separated && looks_like_name(name)).then_some((name, words))
}

/// `[00:12:04] rest`, `(12:04) rest`, `12:04 - rest`, `00:01 --> 00:04 rest`.
fn leading_time(line: &str) -> Option<(i64, &str)> {
    let (time, mut rest) = match line.strip_prefix(['[', '(']) {
        Some(inner) => inner.split_once([']', ')'])?,
        None => line.split_once(char::is_whitespace).unwrap_or((line, "")),
    };
    let start = clock(time.trim())?;
    rest = rest.trim_start();
    for mark in ["-->", "-", "–", "|"] {
        rest = rest.strip_prefix(mark).unwrap_or(rest).trim_start();
    }
    // The end of a range tells nothing that the next start does not.
    let (second, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some((
        start,
        if clock(second).is_some() {
            after.trim_start()
        } else {
            rest
        },
    ))
}

/// `Name  00:00:12`, `[Name] 10:04:12`, `Name (12:04): words`.
fn trailing_time(line: &str) -> Option<(&str, i64, &str)> {
    let (head, words) = match line.split_once("):") {
        Some((head, words)) => (head, words),
        None => (line, ""),
    };
    let (name, time) = head.rsplit_once(|c: char| c.is_whitespace() || c == '(')?;
    let start = clock(time.trim_matches(['[', ']', '(', ')']))?;
    let name = name
        .trim()
        .trim_matches(['[', ']', '(', ':', '-', ','])
        .trim();
    (fits_speaker(name) && looks_like_name(name)).then_some((name, start, words))
}
