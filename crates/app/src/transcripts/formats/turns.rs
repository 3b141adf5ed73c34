//! What all formats share: normalised words, lines, clock times, and turns that get their times.

use std::collections::HashSet;

use super::{
    FormatError, ImportedParticipant, ImportedSegment, ImportedTranscript, MAX_SEGMENTS,
    MAX_TIME_MS, Place, UNKNOWN_SPEAKER,
};

/// 150 words a minute, the pace of conversation.
const WORD_MS: i64 = 400;
/// Longer names are cut here: a label, not a paragraph.
const SPEAKER_CHARS: usize = 120;

/// The words as MeetMind keeps them: one line, single spaces, no control characters, trimmed.
///
/// Direction marks and joiners stay, they are part of some scripts; a byte order mark goes.
pub fn normalise_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !c.is_control() && c != '\u{feff}' {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// A speaker's name as MeetMind keeps it: normalised text of at most 120 characters, never empty.
pub fn normalise_speaker(name: &str) -> String {
    let mut name = normalise_text(name);
    if let Some((at, _)) = name.char_indices().nth(SPEAKER_CHARS) {
        name.truncate(at);
        name.truncate(name.trim_end().len());
    }
    if name.is_empty() {
        UNKNOWN_SPEAKER.to_owned()
    } else {
        name
    }
}

/// Whether a string is short enough to be a speaker's name.
pub(super) fn fits_speaker(name: &str) -> bool {
    let name = name.trim();
    !name.is_empty() && name.chars().take(SPEAKER_CHARS + 1).count() <= SPEAKER_CHARS
}

/// Whether words before a colon read like a name and not like the start of a sentence.
///
/// At most five words; one word may be of any case ("speaker_00"), of several each begins with a
/// capital, a digit or a script without case, particles apart.
pub(super) fn looks_like_name(label: &str) -> bool {
    const PARTICLES: [&str; 14] = [
        "de", "da", "di", "del", "der", "den", "van", "von", "bin", "al", "el", "la", "le", "of",
    ];
    let label = label.trim();
    if label.len() > 100 || label.contains(['?', '!', ';', '"', '/', '<', '>', '=', '*']) {
        return false;
    }
    let Some(first) = label.chars().next() else {
        return false;
    };
    let words: Vec<&str> = label.split_whitespace().collect();
    if !first.is_alphabetic() || words.len() > 5 {
        return false;
    }
    words.len() == 1
        || words.iter().all(|word| {
            let lead = word.chars().find(|c| c.is_alphanumeric());
            lead.is_none_or(|c| !c.is_lowercase()) || PARTICLES.contains(word)
        })
}

/// The lines of a text with their numbers from 1, after CRLF, LF or CR.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\n', '\r']) else {
            rest = None;
            return Some(current);
        };
        let skip = if current[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&current[end + skip..]);
        Some(&current[..end])
    })
    .enumerate()
    .map(|(index, line)| (index + 1, line))
}

/// Milliseconds of `h:mm:ss`, `m:ss`, either with `.mmm` or `,mmm`.
pub(super) fn clock(text: &str) -> Option<i64> {
    fn number(digits: &str, most: usize) -> Option<i64> {
        let sound =
            (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        sound.then(|| digits.parse().ok())?
    }
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let ms = match fraction {
        // "5" is half a second, "005" five milliseconds; finer digits are cut.
        Some(digits) => number(digits, 9)? * 1000 / 10_i64.pow(u32::try_from(digits.len()).ok()?),
        None => 0,
    };
    let parts: Vec<&str> = whole.splitn(4, ':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [minutes, seconds] => (0, number(minutes, 6)?, number(seconds, 2)?),
        [hours, minutes, seconds] => (number(hours, 6)?, number(minutes, 2)?, number(seconds, 2)?),
        _ => return None,
    };
    if seconds > 59 || (parts.len() == 3 && minutes > 59) {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms)
}

/// `hh:mm:ss` and the milliseconds after the given mark.
pub(super) fn stamp(ms: i64, mark: char) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1000;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{h:02}:{m:02}:{s:02}{mark}{:03}", ms % 1000)
}

/// One turn before it has its times.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) speaker: String,
    pub(super) text: String,
    pub(super) start_ms: Option<i64>,
    pub(super) end_ms: Option<i64>,
    pub(super) confidence: Option<f64>,
}

/// The turns of a file as they are read.
#[derive(Debug, Default)]
pub(super) struct Turns {
    list: Vec<(Turn, Place)>,
}

impl Turns {
    /// Takes a turn; one without words is dropped, its times with it.
    pub(super) fn push(&mut self, at: Place, mut turn: Turn) -> Result<(), FormatError> {
        for ms in [turn.start_ms, turn.end_ms].into_iter().flatten() {
            check_time(at, ms)?;
        }
        turn.text = normalise_text(&turn.text);
        if turn.text.is_empty() {
            return Ok(());
        }
        if self.list.len() == MAX_SEGMENTS {
            return Err(FormatError::TooMany { at });
        }
        turn.speaker = normalise_speaker(&turn.speaker);
        turn.confidence = turn.confidence.filter(|c| (0.0..=1.0).contains(c));
        self.list.push((turn, at));
        Ok(())
    }

    /// Gives every turn its times, by the rules of the module's head.
    pub(super) fn finish(
        self,
        expected: &'static str,
    ) -> Result<Vec<ImportedSegment>, FormatError> {
        if self.list.is_empty() {
            return Err(FormatError::Empty { expected });
        }
        let mut segments = Vec::with_capacity(self.list.len());
        let mut list = self.list.into_iter().peekable();
        let mut clock_ms = 0;
        while let Some((turn, at)) = list.next() {
            let start_ms = turn.start_ms.unwrap_or(clock_ms);
            let end_ms = turn
                .end_ms
                .filter(|end| *end >= start_ms)
                .unwrap_or_else(|| {
                    let end = start_ms.saturating_add(spoken_ms(&turn.text));
                    let next = list.peek().and_then(|(next, _)| next.start_ms);
                    next.filter(|next| *next > start_ms)
                        .map_or(end, |next| end.min(next))
                });
            // A start near the limit with words to speak is still inside the day; pure estimates are not.
            let end_ms = if turn.start_ms.is_some() {
                end_ms.min(MAX_TIME_MS)
            } else {
                end_ms
            };
            check_time(at, end_ms)?;
            clock_ms = end_ms;
            let Turn {
                speaker,
                text,
                confidence,
                ..
            } = turn;
            segments.push(ImportedSegment {
                speaker,
                text,
                start_ms,
                end_ms,
                confidence,
            });
        }
        Ok(segments)
    }
}

fn check_time(at: Place, ms: i64) -> Result<(), FormatError> {
    if (0..=MAX_TIME_MS).contains(&ms) {
        Ok(())
    } else {
        Err(FormatError::Time { at, ms })
    }
}

/// How long words take to say, in milliseconds: 150 words a minute.
pub(in crate::transcripts) fn spoken_ms(text: &str) -> i64 {
    let words = text.split(' ').count();
    i64::try_from(words)
        .unwrap_or(i64::MAX)
        .saturating_mul(WORD_MS)
}

/// Adds the speakers that the file's own list of people leaves out.
pub(super) fn complete_participants(transcript: &mut ImportedTranscript) {
    let mut known: HashSet<String> = transcript
        .participants
        .iter()
        .map(|p| p.name.clone())
        .collect();
    for segment in &transcript.segments {
        if segment.speaker != UNKNOWN_SPEAKER && !known.contains(&segment.speaker) {
            known.insert(segment.speaker.clone());
            let name = segment.speaker.clone();
            transcript.participants.push(ImportedParticipant {
                name,
                email: None,
                role_title: None,
            });
        }
    }
}

/// A normalised, non-empty text, or none.
pub(super) fn some_text(text: &str) -> Option<String> {
    Some(normalise_text(text)).filter(|text| !text.is_empty())
}
