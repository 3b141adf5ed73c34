//! Transcript files in and out: JSON (ours, QMSum's, a bare array), WebVTT, SRT, plain text, Markdown.
//!
//! Everything here is pure: bytes in, plain values out. The rules that hold for every format:
//!
//! * Text and names pass [`normalise_text`] and [`normalise_speaker`] on the way in and on the way out;
//!   a turn whose text is empty afterwards is dropped.
//! * A turn without times starts where the one before it ended and lasts as long as its words take at
//!   150 words a minute; with a start only, it ends the same way, but not after the next start.
//! * An end before its start counts as no end. A negative time, a time beyond 7 days and more than
//!   [`MAX_SEGMENTS`] turns are errors: guessing would put words where nobody said them.
//! * Turns keep the order of the file; people talk over each other, so starts may go back.
//! * Error messages name the place and what was expected, never the words: they may reach a log.

mod captions;
mod json;
mod markdown;
mod qmsum;
mod srt;
mod text;
mod turns;
mod vtt;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(super) use turns::spoken_ms;
pub use turns::{normalise_speaker, normalise_text};

/// The speaker of a turn whose file names none.
pub const UNKNOWN_SPEAKER: &str = "Unknown";
/// The most turns one file may hold; an 8-hour meeting has about 10,000.
pub const MAX_SEGMENTS: usize = 200_000;
/// The latest time a turn may carry: 7 days from the meeting's start, for recordings that run over night.
pub const MAX_TIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// What a transcript file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedTranscript {
    /// The meeting's title, where the format carries one.
    pub title: Option<String>,
    /// The series' title, where the format carries one.
    pub series: Option<String>,
    /// When the meeting started, as the file spells it (not checked here).
    pub starts_at: Option<String>,
    /// The people the file lists, then speakers it does not list, by first appearance.
    pub participants: Vec<ImportedParticipant>,
    /// The turns in the order of the file.
    pub segments: Vec<ImportedSegment>,
}

/// One person of a transcript file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedParticipant {
    /// The name as it stands on the segments.
    pub name: String,
    /// The address, where the format carries one.
    pub email: Option<String>,
    /// What the person does ("Bottling lead"), where the format carries it.
    pub role_title: Option<String>,
}

/// One turn of a transcript file.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedSegment {
    /// Who speaks; [`UNKNOWN_SPEAKER`] where the file does not say.
    pub speaker: String,
    /// The normalised words; never empty.
    pub text: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start, at or after `start_ms`.
    pub end_ms: i64,
    /// The recogniser's confidence, 0 to 1; anything else in the file is left out.
    pub confidence: Option<f64>,
}

/// A meeting to write.
#[derive(Debug, Clone, Copy)]
pub struct ExportMeeting<'a> {
    /// The meeting's title.
    pub title: &'a str,
    /// The series' title.
    pub series: Option<&'a str>,
    /// When it started, RFC 3339.
    pub starts_at: Option<&'a str>,
    /// The people. Addresses are written to JSON only: the other forms are made to be handed on.
    pub participants: &'a [ImportedParticipant],
    /// The turns, in the order to write them.
    pub segments: &'a [ExportSegment],
}

/// One turn to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportSegment {
    /// The segment's id; JSON and WebVTT carry it.
    pub id: String,
    /// Who speaks.
    pub speaker: String,
    /// The words.
    pub text: String,
    /// Milliseconds from the meeting's start.
    pub start_ms: i64,
    /// Milliseconds from the meeting's start.
    pub end_ms: i64,
    /// Whether a person corrected the words; JSON carries it.
    pub corrected: bool,
}

/// A kind of transcript file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Our own shape, QMSum's, or a bare array of turns.
    Json,
    /// WebVTT.
    Vtt,
    /// SubRip.
    Srt,
    /// Plain text.
    Txt,
    /// Markdown.
    Markdown,
}

impl Format {
    /// All formats, in the order the documentation lists them.
    pub const ALL: [Self; 5] = [Self::Json, Self::Vtt, Self::Srt, Self::Txt, Self::Markdown];

    /// The format of an extension (`vtt`, `.vtt`) or of a file name that ends in one.
    pub fn from_extension(name: &str) -> Option<Self> {
        let extension = name.rsplit_once('.').map_or(name, |(_, last)| last);
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "vtt" | "webvtt" => Some(Self::Vtt),
            "srt" => Some(Self::Srt),
            "txt" | "text" => Some(Self::Txt),
            "md" | "markdown" => Some(Self::Markdown),
            _ => None,
        }
    }

    /// The format of a `Content-Type` header, parameters ignored.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "text/vtt" => Some(Self::Vtt),
            "application/x-subrip" | "text/x-subrip" | "text/srt" | "application/srt" => {
                Some(Self::Srt)
            }
            "text/plain" => Some(Self::Txt),
            "text/markdown" | "text/x-markdown" => Some(Self::Markdown),
            _ => None,
        }
    }

    /// The format the content shows, else the one the file name says, else plain text.
    ///
    /// Content goes first because people save captions as `.txt`.
    pub fn detect(bytes: &[u8], file_name: Option<&str>) -> Self {
        // The first kilobytes decide; a cut in the middle of a character does not matter here.
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(8192)]);
        let head = head.trim_start_matches('\u{feff}').trim_start();
        let mut solid = head.chars().filter(|c| !c.is_whitespace());
        match (solid.next(), solid.next()) {
            (Some('{'), Some('"' | '}')) | (Some('['), Some('{' | ']')) => return Self::Json,
            _ => {}
        }
        if vtt::has_signature(head) {
            return Self::Vtt;
        }
        let by_name = file_name.and_then(Self::from_extension);
        if by_name != Some(Self::Markdown)
            && turns::lines(head)
                .take(12)
                .any(|(_, line)| captions::timing(line).is_some())
        {
            return Self::Srt;
        }
        if let Some(format) = by_name {
            return format;
        }
        let marked = |line: &str| {
            line.starts_with("# ") || line.starts_with("## ") || line.starts_with("**")
        };
        if turns::lines(head).any(|(_, line)| marked(line)) {
            Self::Markdown
        } else {
            Self::Txt
        }
    }

    /// The `Content-Type` of an export.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Vtt => "text/vtt; charset=utf-8",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Txt => "text/plain; charset=utf-8",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }

    /// The file extension, without the dot; also the name in `?format=`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Vtt => "vtt",
            Self::Srt => "srt",
            Self::Txt => "txt",
            Self::Markdown => "md",
        }
    }
}

/// Where in a file something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line, counted from 1.
    Line(usize),
    /// A turn of a JSON array, counted from 1.
    Segment(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Segment(n) => write!(f, "segment {n}"),
        }
    }
}

/// Why a transcript file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes are not text.
    #[error("line {line}: not UTF-8 text (UTF-16 is read when it begins with a byte order mark)")]
    NotText {
        /// The line with the first bad byte.
        line: usize,
    },
    /// Nothing was said in the file.
    #[error("no turn with words in the file; expected {expected}")]
    Empty {
        /// What a file of this format holds.
        expected: &'static str,
    },
    /// The JSON itself is broken.
    #[error("line {line}, column {column}: {reason}")]
    Json {
        /// The line the parser stopped at.
        line: usize,
        /// The column the parser stopped at.
        column: usize,
        /// The parser's words about the syntax.
        reason: String,
    },
    /// The JSON is sound, but no shape we know.
    #[error("{at}: expected {expected}")]
    Shape {
        /// The key or place that is wrong.
        at: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A line is not what the format has there.
    #[error("{at}: expected {expected}")]
    Syntax {
        /// Where.
        at: Place,
        /// What should stand there.
        expected: &'static str,
    },
    /// A time is outside the meeting's day.
    #[error(
        "{at}: a time of {ms} ms; expected 0 to {MAX_TIME_MS} ms (7 days) from the meeting's start"
    )]
    Time {
        /// Where.
        at: Place,
        /// The time read or worked out.
        ms: i64,
    },
    /// More turns than one meeting can have.
    #[error("{at}: more than {MAX_SEGMENTS} turns; split the file")]
    TooMany {
        /// Where the limit was passed.
        at: Place,
    },
}

/// Reads a transcript file; without a format, [`Format::detect`] decides.
///
/// # Errors
/// [`FormatError`] says where and what was expected.
pub fn parse(
    bytes: &[u8],
    format: Option<Format>,
    file_name: Option<&str>,
) -> Result<ImportedTranscript, FormatError> {
    let text = decode(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let format = format.unwrap_or_else(|| Format::detect(text.as_bytes(), file_name));
    let mut transcript = match format {
        Format::Json => json::parse(text),
        Format::Vtt => vtt::parse(text),
        Format::Srt => srt::parse(text),
        Format::Txt => text::parse(text),
        Format::Markdown => markdown::parse(text),
    }?;
    turns::complete_participants(&mut transcript);
    Ok(transcript)
}

/// Writes a meeting. Turns without words are left out; names and words cannot become markup or cues.
pub fn render(meeting: &ExportMeeting<'_>, format: Format) -> String {
    match format {
        Format::Json => json::render(meeting),
        Format::Vtt => vtt::render(meeting),
        Format::Srt => srt::render(meeting),
        Format::Txt => text::render(meeting),
        Format::Markdown => markdown::render(meeting),
    }
}

/// Text of UTF-8 bytes, or of UTF-16 with a byte order mark, which some meeting services write.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, FormatError> {
    let wide = match bytes {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        return match text {
            Ok(text) if odd.is_empty() => Ok(Cow::Owned(text)),
            _ => Err(FormatError::NotText { line: 1 }),
        };
    }
    std::str::from_utf8(bytes)
        .map(Cow::Borrowed)
        .map_err(|error| {
            let good = &bytes[..error.valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            FormatError::NotText { line }
        })
}
