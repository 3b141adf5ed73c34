//! Cleaning of transcribed speech: transcription marks, fillers, stutters and lead-ins go; every
//! word that stays is as it was said, in the order it was said.

use std::{collections::HashSet, sync::LazyLock};

use super::{
    background,
    tokens::{Token, is_sentence_end, tokenize},
};

static FILLERS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "um umm uhm uh uhh mm mmm hmm hm mhm mm-hmm mm-hm mmhmm er erm ah oh huh ach"
        .split(' ')
        .collect()
});
static LEAD_INS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "okay ok so well yeah yep yes and but right alright now like sorry actually basically anyway cause because then \
     'cause 'kay oops cool great sure plus also no nope hey exactly"
        .split_whitespace()
        .collect()
});
static ACKNOWLEDGEMENTS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "yeah yes yep yup ja okay ok 'kay right alright sure uh-huh cool great exactly good no true mm-hmm absolutely \
     definitely nice lovely oh wow perfect fine indeed i see of course got it very that's thanks thank you"
        .split_whitespace()
        .collect()
});
static LIST_WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "zero one two three four five six seven eight nine ten very really no bye ha long many much"
        .split(' ')
        .collect()
});
static SHORT_WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "a i o am an as at be by do go he hi if in is it me my no of oh ok on or so to tv up us we ad id ai ui pc pm hr"
        .split(' ')
        .collect()
});

/// Passes a removed word's sentence end on to the word before it.
fn hand_back(kept: &mut [Token], removed: &Token) {
    let end = removed
        .text
        .chars()
        .next_back()
        .filter(|&c| is_sentence_end(c));
    if let (Some(end), Some(last)) = (end, kept.last_mut())
        && last.turn == removed.turn
        && !last.text.ends_with(is_sentence_end)
    {
        let bare = last.text.trim_end_matches([',', ';', ':']).len();
        last.text.truncate(bare);
        last.text.push(end);
    }
}

/// "you know", "i mean", "sort of" where they carry nothing.
fn is_empty_pair(previous: Option<&Token>, a: &Token, b: &Token, next: Option<&Token>) -> bool {
    let before = previous.map_or("", |t| t.core.as_str());
    let after = next.map_or("", |t| t.core.as_str());
    if a.text.ends_with(is_sentence_end) {
        return false;
    }
    match (a.core.as_str(), b.core.as_str()) {
        ("you", "know") => {
            !matches!(
                before,
                "do" | "did"
                    | "if"
                    | "as"
                    | "let"
                    | "would"
                    | "don't"
                    | "didn't"
                    | "when"
                    | "that"
                    | "to"
            ) && !matches!(
                after,
                "what" | "how" | "that" | "who" | "why" | "where" | "the" | "if" | "about" | "when"
            )
        }
        ("i", "mean") => {
            !matches!(before, "what" | "do" | "that's" | "if")
                && !matches!(after, "by" | "that" | "it")
        }
        ("sort" | "kind", "of") => !matches!(
            before,
            "what"
                | "this"
                | "that"
                | "a"
                | "some"
                | "any"
                | "the"
                | "which"
                | "every"
                | "same"
                | "one"
                | "other"
                | "another"
                | "different"
                | "each"
                | "no"
                | "new"
                | "right"
                | "certain"
        ),
        _ => false,
    }
}

fn drop_fillers(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        let pair = next.is_some_and(|b| is_empty_pair(kept.last(), token, b, tokens.get(at + 2)));
        if pair {
            if let Some(second) = next {
                hand_back(&mut kept, second);
            }
            at += 2;
        } else if FILLERS.contains(token.core.as_str()) {
            hand_back(&mut kept, token);
            at += 1;
        } else {
            kept.push(token.clone());
            at += 1;
        }
    }
    kept
}

/// Whether a word is the broken-off beginning of the next one: "des design".
fn is_fragment(token: &Token, next: &Token) -> bool {
    let (a, b) = (token.core.as_str(), next.core.as_str());
    let letters = a.chars().count();
    let known = background::is_general(a) || background::is_stop(a, true);
    let broken =
        letters <= 2 || (letters == 3 && !known && b.len() > 4 && a.len() == token.text.len());
    !a.is_empty()
        && broken
        && a.len() < b.len()
        && b.starts_with(a)
        && !SHORT_WORDS.contains(a)
        && a.chars().all(char::is_alphabetic)
        && !token.text.ends_with(is_sentence_end)
}

/// Drops immediate repetitions of one to four words, keeping the last saying, and broken-off words.
pub(crate) fn drop_stutters(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if kept.last().is_some_and(|last| is_fragment(last, &token)) {
            kept.pop();
        }
        kept.push(token);
        let n = kept.len();
        for span in 1..=4 {
            if n < 2 * span {
                break;
            }
            let (first, second) = (&kept[n - 2 * span..n - span], &kept[n - span..]);
            let same = first
                .iter()
                .zip(second)
                .all(|(a, b)| a.core == b.core && !a.core.is_empty());
            let ends = first.iter().any(|t| t.text.ends_with(is_sentence_end));
            let counted = span == 1
                && (LIST_WORDS.contains(second[0].core.as_str())
                    || second[0].core.contains(char::is_numeric));
            if same && !ends && !counted {
                kept.drain(n - 2 * span..n - span);
                break;
            }
        }
    }
    kept
}

/// The cleaned tokens of one turn. Fillers and stutters are dropped only from English.
pub(crate) fn clean(text: &str, turn: usize, english: bool) -> Vec<Token> {
    let tokens = tokenize(text, turn);
    if english {
        drop_stutters(drop_fillers(tokens))
    } else {
        tokens
    }
}

/// Whether cleaned tokens only acknowledge ("Yeah, okay."), which leaves the floor to the other speaker.
pub(crate) fn is_backchannel(tokens: &[Token]) -> bool {
    tokens.len() <= 4
        && tokens
            .iter()
            .all(|t| t.core.is_empty() || ACKNOWLEDGEMENTS.contains(t.core.as_str()))
}

/// How many tokens at the start only lead in ("Okay, so"); never all of them.
pub(crate) fn lead_in(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let token = &tokens[at];
        let empty = token.core.is_empty();
        // "So that …" and "now that …" are conjunctions, "no one" is a subject.
        let bound = matches!(
            tokens[at + 1].core.as_str(),
            "that" | "one" | "long" | "many" | "much"
        ) && matches!(
            token.core.as_str(),
            "so" | "now" | "no" | "like" | "but" | "and"
        ) && tokens[at + 1].core != "that";
        // "No decision today" without its "no" would say the opposite; "No, we ship" answers somebody.
        let negates = matches!(token.core.as_str(), "no" | "nope")
            && token.text.ends_with(char::is_alphabetic);
        if !empty && (bound || negates || !LEAD_INS.contains(token.core.as_str())) {
            break;
        }
        at += 1;
    }
    at
}

/// Tokens as text: first letter upper case, dangling commas gone.
pub(crate) fn join(tokens: &[Token]) -> String {
    let mut out = String::with_capacity(tokens.iter().map(|t| t.text.len() + 1).sum());
    for token in tokens {
        if !out.is_empty() && !token.glued {
            out.push(' ');
        }
        out.push_str(&token.text);
    }
    let trimmed = out
        .trim_end_matches([',', ';', ':', ' '])
        .trim_start_matches([',', ';', '.', '-', ' ']);
    capitalise(trimmed)
}

/// The text with its first letter in upper case, where that is one letter: "ﬀ" would become two.
pub(crate) fn capitalise(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut upper = first.to_uppercase();
    match (upper.next(), upper.next()) {
        // A few marks have a capital that is another letter's: those stay as they were said.
        (Some(upper), None) if upper.to_lowercase().eq([first]) => {
            std::iter::once(upper).chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tokens::closes;

    fn cleaned(text: &str) -> String {
        join(&clean(text, 0, true))
    }

    #[test]
    fn marks_fillers_and_stutters_go() {
        assert_eq!(
            cleaned(
                "Um {vocalsound} so the the des uh design , you know , it 's it's done . [inaudible] (laughs)"
            ),
            "So the design, it's done."
        );
        assert_eq!(
            cleaned("The T_V_ shows R_S_I_ in snake_case ."),
            "The TV shows RSI in snake_case."
        );
        assert_eq!(
            cleaned("I was I was going to call Anna. Um."),
            "I was going to call Anna."
        );
    }

    #[test]
    fn what_carries_meaning_stays() {
        assert_eq!(
            cleaned("What kind of database, and do you know what I mean?"),
            "What kind of database, and do you know what I mean?"
        );
        assert_eq!(cleaned("Dial two two nine."), "Dial two two nine.");
        assert_eq!(
            cleaned("See [the long list of things (really)]."),
            "See [the long list of things (really)]."
        );
    }

    #[test]
    fn other_languages_keep_their_words() {
        assert_eq!(
            join(&clean("Um dia, er kommt um zehn.", 0, false)),
            "Um dia, er kommt um zehn."
        );
        let tokens = clean("会議は明日です。議題は予算です。", 0, false);
        assert_eq!(tokens.len(), 2);
        assert!(closes(&tokens[0]) && tokens[1].glued);
        assert_eq!(join(&tokens), "会議は明日です。議題は予算です。");
    }

    #[test]
    fn sentence_ends_and_lead_ins() {
        let tokens = clean("Okay, so Dr. Lee said 3.5 volts.", 0, true);
        assert_eq!(tokens.iter().filter(|t| closes(t)).count(), 1);
        assert_eq!(join(&tokens[lead_in(&tokens)..]), "Dr. Lee said 3.5 volts.");
        let tokens = clean("Okay. So no decision on the van today.", 0, true);
        assert_eq!(
            join(&tokens[lead_in(&tokens)..]),
            "No decision on the van today."
        );
        let tokens = clean("No, we ship on Friday.", 0, true);
        assert_eq!(join(&tokens[lead_in(&tokens)..]), "We ship on Friday.");
        assert!(is_backchannel(&clean("Yeah, okay.", 0, true)));
        assert!(!is_backchannel(&clean("Yeah, Friday.", 0, true)));
    }
}
