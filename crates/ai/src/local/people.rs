//! Who is who: participants' names recognised in speech, so that they can own an item and stay out of topics.

use std::collections::{HashMap, HashSet};

use super::{background, words};

/// First names that are also everyday words: they count as names only with a capital letter.
const WORD_NAMES: &[&str] = &[
    "will",
    "mark",
    "may",
    "rose",
    "grant",
    "hope",
    "faith",
    "grace",
    "bill",
    "rob",
    "sue",
    "pat",
    "drew",
    "chase",
    "art",
    "frank",
    "jack",
    "mike",
    "nick",
    "dean",
    "guy",
    "joy",
    "dawn",
    "april",
    "june",
    "summer",
    "penny",
    "miles",
    "max",
    "page",
    "ray",
    "sunny",
    "victor",
    "earnest",
    "christian",
    "gene",
    "gay",
    "dick",
    "bob",
    "peg",
    "iris",
    "lance",
    "norm",
    "ruby",
    "sky",
    "star",
    "trey",
    "wade",
    "ward",
];

/// The participants' names, looked up by the words they are said with.
pub(crate) struct People {
    /// Lower-case words of a full name or a first name to the full name; none when two people share it.
    by_words: HashMap<String, Option<String>>,
    /// Lower-case single words that are parts of names and not roles.
    parts: HashSet<String>,
}

impl People {
    /// From names as they are shown, repetitions allowed.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut out = Self {
            by_words: HashMap::new(),
            parts: HashSet::new(),
        };
        let mut seen = HashSet::new();
        for name in names.map(str::trim).filter(|n| !n.is_empty()) {
            if !seen.insert(name.to_lowercase()) {
                continue;
            }
            let parts: Vec<String> = words::words(name)
                .iter()
                .map(|w| words::lower(w.text))
                .collect();
            let is_name = |p: &str| {
                !background::is_role_word(p)
                    && p.chars().count() > 1
                    && !p.chars().all(char::is_numeric)
            };
            for part in parts.iter().filter(|p| is_name(p)) {
                out.parts.insert(part.clone());
            }
            out.by_words.insert(parts.join(" "), Some(name.to_owned()));
            if let Some(first) = parts.first().filter(|p| parts.len() > 1 && is_name(p)) {
                out.by_words
                    .entry(first.clone())
                    .and_modify(|known| *known = None)
                    .or_insert_with(|| Some(name.to_owned()));
            }
        }
        out
    }

    /// Whether a lower-case word is part of a participant's name.
    pub(crate) fn is_part(&self, lower: &str) -> bool {
        self.parts
            .contains(lower.strip_suffix("'s").unwrap_or(lower))
    }

    /// The participant named by the words at the start of `surface`, and how many words that took.
    ///
    /// `surface` holds words as said, punctuation allowed at their ends. A first name two people share
    /// names nobody.
    pub(crate) fn at(&self, surface: &[&str]) -> Option<(&str, usize)> {
        let first = surface
            .first()?
            .trim_start_matches(|c: char| !c.is_alphanumeric());
        let capital = first.chars().next().is_some_and(|c| !c.is_lowercase());
        for len in (1..=3.min(surface.len())).rev() {
            let key = surface[..len]
                .iter()
                .map(|w| bare(w))
                .collect::<Vec<_>>()
                .join(" ");
            if let Some(Some(name)) = self.by_words.get(&key) {
                let everyday = len == 1
                    && (WORD_NAMES.contains(&key.as_str())
                        || background::rarity(&key) < 1.0
                        || background::is_role_word(&key));
                if capital || !everyday {
                    return Some((name, len));
                }
            }
        }
        None
    }
}

impl People {
    /// The participant behind a handle as typed after `@`: a name, or a full name run together.
    pub(crate) fn handle(&self, handle: &str) -> Option<&str> {
        let key = bare(handle);
        if let Some(Some(name)) = self.by_words.get(&key) {
            return Some(name);
        }
        let joined = key.replace(['.', '_', '-'], "");
        let mut found = self
            .by_words
            .iter()
            .filter(|(words, _)| words.replace(' ', "") == joined);
        found.next().and_then(|(_, name)| name.as_deref())
    }
}

/// A word as said to lower case, without punctuation and possessive.
pub(crate) fn bare(word: &str) -> String {
    let lower = words::lower(word.trim_matches(|c: char| !c.is_alphanumeric()));
    lower.strip_suffix("'s").map(str::to_owned).unwrap_or(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_full_and_first_name() {
        let people = People::new(
            [
                "Anna Berg",
                "Will Stone",
                "Anna Lind",
                "Project Manager",
                "Åsa",
            ]
            .into_iter(),
        );
        assert_eq!(people.at(&["Anna", "Berg,", "can"]), Some(("Anna Berg", 2)));
        assert_eq!(people.at(&["Anna", "can"]), None, "two Annas");
        assert_eq!(people.at(&["will", "you"]), None);
        assert_eq!(people.at(&["Will,", "can"]), Some(("Will Stone", 1)));
        assert_eq!(people.at(&["åsa"]), Some(("Åsa", 1)));
        assert_eq!(people.handle("anna.berg"), Some("Anna Berg"));
        assert_eq!(people.handle("will"), Some("Will Stone"));
        assert!(people.is_part("berg") && !people.is_part("project"));
    }
}
