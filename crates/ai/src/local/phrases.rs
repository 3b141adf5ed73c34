//! Key phrases: the words and word pairs a meeting, or a part of it, keeps coming back to.

use std::collections::HashMap;

use super::{background, clean, due, people::People, transcript::Transcript, words};

/// One stem or two neighbouring stems.
type Key = (u32, Option<u32>);

/// What is known of one candidate.
#[derive(Debug, Default)]
struct Entry {
    /// Sentence index of every occurrence, ascending.
    places: Vec<usize>,
    /// Ways it was said, with counts, in order of first use.
    surfaces: Vec<(String, u32)>,
    /// Mean rarity of its words, 0 to 1.
    rarity: f32,
}

impl Entry {
    fn add(&mut self, place: usize, surface: &str) {
        self.places.push(place);
        if let Some((_, n)) = self.surfaces.iter_mut().find(|(s, _)| s == surface) {
            *n += 1;
        } else if self.surfaces.len() < 8 {
            // A stem has a handful of forms; more are noise and would make counting quadratic.
            self.surfaces.push((surface.to_owned(), 1));
        }
    }

    fn surface(&self) -> &str {
        let mut best: Option<&(String, u32)> = None;
        for candidate in &self.surfaces {
            if best.is_none_or(|b| candidate.1 > b.1) {
                best = Some(candidate);
            }
        }
        best.map_or("", |b| b.0.as_str())
    }
}

/// All candidates of a meeting.
pub(crate) struct Phrases {
    entries: Vec<(Key, Entry)>,
    sentences: usize,
}

/// Adverbs and verb forms name activities rather than things; they label poorly.
fn form(lower: &str) -> f32 {
    if lower.len() > 4 && lower.ends_with("ly") || lower.contains('\'') {
        0.3
    } else if lower.len() > 5 && (lower.ends_with("ing") || lower.ends_with("ed")) {
        0.6
    } else {
        1.0
    }
}

impl Phrases {
    /// Counts the candidates; participants' names are none.
    pub(crate) fn count(read: &Transcript, people: &People) -> Self {
        let mut numbers: HashMap<Key, usize> = HashMap::new();
        let mut entries: Vec<(Key, Entry)> = Vec::new();
        let mut add = |key: Key, place: usize, surface: &str, rarity: f32| {
            let at = *numbers.entry(key).or_insert_with(|| {
                entries.push((
                    key,
                    Entry {
                        rarity,
                        ..Entry::default()
                    },
                ));
                entries.len() - 1
            });
            entries[at].1.add(place, surface);
        };
        for (place, sentence) in read.sentences.iter().enumerate() {
            let mut before: Option<(u32, String, f32)> = None;
            for (at, word) in sentence.words.iter().enumerate() {
                let lower = words::lower(&word.surface);
                let sayable =
                    (2..=30).contains(&word.surface.chars().count()) && !people.is_part(&lower);
                let current = word.term.filter(|_| sayable).map(|term| {
                    // A capital says something inside a word (XML) or inside a sentence (Apple).
                    let shout = word
                        .surface
                        .chars()
                        .skip(usize::from(at == 0))
                        .any(char::is_uppercase);
                    let surface = if shout {
                        word.surface.clone()
                    } else if due::is_named_day(&lower) {
                        clean::capitalise(&lower)
                    } else {
                        lower.clone()
                    };
                    (term, surface, background::rarity(&lower) * form(&lower))
                });
                if let Some((term, surface, rarity)) = &current {
                    add((*term, None), place, surface, *rarity);
                    if let Some((first, said, other)) = &before
                        && first != term
                    {
                        // A pair lives by its better half: "target group" names a thing, "good idea" does not.
                        let rarity = (0.5 * (rarity + other)).max(0.8 * rarity.max(*other));
                        add(
                            (*first, Some(*term)),
                            place,
                            &format!("{said} {surface}"),
                            rarity,
                        );
                    }
                }
                before = current.filter(|_| !word.breaks);
            }
        }
        Self {
            entries,
            sentences: read.sentences.len(),
        }
    }

    /// The best phrases of a range of sentences, or of the whole meeting, most telling first.
    pub(crate) fn best(&self, range: Option<std::ops::Range<usize>>, most: usize) -> Vec<String> {
        let whole = range.is_none();
        let range = range.unwrap_or(0..self.sentences);
        let share = range.len() as f32 / self.sentences.max(1) as f32;
        // Below three mentions a phrase of a long part is an accident; a short part has no more.
        let least = if range.len() < 25 {
            1.0
        } else if range.len() < 90 {
            2.0
        } else {
            3.0
        };
        let mut ranked: Vec<(f32, usize)> = Vec::new();
        for (at, (key, entry)) in self.entries.iter().enumerate() {
            let from = entry.places.partition_point(|&p| p < range.start);
            let to = entry.places.partition_point(|&p| p < range.end);
            let (here, all) = ((to - from) as f32, entry.places.len() as f32);
            let pair = key.1.is_some();
            if here < least || entry.rarity <= 0.0 {
                continue;
            }
            // How much more often than elsewhere: 1 when it is spread evenly.
            let lift = if whole {
                1.0
            } else {
                ((here / all) / share.max(1e-6)).sqrt().min(2.0)
            };
            let spread = if whole { (all + 1.0).ln() } else { here.sqrt() };
            let score = spread * entry.rarity * lift * if pair { 1.5 } else { 1.0 };
            ranked.push((score, at));
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut out: Vec<String> = Vec::new();
        let mut stems: Vec<u32> = Vec::new();
        for (_, at) in ranked {
            let (key, entry) = &self.entries[at];
            let parts = [Some(key.0), key.1];
            if parts.iter().flatten().any(|t| stems.contains(t)) {
                continue;
            }
            stems.extend(parts.iter().flatten());
            out.push(entry.surface().to_owned());
            if out.len() == most {
                break;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Turn;

    #[test]
    fn pairs_and_rare_words_win_and_names_lose() {
        let text = "Anna, the solar panel needs XML. Anna said the solar panel needs XML. Anna and the solar panel.";
        let turn = Turn {
            id: 0,
            speaker: "Anna Berg".into(),
            text: text.into(),
            start_ms: 0,
            end_ms: 0,
        };
        let read = Transcript::read(&[turn]);
        let people = People::new(["Anna Berg"].into_iter());
        let best = Phrases::count(&read, &people).best(None, 3);
        assert_eq!(best, ["solar panel", "XML"]);
    }
}
