//! Words, terms and phrase patterns over any Unicode text, in linear time.

use std::{borrow::Cow, collections::HashMap};

use rust_stemmers::{Algorithm, Stemmer};

use super::background;

/// One word of a text, with its byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Marks that belong to the letter before them but are neither letters nor digits.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{93c}' | '\u{94d}'
        | '\u{9cd}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}' | '\u{ccd}' | '\u{d4d}'
        | '\u{e31}'..='\u{e4e}' | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}')
}

/// Scripts written without spaces, where every character counts as a word.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{2bc}')
}

/// The words of a text in order: runs of letters, digits and their marks, with inner apostrophes;
/// one word per character for scripts without spaces.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut out = Vec::new();
    let mut open: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        if is_ideograph(c) {
            if let Some(start) = open.take() {
                out.push(Word {
                    text: &text[start..at],
                    start,
                    end: at,
                });
            }
            out.push(Word {
                text: &text[at..end],
                start: at,
                end,
            });
        } else if c.is_alphanumeric() {
            open.get_or_insert(at);
        } else {
            let inner = is_joiner(c)
                || (is_apostrophe(c)
                    && chars
                        .peek()
                        .is_some_and(|&(_, n)| n.is_alphanumeric() && !is_ideograph(n)));
            if !inner && let Some(start) = open.take() {
                out.push(Word {
                    text: &text[start..at],
                    start,
                    end: at,
                });
            }
        }
    }
    if let Some(start) = open {
        out.push(Word {
            text: &text[start..],
            start,
            end: text.len(),
        });
    }
    out
}

/// Lower case with straight apostrophes, the form all word lists and patterns use.
pub(crate) fn lower(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    word.chars()
        .map(|c| if is_apostrophe(c) { '\'' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Drops the diacritics of Latin letters, composed or combining, so that both spellings of "é" meet.
fn fold(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        return Cow::Borrowed(word);
    }
    let folded = word
        .chars()
        .filter(|c| !matches!(c, '\u{300}'..='\u{36f}'))
        .map(|c| match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
            'ç' | 'ć' | 'č' => 'c',
            'ď' | 'đ' => 'd',
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => 'e',
            'ğ' => 'g',
            'ì'..='ï' | 'ī' | 'į' | 'ı' => 'i',
            'ł' | 'ľ' => 'l',
            'ñ' | 'ń' | 'ň' => 'n',
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => 'o',
            'ř' => 'r',
            'ś' | 'š' | 'ş' => 's',
            'ť' | 'ţ' => 't',
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => 'u',
            'ý' | 'ÿ' => 'y',
            'ź' | 'ž' | 'ż' => 'z',
            other => other,
        });
    Cow::Owned(folded.collect())
}

/// Stems shorter than this begin alike by chance.
const KIN_LEAST: usize = 5;
/// Kin differ by at most so many bytes of suffix.
const KIN_SUFFIX: usize = 3;

/// Turns words into numbered stems; a stop word, a single letter or an empty word has none.
pub(crate) struct Vocabulary {
    stemmer: Stemmer,
    english: bool,
    seen: HashMap<String, Option<u32>>,
    numbers: HashMap<String, u32>,
    stems: Vec<String>,
}

impl Vocabulary {
    /// An empty vocabulary; `english` chooses the stop words.
    pub(crate) fn new(english: bool) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        Self {
            stemmer,
            english,
            seen: HashMap::new(),
            numbers: HashMap::new(),
            stems: Vec::new(),
        }
    }

    /// How many stems are numbered.
    pub(crate) fn len(&self) -> usize {
        self.stems.len()
    }

    /// The stem with a number this vocabulary gave.
    pub(crate) fn stem(&self, number: u32) -> &str {
        self.stems.get(number as usize).map_or("", String::as_str)
    }

    /// The number of the stem of a lower-case word, given on first sight.
    pub(crate) fn term(&mut self, lower: &str) -> Option<u32> {
        if let Some(&known) = self.seen.get(lower) {
            return known;
        }
        let number = self.stem_of(lower).map(|stem| {
            let next = self.stems.len() as u32;
            *self.numbers.entry(stem).or_insert_with_key(|stem| {
                self.stems.push(stem.clone());
                next
            })
        });
        self.seen.insert(lower.to_owned(), number);
        number
    }

    /// The number of a stem the vocabulary has.
    pub(crate) fn number(&self, stem: &str) -> Option<u32> {
        self.numbers.get(stem).copied()
    }

    /// The numbers of stems that begin like `stem` and differ by a suffix: "inspect" and "inspector".
    pub(crate) fn kin(&self, stem: &str) -> Vec<u32> {
        let is_kin = |known: &str| {
            let (short, long) = if known.len() < stem.len() {
                (known, stem)
            } else {
                (stem, known)
            };
            short.len() >= KIN_LEAST
                && long.len() - short.len() <= KIN_SUFFIX
                && long.starts_with(short)
        };
        (0..self.stems.len() as u32)
            .filter(|&number| is_kin(self.stem(number)))
            .collect()
    }

    /// The stem of a lower-case word: possessive dropped, diacritics folded, Porter 2 for ASCII words.
    pub(crate) fn stem_of(&self, lower: &str) -> Option<String> {
        if background::is_stop(lower, self.english) {
            return None;
        }
        let bare = lower.strip_suffix("'s").unwrap_or(lower);
        if bare.contains('\'') || background::is_stop(bare, self.english) {
            return None;
        }
        let folded = fold(bare);
        let mut chars = folded.chars();
        match (chars.next(), chars.next()) {
            (None, _) => return None,
            (Some(only), None) if !is_ideograph(only) && !only.is_numeric() => return None,
            _ => {}
        }
        // The stemmer is for English words; a kilobyte of letters is none.
        if folded.len() <= 40 && folded.bytes().all(|b| b.is_ascii_alphabetic()) {
            Some(self.stemmer.stem(&folded).into_owned())
        } else {
            Some(folded.into_owned())
        }
    }

    /// The stems of a text in order, numbering new ones. Neighbouring ideographs also give their
    /// pair, since a single one says little.
    pub(crate) fn terms(&mut self, text: &str) -> Vec<u32> {
        units(text)
            .iter()
            .filter_map(|unit| self.term(unit))
            .collect()
    }
}

/// The lower-case words of a text, ideographs as overlapping pairs where they stand together.
pub(crate) fn units(text: &str) -> Vec<String> {
    let words = words(text);
    let lone = |w: &Word<'_>| w.text.chars().next().is_some_and(is_ideograph);
    let mut out = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        if !lone(word) {
            out.push(lower(word.text));
            continue;
        }
        let joined = |a: &Word<'_>, b: &Word<'_>| lone(a) && lone(b) && a.end == b.start;
        let after = words.get(at + 1).filter(|next| joined(word, next));
        let before = at
            .checked_sub(1)
            .and_then(|i| words.get(i))
            .filter(|prev| joined(prev, word));
        match after {
            Some(next) => out.push(format!("{}{}", word.text, next.text)),
            None if before.is_none() => out.push(word.text.to_owned()),
            None => {}
        }
    }
    out
}

/// A phrase over lower-case words: alternatives per place, `_` for any word.
struct Pattern(Vec<Vec<&'static str>>);

impl Pattern {
    fn matches<S: AsRef<str>>(&self, words: &[S]) -> bool {
        words.len() >= self.0.len()
            && self
                .0
                .iter()
                .zip(words)
                .all(|(any, word)| any.iter().any(|a| *a == "_" || *a == word.as_ref()))
    }
}

/// A set of phrase patterns, indexed by first word.
pub(crate) struct Lexicon(HashMap<&'static str, Vec<Pattern>>);

impl Lexicon {
    /// Reads one pattern per line: words separated by spaces, alternatives by `|`, `_` for any word
    /// (never in first place).
    pub(crate) fn new(lines: &'static str) -> Self {
        let mut by_first: HashMap<&'static str, Vec<Pattern>> = HashMap::new();
        for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let places: Vec<Vec<&'static str>> =
                line.split(' ').map(|p| p.split('|').collect()).collect();
            for first in places.first().into_iter().flatten() {
                by_first
                    .entry(first)
                    .or_default()
                    .push(Pattern(places.clone()));
            }
        }
        Self(by_first)
    }

    /// The length in words of the longest pattern that matches at the start of `words`.
    pub(crate) fn at<S: AsRef<str>>(&self, words: &[S]) -> Option<usize> {
        let patterns = self.0.get(words.first()?.as_ref())?;
        patterns
            .iter()
            .filter(|p| p.matches(words))
            .map(|p| p.0.len())
            .max()
    }

    /// The first match: its place and its length, in words.
    pub(crate) fn find<S: AsRef<str>>(&self, words: &[S]) -> Option<(usize, usize)> {
        (0..words.len()).find_map(|at| self.at(&words[at..]).map(|len| (at, len)))
    }

    /// How many places match, counting no word twice.
    pub(crate) fn count<S: AsRef<str>>(&self, words: &[S]) -> usize {
        let (mut at, mut count) = (0, 0);
        while at < words.len() {
            match self.at(&words[at..]) {
                Some(len) => {
                    count += 1;
                    at += len;
                }
                None => at += 1,
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_marks_apostrophes_and_byte_ranges() {
        let text = "I’ll naïve cafe\u{301} 会議 «ok» 👍🏽 don't -- x";
        let found: Vec<&str> = words(text).iter().map(|w| w.text).collect();
        assert_eq!(
            found,
            [
                "I’ll",
                "naïve",
                "cafe\u{301}",
                "会",
                "議",
                "ok",
                "don't",
                "x"
            ]
        );
        assert!(words(text).iter().all(|w| &text[w.start..w.end] == w.text));
        assert_eq!(lower("I’LL"), "i'll");
    }

    #[test]
    fn stems_meet_across_spellings() {
        let mut vocabulary = Vocabulary::new(true);
        assert_eq!(vocabulary.terms("batteries"), vocabulary.terms("battery"));
        assert_eq!(
            vocabulary.terms("café"),
            vocabulary.terms("Cafe\u{301}s".trim_end_matches('s'))
        );
        assert_eq!(vocabulary.terms("the of I'll"), Vec::<u32>::new());
        assert_eq!(units("東京都で"), ["東京", "京都", "都で"]);
    }

    #[test]
    fn lexicons_match_alternatives_and_any_word() {
        let lexicon = Lexicon::new("let's|we'll go with|for\nnot _ after all");
        let split = |s: &'static str| s.split(' ').collect::<Vec<_>>();
        assert_eq!(lexicon.find(&split("so we'll go for red")), Some((1, 3)));
        assert_eq!(
            lexicon.find(&split("it is not red after all")),
            Some((2, 4))
        );
        assert_eq!(lexicon.find(&split("we go")), None);
        assert_eq!(lexicon.count(&split("let's go with let's go for")), 2);
    }
}
