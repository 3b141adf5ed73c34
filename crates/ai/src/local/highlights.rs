//! Choosing highlights: the best-scored sentences that do not repeat each other (maximal marginal
//! relevance, Carbonell and Goldstein 1998) within a budget of words.

use super::{
    notes::{Highlight, NotesOptions, Turn, ids},
    score::Scores,
    transcript::Transcript,
};

/// Weight of the score against redundancy, as measured in the reference.
const RELEVANCE: f32 = 0.7;
/// Words a highlight has.
const SIZES: std::ops::RangeInclusive<usize> = 6..=32;
/// Different content words a highlight has at least.
const LEAST_TERMS: usize = 4;
/// A highlight has a content word in so many words.
const MOST_FILLING: usize = 5;
/// A sentence this close to a chosen one (cosine) says the same.
const REPETITION: f32 = 0.8;
/// Only the best so many sentences compete, which bounds the work for a day-long meeting.
const CANDIDATES: usize = 400;
/// The last highlight may pass the budget by so many words.
const OVERRUN: usize = 12;

/// The highlights, in the order they were said.
pub(crate) fn choose<Id: Copy>(
    turns: &[Turn<Id>],
    read: &Transcript,
    scores: &Scores,
    options: &NotesOptions,
) -> Vec<Highlight<Id>> {
    let worth = |i: usize| {
        let size = read.sentences[i].size;
        let telling = scores.vectors[i].0.len();
        SIZES.contains(&size) && telling >= LEAST_TERMS && telling * MOST_FILLING >= size
    };
    let mut order: Vec<usize> = (0..read.sentences.len()).filter(|&i| worth(i)).collect();
    order.sort_by(|&a, &b| scores.score[b].total_cmp(&scores.score[a]).then(a.cmp(&b)));
    let low = order.last().map_or(0.0, |&i| scores.score[i]);
    let range = order.first().map_or(0.0, |&i| scores.score[i]) - low + 1e-9;
    order.truncate(CANDIDATES);
    let scaled = |i: usize| (scores.score[i] - low) / range;
    let mut redundancy = vec![0.0_f32; order.len()];
    let mut free = vec![true; order.len()];
    let mut chosen: Vec<usize> = Vec::new();
    let mut used = 0;
    while used < options.highlight_words && chosen.len() < options.max_highlights {
        let value = |k: usize| RELEVANCE * scaled(order[k]) - (1.0 - RELEVANCE) * redundancy[k];
        // Strictly greater keeps the earlier candidate on a tie.
        let mut best: Option<usize> = None;
        for k in (0..order.len()).filter(|&k| free[k]) {
            if best.is_none_or(|b| value(k) > value(b)) {
                best = Some(k);
            }
        }
        let Some(best) = best else { break };
        free[best] = false;
        let at = order[best];
        if used + read.sentences[at].size > options.highlight_words + OVERRUN {
            continue;
        }
        used += read.sentences[at].size;
        chosen.push(at);
        for k in 0..order.len() {
            redundancy[k] = redundancy[k].max(scores.vectors[at].dot(&scores.vectors[order[k]]));
            free[k] &= redundancy[k] < REPETITION;
        }
    }
    chosen.sort_unstable();
    chosen
        .into_iter()
        .filter_map(|i| {
            let sentence = &read.sentences[i];
            let turn = turns.get(sentence.first_turn())?;
            Some(Highlight {
                text: sentence.text.clone(),
                speaker: turn.speaker.clone(),
                start_ms: turn.start_ms,
                segment_ids: ids(turns, &sentence.turns),
                score: scaled(i),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::local::{NotesOptions, Turn, notes};

    #[test]
    fn the_budget_holds_and_repetitions_are_left_out() {
        let text = "The launch budget needs a decision because the supplier price went up again.";
        let turns: Vec<Turn<usize>> = (0..40)
            .map(|id| Turn {
                id,
                speaker: "Anna".into(),
                text: if id % 2 == 0 {
                    text.into()
                } else {
                    format!(
                        "We compared vendor number {id} against the plan for the harbour office."
                    )
                },
                start_ms: 0,
                end_ms: 0,
            })
            .collect();
        let options = NotesOptions {
            highlight_words: 30,
            max_highlights: 2,
            ..NotesOptions::default()
        };
        let highlights = notes(&turns, &options).highlights;
        assert_eq!(highlights.len(), 2);
        assert_ne!(highlights[0].text, highlights[1].text);
        let none = NotesOptions {
            highlight_words: 0,
            ..options
        };
        assert!(notes(&turns, &none).highlights.is_empty());
    }
}
