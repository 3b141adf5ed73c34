//! Topic segmentation: contiguous parts whose words, speakers and cue phrases hold together.
//!
//! Dynamic programming over blocks of turns maximises the sum of the lengths of the parts' summed block
//! vectors (the reference's objective, with TF-IDF and speaker shares in place of embeddings); a boundary then moves
//! within its block to a cue phrase ("let's move on"). Embedding means of blocks can be added to the vectors later.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    clean,
    notes::{NotesOptions, Topic, Turn},
    phrases::Phrases,
    sparse,
    transcript::Transcript,
    words::Lexicon,
};

/// Blocks the boundaries are searched among: bounds the quadratic part.
const MAX_BLOCKS: usize = 400;
/// Dimensions kept of the block vectors, by weight.
const MAX_TERMS: usize = 500;
/// A pace that turns words into minutes where times are missing or wrong, words per minute.
const PACE: f32 = 150.0;
/// A silent meeting has fewer topics than its clock suggests: this pace bounds the minutes, words per minute.
const SLOW_PACE: f32 = 60.0;

/// Weight of the speaker shares against the words in a block's vector. Mean Pk of the four development
/// meetings (`notes_eval`): .55 at 0, .45 at .6, .55 at 1 and more. A gain for boundaries at cue phrases made it
/// worse (.57 to .65), so cues only settle a boundary within its block.
const SPEAKER: f32 = 0.6;
/// A part has at least the even share divided by this: shorter ones are asides.
const SHORTEST: usize = 2;

static SHIFTS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "let's|we'll|we'd|gonna|to|should|can|could|shall|we move on
        let's|we can|should|could move to
        moving on
        move on to
        next|last|first|second|third|final|other|another topic|item|point|agenda|question|thing
        next up
        next on the
        on to the next
        on the agenda
        turn to the
        switching|changing|different topic|gears|subject
        next|your|my|first|last presentation
        over to you
        ready to start
        let's start with
        let's talk about
        let's get started
        shall we start|begin|continue
        go on to
        any other business
        to wrap up
        wrap up
        to summarise|summarize|recap
        so next
        okay|ok|alright|right next
        anything else
        coming|getting|get|go|come back to",
    )
});

/// Blocks of whole turns with their vectors.
struct Blocks {
    /// First turn of each block, and the number of turns at the end.
    starts: Vec<usize>,
    vectors: Vec<Vec<f32>>,
}

fn words_per_turn<'a, Id>(turns: &[Turn<Id>], read: &'a Transcript) -> &'a [usize] {
    &read.turn_words[..turns.len().min(read.turn_words.len())]
}

/// Minutes of speech: by the clock, bounded by the words.
fn minutes<Id>(turns: &[Turn<Id>], words: usize) -> f32 {
    let spoken = words as f32 / PACE;
    let first = turns.iter().map(|t| t.start_ms).min().unwrap_or(0);
    let last = turns
        .iter()
        .map(|t| t.end_ms.max(t.start_ms))
        .max()
        .unwrap_or(0);
    let clock = last.saturating_sub(first) as f32 / 60_000.0;
    if clock < spoken / 2.0 {
        spoken
    } else {
        clock.min(words as f32 / SLOW_PACE)
    }
}

impl Blocks {
    fn build<Id>(turns: &[Turn<Id>], read: &Transcript, topics: usize) -> Self {
        let sizes = words_per_turn(turns, read);
        let total: usize = sizes.iter().sum();
        let wanted = (topics * 10).clamp(60, MAX_BLOCKS);
        let size = total.div_ceil(wanted).max(1);
        let mut starts = vec![0];
        let mut filled = 0;
        for (at, words) in sizes.iter().enumerate() {
            if filled >= size {
                starts.push(at);
                filled = 0;
            }
            filled += words;
        }
        let count = starts.len();
        starts.push(sizes.len());
        let block_of = |turn: usize| {
            starts
                .partition_point(|&s| s <= turn)
                .saturating_sub(1)
                .min(count - 1)
        };
        let mut terms: Vec<Vec<u32>> = vec![Vec::new(); count];
        for sentence in &read.sentences {
            terms[block_of(sentence.first_turn())].extend(sentence.terms());
        }
        let documents: Vec<Vec<(u32, u32)>> = terms
            .into_iter()
            .map(|t| sparse::counts(t.into_iter()))
            .collect();
        let frequency = sparse::document_frequency(&documents);
        let weight = |term: u32, n: u32| {
            let df = frequency.get(&term).copied().unwrap_or(0) as f32;
            if df < 2.0 {
                0.0
            } else {
                (1.0 + (n as f32).ln()) * ((count as f32 + 1.0) / (df + 0.5)).ln().max(0.0)
            }
        };
        let mut mass: HashMap<u32, f32> = HashMap::new();
        for &(term, n) in documents.iter().flatten() {
            *mass.entry(term).or_insert(0.0) += weight(term, n);
        }
        let mut kept: Vec<(u32, f32)> = mass.into_iter().filter(|&(_, m)| m > 0.0).collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        kept.truncate(MAX_TERMS);
        let places: HashMap<u32, usize> = kept
            .iter()
            .enumerate()
            .map(|(at, &(term, _))| (term, at))
            .collect();
        let mut speakers: HashMap<&str, usize> = HashMap::new();
        for turn in turns {
            let next = speakers.len();
            // A conference of hundreds of labels says nothing by who speaks.
            if next < 32 {
                speakers.entry(&turn.speaker).or_insert(next);
            }
        }
        let width = places.len() + speakers.len();
        let mut vectors = vec![vec![0.0_f32; width]; count];
        for (vector, document) in vectors.iter_mut().zip(&documents) {
            for &(term, n) in document {
                if let Some(&place) = places.get(&term) {
                    vector[place] = weight(term, n);
                }
            }
            normalise(&mut vector[..places.len()], 1.0);
        }
        for (at, (turn, &words)) in turns.iter().zip(sizes).enumerate() {
            if let Some(&speaker) = speakers.get(turn.speaker.as_str()) {
                vectors[block_of(at)][places.len() + speaker] += words as f32;
            }
        }
        for vector in &mut vectors {
            normalise(&mut vector[places.len()..], SPEAKER);
            normalise(vector, 1.0);
        }
        Self { starts, vectors }
    }

    /// First blocks of `parts` parts of at least `least` blocks.
    fn cut(&self, parts: usize, least: usize) -> Vec<usize> {
        let count = self.vectors.len();
        let width = self.vectors.first().map_or(0, Vec::len);
        // gain[a][b - a - 1]: how well blocks a..b hold together.
        let mut gain: Vec<Vec<f32>> = Vec::with_capacity(count);
        for a in 0..count {
            let mut sum = vec![0.0_f32; width];
            let mut square = 0.0_f32;
            let mut row = Vec::with_capacity(count - a);
            for vector in &self.vectors[a..] {
                // |s + v|² = |s|² + 2 s·v + |v|²
                let (mut dot, mut own) = (0.0, 0.0);
                for (s, &v) in sum.iter_mut().zip(vector) {
                    dot += *s * v;
                    own += v * v;
                    *s += v;
                }
                square += 2.0 * dot + own;
                row.push(square.max(0.0).sqrt());
            }
            gain.push(row);
        }
        let mut best = vec![vec![f32::NEG_INFINITY; count + 1]; parts + 1];
        let mut from = vec![vec![0_usize; count + 1]; parts + 1];
        best[0][0] = 0.0;
        for part in 1..=parts {
            for b in part * least..=count {
                for a in (part - 1) * least..=b - least {
                    let value = best[part - 1][a] + gain[a][b - a - 1];
                    if value > best[part][b] {
                        best[part][b] = value;
                        from[part][b] = a;
                    }
                }
            }
        }
        let mut cuts = Vec::with_capacity(parts);
        let mut end = count;
        for part in (1..=parts).rev() {
            end = from[part][end];
            cuts.push(end);
        }
        cuts.reverse();
        cuts
    }
}

fn normalise(values: &mut [f32], length: f32) {
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 {
        for v in values {
            *v *= length / norm;
        }
    }
}

/// Moves a boundary on to the first cue phrase early in its block, if it has one.
fn settle(start: usize, end: usize, read: &Transcript) -> usize {
    let cue = |t: usize| {
        read.turn_lower
            .get(t)
            .is_some_and(|w| SHIFTS.find(&w[..w.len().min(14)]).is_some())
    };
    (start..end.min(start + 12))
        .find(|&t| cue(t))
        .unwrap_or(start)
}

/// The topics of a meeting; they partition its turns.
pub(crate) fn find<Id: Copy>(
    turns: &[Turn<Id>],
    read: &Transcript,
    phrases: &Phrases,
    options: &NotesOptions,
) -> Vec<Topic<Id>> {
    if turns.is_empty() {
        return Vec::new();
    }
    let words: usize = words_per_turn(turns, read).iter().sum();
    let minutes = minutes(turns, words);
    // A quarter of an hour has its own points as well: up to an hour, topics are as long as they are many.
    let pace = options.minutes_per_topic.max(0.1).min(minutes.sqrt());
    let wanted = (minutes / pace).round();
    let parts = (wanted.max(1.0) as usize)
        .min(options.max_topics.max(1))
        .min(MAX_BLOCKS / 4);
    let blocks = Blocks::build(turns, read, parts);
    let count = blocks.vectors.len();
    let least = (count / parts / SHORTEST).max(1);
    let parts = parts.min(count / least).max(1);
    let mut starts: Vec<usize> = Vec::with_capacity(parts);
    for (n, cut) in blocks.cut(parts, least).into_iter().enumerate() {
        let turn = blocks.starts[cut];
        let settled = if n == 0 {
            0
        } else {
            settle(turn, blocks.starts[cut + 1], read)
        };
        if starts.last().is_none_or(|&last| settled > last) {
            starts.push(settled);
        }
    }
    let sentence_at = |turn: usize| read.sentences.partition_point(|s| s.first_turn() < turn);
    let mut out = Vec::with_capacity(starts.len());
    for (n, &start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(turns.len());
        let part = &turns[start..end];
        let (Some(first), Some(last)) = (part.first(), part.last()) else {
            continue;
        };
        let key_phrases = phrases.best(Some(sentence_at(start)..sentence_at(end)), 6);
        out.push(Topic {
            label: label(&key_phrases),
            start_ms: part
                .iter()
                .map(|t| t.start_ms)
                .min()
                .unwrap_or(first.start_ms),
            end_ms: part.iter().map(|t| t.end_ms).max().unwrap_or(last.end_ms),
            segment_ids: part.iter().map(|t| t.id).collect(),
            key_phrases,
            first: first.id,
            last: last.id,
        });
    }
    out
}

/// The first three phrases, the first letter upper case.
fn label(phrases: &[String]) -> String {
    clean::capitalise(
        &phrases
            .iter()
            .take(3)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    )
}

#[cfg(test)]
mod tests {
    use crate::local::{NotesOptions, Turn, notes};

    #[test]
    fn parts_follow_the_words() {
        let subjects = [
            "The solar battery charger and its voltage sensor need a bigger battery cell.",
            "The hiring pipeline has two candidates, and the interview panel liked one candidate.",
            "The harbour office lease ends, so the landlord wants a longer office lease.",
        ];
        let turns: Vec<Turn<usize>> = (0..90)
            .map(|id| Turn {
                id,
                speaker: ["Anna", "Bob"][id % 2].into(),
                text: subjects[id / 30].into(),
                start_ms: id as i64 * 10_000,
                end_ms: id as i64 * 10_000 + 9_000,
            })
            .collect();
        let options = NotesOptions {
            max_topics: 3,
            ..NotesOptions::default()
        };
        let topics = notes(&turns, &options).topics;
        assert_eq!(topics.len(), 3);
        for (topic, start) in topics.iter().zip([0_usize, 30, 60]) {
            assert!(
                topic.first.abs_diff(start) <= 2,
                "{} for {start}",
                topic.first
            );
        }
        assert!(
            topics[0].key_phrases.iter().any(|p| p.contains("battery")),
            "{:?}",
            topics[0].key_phrases
        );
        assert!(
            topics[2].label.to_lowercase().contains("lease"),
            "{}",
            topics[2].label
        );
    }

    #[test]
    fn a_short_meeting_turns_to_several_topics_while_it_runs() {
        let subjects = [
            "The solar battery charger and its voltage sensor need a bigger battery cell.",
            "The hiring pipeline has two candidates, and the interview panel liked one candidate.",
            "The harbour office lease ends, so the landlord wants a longer office lease.",
        ];
        let turns: Vec<Turn<usize>> = (0..72)
            .map(|id| Turn {
                id,
                speaker: ["Anna", "Bob"][id % 2].into(),
                text: subjects[id / 24].into(),
                start_ms: id as i64 * 10_000,
                end_ms: id as i64 * 10_000 + 9_000,
            })
            .collect();
        let count = |minutes: usize| {
            notes(&turns[..minutes * 6], &NotesOptions::default())
                .topics
                .len()
        };
        assert_eq!((count(1), count(4), count(8), count(12)), (1, 2, 3, 3));
    }
}
