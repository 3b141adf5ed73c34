//! What WebVTT and SRT share: the timing line, entities, and who says an unmarked cue.

use super::FormatError;
use super::Place;
use super::turns::{Turn, Turns, clock, fits_speaker, looks_like_name};

/// Start and end of a line such as `00:00:01.000 --> 00:00:04.000 align:start`.
pub(super) fn timing(line: &str) -> Option<(i64, i64)> {
    let (start, rest) = line.split_once("-->")?;
    let end = rest.split_whitespace().next()?;
    Some((clock(start.trim())?, clock(end)?))
}

/// A stretch of a cue by one speaker.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Who the markup says speaks.
    pub(super) voice: Option<String>,
    /// The words, entities decoded.
    pub(super) text: String,
    /// Where in the words the colon of a possible `Speaker: ` stands.
    label: Option<usize>,
    /// A colon seen last; it makes a label once a space follows.
    colon: Option<usize>,
    /// Whether `>>` says that another person begins here.
    pub(super) change: bool,
}

impl Piece {
    /// Adds a character of the file itself, which may be the colon of a label.
    pub(super) fn literal(&mut self, c: char) {
        self.decoded(c);
        if c == ':' && self.label.is_none() {
            self.colon = Some(self.text.len() - 1);
        }
    }

    /// Adds a character that was written as an entity and so is never syntax.
    pub(super) fn decoded(&mut self, c: char) {
        if let Some(colon) = self.colon.take()
            && c.is_whitespace()
        {
            self.label = Some(colon);
        }
        self.text.push(c);
    }

    /// An empty stretch, by somebody new where `>>` says so.
    pub(super) fn new(change: bool) -> Self {
        Self {
            change,
            ..Self::default()
        }
    }

    fn labelled(&self) -> Option<(&str, &str)> {
        let at = self.label?;
        let (name, words) = (&self.text[..at], &self.text[at + 1..]);
        (fits_speaker(name) && !words.trim().is_empty()).then_some((name, words))
    }
}

/// One cue: its times, where it stands, what it says.
#[derive(Debug)]
pub(super) struct Cue {
    pub(super) line: usize,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) pieces: Vec<Piece>,
}

/// Finds the speakers and makes turns of cues.
///
/// Markup decides; else `Speaker: ` does, where it reads like a name or where each unmarked cue of the
/// file has such a label; else the last label goes on until `>>` says that someone else speaks.
pub(super) fn turns(cues: Vec<Cue>) -> Result<Turns, FormatError> {
    let mut unmarked = cues
        .iter()
        .flat_map(|cue| &cue.pieces)
        .filter(|p| p.voice.is_none() && !p.text.trim().is_empty());
    let all_labelled = unmarked.all(|piece| piece.labelled().is_some());
    let mut last = String::new();
    let mut turns = Turns::default();
    for cue in cues {
        for piece in cue.pieces {
            let label = piece
                .labelled()
                .filter(|(name, _)| all_labelled || looks_like_name(name));
            let (speaker, text) = match (&piece.voice, label) {
                (Some(voice), _) => (voice.clone(), piece.text),
                (None, Some((name, words))) => {
                    last = name.to_owned();
                    (last.clone(), words.to_owned())
                }
                (None, None) => {
                    if piece.change {
                        last.clear();
                    }
                    (last.clone(), piece.text)
                }
            };
            let turn = Turn {
                speaker,
                text,
                start_ms: Some(cue.start_ms),
                end_ms: Some(cue.end_ms),
                confidence: None,
            };
            turns.push(Place::Line(cue.line), turn)?;
        }
    }
    Ok(turns)
}

/// The character an entity at the start of a text stands for, and the entity's length.
pub(super) fn entity(text: &str) -> Option<(char, usize)> {
    let name = text.strip_prefix('&')?;
    let end = name.bytes().take(10).position(|byte| byte == b';')?;
    let name = &name[..end];
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "lrm" => '\u{200e}',
        "rlm" => '\u{200f}',
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((c, end + 2))
}

/// A tag at the start of a text: what is between the angle brackets, and its length.
///
/// A tag ends before the next `<`, which keeps a long run of `<` linear.
pub(super) fn tag(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('<')?;
    let mut start = inner.chars();
    let begins = match start.next()? {
        '/' => start.next().is_some_and(|c| c.is_ascii_alphabetic()),
        c => c.is_ascii_alphanumeric(),
    };
    if !begins {
        return None;
    }
    let end = inner.find(['>', '<'])?;
    inner[end..]
        .starts_with('>')
        .then(|| (&inner[..end], end + 2))
}

/// A text with its entities decoded.
pub(super) fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (c, length) = entity(rest).unwrap_or((c, c.len_utf8()));
        out.push(c);
        rest = &rest[length..];
    }
    out
}
