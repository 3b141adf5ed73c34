//! Turns to utterances to sentences: the shared reading of a meeting that every part of the notes uses.

use std::hash::Hash;

use super::{
    Turn, background, clean,
    tokens::{self, Token},
    words::{self, Vocabulary},
};

/// A speaker's utterance continues over backchannels and over so many of their own turns.
const JOINED_TURNS: usize = 8;
/// A pause longer than this ends an utterance, milliseconds.
const JOIN_PAUSE_MS: i64 = 4_000;
/// Text without punctuation is cut at a connective after this many words, and at twice that anyway.
const CUT_WORDS: usize = 24;

/// One word of a sentence as key phrases see it.
#[derive(Debug)]
pub(crate) struct SentenceWord {
    /// As said, punctuation trimmed.
    pub(crate) surface: String,
    /// The number of its stem; none for stop words.
    pub(crate) term: Option<u32>,
    /// Set when punctuation separates it from the next word.
    pub(crate) breaks: bool,
}

/// One sentence, possibly said over several turns of one speaker.
#[derive(Debug)]
pub(crate) struct Sentence {
    /// Cleaned, lead-ins dropped.
    pub(crate) text: String,
    /// Indices of the turns its words come from, ascending.
    pub(crate) turns: Vec<usize>,
    /// Lower-case words, lead-ins included: what patterns match on.
    pub(crate) lower: Vec<String>,
    /// How many of `lower` are lead-in.
    pub(crate) lead: usize,
    pub(crate) words: Vec<SentenceWord>,
    /// Words as a reader counts them; two ideographs make one.
    pub(crate) size: usize,
    pub(crate) question: bool,
    /// Ends in a full stop, question mark or the like.
    pub(crate) complete: bool,
}

impl Sentence {
    /// The turn where it starts.
    pub(crate) fn first_turn(&self) -> usize {
        self.turns.first().copied().unwrap_or(0)
    }

    /// Its content stems in order.
    pub(crate) fn terms(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().filter_map(|w| w.term)
    }
}

/// A meeting read once.
pub(crate) struct Transcript {
    pub(crate) sentences: Vec<Sentence>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) english: bool,
    /// Per turn: words after cleaning.
    pub(crate) turn_words: Vec<usize>,
    /// Per turn: only acknowledges, or is empty.
    pub(crate) backchannel: Vec<bool>,
    /// Per turn: lower-case words after cleaning.
    pub(crate) turn_lower: Vec<Vec<String>>,
}

/// A reader's count of words in a token.
fn size_of(token: &Token) -> usize {
    let wide = token
        .text
        .chars()
        .filter(|&c| words::is_ideograph(c))
        .count();
    if wide > 0 {
        wide.div_ceil(2)
    } else {
        usize::from(!token.core.is_empty())
    }
}

/// An utterance that may still continue.
struct Open {
    speaker: usize,
    tokens: Vec<Token>,
    turns: usize,
    end_ms: i64,
}

impl Transcript {
    /// Reads the turns in the order given.
    pub(crate) fn read<Id: Copy + Eq + Hash>(turns: &[Turn<Id>]) -> Self {
        let lower_turns: Vec<Vec<String>> = turns.iter().map(|t| words::units(&t.text)).collect();
        let english = background::looks_english(lower_turns.iter().flatten().map(String::as_str));
        let mut read = Self {
            sentences: Vec::new(),
            vocabulary: Vocabulary::new(english),
            english,
            turn_words: Vec::with_capacity(turns.len()),
            backchannel: Vec::with_capacity(turns.len()),
            turn_lower: Vec::with_capacity(turns.len()),
        };
        let mut speakers: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
        // At most one open utterance: a contentful turn by someone else ends it.
        let mut open: Option<Open> = None;
        for (at, (turn, lower)) in turns.iter().zip(&lower_turns).enumerate() {
            let known = speakers.len();
            let speaker = *speakers.entry(turn.speaker.as_str()).or_insert(known);
            // Short turns say too little to tell their language; the meeting decides for them.
            let own = if lower.len() >= 6 {
                background::looks_english(lower.iter().map(String::as_str))
            } else {
                english
            };
            let tokens = clean::clean(&turn.text, at, own);
            let backchannel = clean::is_backchannel(&tokens);
            read.turn_words.push(tokens.iter().map(size_of).sum());
            read.backchannel.push(backchannel);
            read.turn_lower.push(
                tokens
                    .iter()
                    .map(|t| t.core.clone())
                    .filter(|c| !c.is_empty())
                    .collect(),
            );
            let continues = open.as_ref().is_some_and(|o| {
                o.speaker == speaker
                    && o.turns < JOINED_TURNS
                    && turn.start_ms.saturating_sub(o.end_ms) <= JOIN_PAUSE_MS
                    && o.tokens.last().is_some_and(|t| !tokens::closes(t))
            });
            if continues {
                if let Some(o) = open.as_mut() {
                    o.tokens.extend(tokens);
                    if own {
                        o.tokens = clean::drop_stutters(std::mem::take(&mut o.tokens));
                    }
                    o.turns += 1;
                    o.end_ms = turn.end_ms;
                }
            } else if backchannel && open.as_ref().is_some_and(|o| o.speaker != speaker) {
                read.utterance(tokens);
            } else {
                if let Some(done) = open.take() {
                    read.utterance(done.tokens);
                }
                open = Some(Open {
                    speaker,
                    tokens,
                    turns: 1,
                    end_ms: turn.end_ms,
                });
            }
        }
        if let Some(done) = open {
            read.utterance(done.tokens);
        }
        // A backchannel inside an utterance was read before it; put sentences back in spoken order.
        read.sentences.sort_by_key(Sentence::first_turn);
        read
    }

    /// Cuts an utterance into sentences.
    fn utterance(&mut self, tokens: Vec<Token>) {
        let mut start = 0;
        let mut size = 0;
        for at in 0..tokens.len() {
            size += size_of(&tokens[at]);
            let connective = tokens.get(at + 1).is_some_and(|next| {
                matches!(
                    next.core.as_str(),
                    "and" | "but" | "so" | "because" | "then" | "or" | "och" | "men" | "så"
                )
            });
            let comma = tokens[at].text.ends_with([',', ';', '、', '，']);
            // Punctuated speech may run long; only text that shows no stop for long is cut.
            let cut = (size >= 2 * CUT_WORDS && (connective || comma))
                || size >= 4 * CUT_WORDS
                || (size >= CUT_WORDS && connective && !has_stop(&tokens[at + 1..], 2 * CUT_WORDS));
            if tokens::closes(&tokens[at]) || cut {
                self.sentence(&tokens[start..=at]);
                (start, size) = (at + 1, 0);
            }
        }
        if start < tokens.len() {
            self.sentence(&tokens[start..]);
        }
    }

    fn sentence(&mut self, tokens: &[Token]) {
        if tokens.iter().all(|t| t.core.is_empty()) {
            return;
        }
        let lead = if self.english {
            clean::lead_in(tokens)
        } else {
            0
        };
        let body = &tokens[lead..];
        let mut words_out = Vec::with_capacity(body.len());
        for token in body.iter().filter(|t| !t.core.is_empty()) {
            let pieces = words::words(&token.text);
            let last = pieces.len().saturating_sub(1);
            let breaks = token.text.ends_with(|c: char| !c.is_alphanumeric());
            if pieces
                .iter()
                .any(|p| p.text.chars().next().is_some_and(words::is_ideograph))
            {
                for unit in words::units(&token.text) {
                    let term = self.vocabulary.term(&unit);
                    words_out.push(SentenceWord {
                        surface: unit,
                        term,
                        breaks: true,
                    });
                }
                continue;
            }
            for (at, piece) in pieces.iter().enumerate() {
                let term = self.vocabulary.term(&words::lower(piece.text));
                words_out.push(SentenceWord {
                    surface: piece.text.to_owned(),
                    term,
                    breaks: at == last && breaks,
                });
            }
        }
        let mut turns: Vec<usize> = tokens.iter().map(|t| t.turn).collect();
        turns.dedup();
        let lower: Vec<String> = tokens
            .iter()
            .filter(|t| !t.core.is_empty())
            .map(|t| t.core.clone())
            .collect();
        let text = clean::join(body);
        self.sentences.push(Sentence {
            question: asks(&tokens[lead..])
                || text
                    .trim_end_matches(['"', '\'', ')', '”', '’'])
                    .ends_with(['?', '？']),
            complete: tokens.last().is_some_and(tokens::closes),
            size: body.iter().map(size_of).sum(),
            lead: tokens[..lead].iter().filter(|t| !t.core.is_empty()).count(),
            text,
            turns,
            lower,
            words: words_out,
        });
    }
}

/// Whether a sentence opens like a question; speech-to-text often loses the mark.
fn asks(tokens: &[Token]) -> bool {
    let core = |at: usize| tokens.get(at).map_or("", |t| t.core.as_str());
    match core(0) {
        "do" | "does" | "did" | "can" | "could" | "would" | "will" | "is" | "are" | "should"
        | "shall" | "have" | "has" => {
            matches!(
                core(1),
                "you"
                    | "we"
                    | "i"
                    | "they"
                    | "it"
                    | "he"
                    | "she"
                    | "there"
                    | "anyone"
                    | "anybody"
                    | "the"
                    | "that"
                    | "this"
            )
        }
        "what" | "how" | "why" | "who" | "where" => {
            matches!(
                core(1),
                "do" | "does"
                    | "did"
                    | "is"
                    | "are"
                    | "about"
                    | "else"
                    | "if"
                    | "can"
                    | "should"
                    | "would"
                    | "was"
                    | "were"
            )
        }
        _ => false,
    }
}

/// Whether a sentence end comes within the next `limit` tokens.
fn has_stop(tokens: &[Token], limit: usize) -> bool {
    tokens.iter().take(limit).any(tokens::closes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: u32, speaker: &str, text: &str) -> Turn<u32> {
        let start_ms = i64::from(id) * 1_000;
        Turn {
            id,
            speaker: speaker.into(),
            text: text.into(),
            start_ms,
            end_ms: start_ms + 900,
        }
    }

    #[test]
    fn an_utterance_runs_on_over_backchannels() {
        let read = Transcript::read(&[
            turn(0, "Anna", "And we decided on"),
            turn(1, "Bob", "Mm-hmm ."),
            turn(2, "Anna", "the smaller battery. It is cheaper."),
            turn(3, "Bob", "Is it the one we saw ?"),
        ]);
        let texts: Vec<&str> = read.sentences.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "We decided on the smaller battery.",
                "It is cheaper.",
                "Is it the one we saw?"
            ]
        );
        assert_eq!(read.sentences[0].turns, [0, 2]);
        assert!(read.sentences[2].question && read.backchannel[1]);
    }

    #[test]
    fn speech_without_punctuation_is_cut() {
        let long = "we looked at the numbers for the new market and the team thinks that we can grow there \
                    but the budget is small so we need to wait for the next quarter and then we see what happens"
            .repeat(3);
        let read = Transcript::read(&[turn(0, "Anna", &long)]);
        assert!(read.sentences.len() >= 3);
        assert!(read.sentences.iter().all(|s| s.size <= 60));
    }
}
