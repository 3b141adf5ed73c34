//! Raw transcript text to tokens: marks gone, loose punctuation and clitics joined, long runs cut.

use std::borrow::Cow;

use super::words;

/// One word with the punctuation that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// As it is shown: `Friday,`.
    pub(crate) text: String,
    /// Lower case without punctuation: `friday`.
    pub(crate) core: String,
    /// Which turn it comes from: an index into the engine's input.
    pub(crate) turn: usize,
    /// Set when no space stands before it (scripts without spaces).
    pub(crate) glued: bool,
}

/// A run of characters without spaces longer than this is cut: 20 words of Chinese, or no word at all.
const TOKEN_CHARS: usize = 48;
/// Marks such as `[inaudible]` are short; a longer bracket is text.
const MARK_CHARS: usize = 40;

fn is_short_bracket(inner: &str) -> bool {
    inner.chars().count() <= MARK_CHARS
        && inner
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | '_' | '-' | '.' | '*'))
}

fn is_sound(inner: &str) -> bool {
    matches!(
        inner.to_ascii_lowercase().as_str(),
        "laughs"
            | "laughter"
            | "laughing"
            | "inaudible"
            | "crosstalk"
            | "applause"
            | "music"
            | "silence"
            | "coughs"
    )
}

/// Replaces `{vocalsound}`, `[inaudible]` and `(laughs)` by a space.
fn strip_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '[', '(', '♪']) {
        out.push_str(&rest[..at]);
        let opened = &rest[at..];
        let open = opened.chars().next().unwrap_or(' ');
        let body = &opened[open.len_utf8()..];
        let close = match open {
            '{' => '}',
            '[' => ']',
            _ => ')',
        };
        // Bounded look-ahead keeps a megabyte of opening brackets linear.
        let end = body
            .char_indices()
            .take(MARK_CHARS + 1)
            .find(|&(_, c)| c == close)
            .map(|(i, _)| i);
        match end {
            Some(end)
                if open != '♪'
                    && is_short_bracket(&body[..end])
                    && (open != '(' || is_sound(&body[..end])) =>
            {
                out.push(' ');
                rest = &body[end + close.len_utf8()..];
            }
            _ => {
                out.push(if open == '♪' { ' ' } else { open });
                rest = body;
            }
        }
    }
    out.push_str(rest);
    out
}

fn core_of(text: &str) -> String {
    words::lower(text.trim_matches(|c: char| !c.is_alphanumeric() && c != '@' && c != '/'))
}

/// `R_S_I_` is how some corpora write spelled letters.
fn join_spelled(piece: &str) -> String {
    let spelled = piece.contains('_')
        && piece
            .split('_')
            .filter(|p| !p.is_empty())
            .take(2)
            .all(|p| p.chars().count() <= 1 || !p.is_ascii());
    let starts_spelled =
        piece.chars().next().is_some_and(char::is_uppercase) && piece.chars().nth(1) == Some('_');
    if spelled || starts_spelled {
        piece.replace('_', "")
    } else {
        piece.to_owned()
    }
}

/// A text with spelled words put together: "an L_C_D_ panel" to "an LCD panel".
pub(crate) fn spelled(text: &str) -> Cow<'_, str> {
    if !text.contains('_') {
        return Cow::Borrowed(text);
    }
    let pieces: Vec<String> = text.split_whitespace().map(join_spelled).collect();
    Cow::Owned(pieces.join(" "))
}

/// Whether a character ends a sentence.
pub(crate) fn is_sentence_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।')
}

/// Whether a token closes a sentence.
pub(crate) fn closes(token: &Token) -> bool {
    let text = token
        .text
        .trim_end_matches(['"', '\'', ')', '”', '’', '»', '」']);
    let Some(last) = text.chars().next_back() else {
        return false;
    };
    if !is_sentence_end(last) {
        return false;
    }
    let abbreviation = matches!(
        token.core.as_str(),
        "mr" | "mrs" | "ms" | "dr" | "prof" | "vs" | "e.g" | "i.e" | "st" | "approx"
    );
    !(last == '.' && abbreviation)
}

/// Cuts a long run without spaces after its own punctuation, or at the limit.
fn push_piece(out: &mut Vec<Token>, piece: &str, turn: usize) {
    let mut glued = false;
    let mut start = 0;
    let mut length = 0;
    let mut put = |from: usize, to: usize, glued: bool| {
        let text = piece[from..to].to_owned();
        let core = core_of(&text);
        out.push(Token {
            text,
            core,
            turn,
            glued,
        });
    };
    let mut chars = piece.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        length += 1;
        let end = at + c.len_utf8();
        let wide_end = matches!(c, '。' | '！' | '？' | '、' | '，');
        if (wide_end || length >= TOKEN_CHARS) && chars.peek().is_some() {
            put(start, end, glued);
            (start, length, glued) = (end, 0, true);
        }
    }
    if start < piece.len() {
        put(start, piece.len(), glued);
    }
}

/// Splits a turn into tokens: marks gone, loose punctuation and clitics joined to their word.
pub(crate) fn tokenize(text: &str, turn: usize) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    for piece in strip_marks(text).split_whitespace() {
        let clitic = matches!(
            piece,
            "'s" | "'re" | "'ve" | "'ll" | "'d" | "'m" | "'t" | "n't"
        );
        let loose = piece
            .chars()
            .all(|c| matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '…'));
        match out.last_mut() {
            Some(last)
                if clitic
                    && last
                        .text
                        .chars()
                        .next_back()
                        .is_some_and(char::is_alphabetic) =>
            {
                last.text.push_str(piece);
                last.core = core_of(&last.text);
            }
            Some(last) if loose => {
                if last.text.len() < 4 * TOKEN_CHARS {
                    last.text.push_str(piece);
                }
            }
            None if loose => {}
            _ => push_piece(&mut out, &join_spelled(piece), turn),
        }
    }
    out
}
