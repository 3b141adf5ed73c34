//! How telling a sentence is: a linear score over cues, position, person, topic words, length and centrality.
//!
//! Weights from the project's own measurement (a random search on the AMI and ICSI validation meetings of
//! QMSum). The embedding centroid, weight .2 there, joins when the embedding table is in the product.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    background,
    sparse::{self, Sparse},
    transcript::Transcript,
    words::{self, Lexicon},
};

/// Weight of each feature; features are z-scores over the meeting unless said otherwise.
struct Weights {
    /// Cosine to the embedding centroid of the meeting; no effect until embeddings are passed in.
    embedding: f32,
    /// Cosine to the TF-IDF centroid.
    lexical: f32,
    /// Words the meeting keeps coming back to.
    topic: f32,
    length: f32,
    cue: f32,
    /// Opening and closing, not a z-score.
    position: f32,
    /// Questions lose this, not a z-score.
    question: f32,
    /// Share of first and second person.
    person: f32,
    /// Broken-off sentences lose this, not a z-score. Not in the reference: speech-to-text cuts more than a
    /// human transcriber, and a reader stumbles over half a sentence.
    broken: f32,
    /// Sentences that open with a pronoun lose this, not a z-score; added for the reader as well.
    dangling: f32,
}

const WEIGHTS: Weights = Weights {
    embedding: 0.2,
    lexical: 0.4,
    topic: 0.5,
    length: 0.5,
    cue: 1.2,
    position: 1.5,
    question: 0.5,
    person: 1.2,
    broken: 1.5,
    dangling: 0.5,
};

static CUES: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "decide|decided|decides|deciding|decision|decisions|agree|agreed|agreement|conclude|concluded|conclusion
        summary|summarize|summarise|propose|proposed|proposal|suggest|suggested|suggestion|recommend|recommended
        present|presented|presentation|agenda|purpose|objective|objectives|important|requirement|requirements
        main point|goal|thing|idea|problem|issue
        the goal|idea
        next meeting|step|steps|time|week
        action|should|plan|plans|planned|planning|problem|problems|issue|issues|cost|costs|budget|price|deadline
        need|needs|have|has to
        we will
        we'll
        going to
        prototype|design|project|because|result|results|target|risk|risks|blocked|blocker|customer|customers|launch",
    )
});

fn z_scores(values: &[f32]) -> Vec<f32> {
    let n = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / n;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt();
    values
        .iter()
        .map(|v| (v - mean) / (deviation + 1e-9))
        .collect()
}

/// The scored sentences of a meeting with their vectors.
pub(crate) struct Scores {
    /// Per sentence of the transcript; unbounded, comparable within one meeting.
    pub(crate) score: Vec<f32>,
    /// Per sentence: TF-IDF of unit length.
    pub(crate) vectors: Vec<Sparse>,
}

/// Scores every sentence.
///
/// `embedding` gives each sentence's cosine to the embedding centroid of the meeting; none until the
/// embedding table is there.
pub(crate) fn score(read: &Transcript, embedding: Option<&[f32]>) -> Scores {
    let sentences = &read.sentences;
    let count = sentences.len();
    let documents: Vec<Vec<(u32, u32)>> = sentences
        .iter()
        .map(|s| sparse::counts(s.terms()))
        .collect();
    let frequency = sparse::document_frequency(&documents);
    let idf = |term: u32| {
        ((count as f32 + 1.0) / (frequency.get(&term).copied().unwrap_or(0) as f32 + 0.5)).ln()
    };
    let vectors: Vec<Sparse> = documents
        .iter()
        .map(|d| Sparse::unit(d.iter().map(|&(t, n)| (t, n as f32 * idf(t))).collect()))
        .collect();
    let mut mean = vec![0.0_f32; read.vocabulary.len()];
    for &(term, weight) in vectors.iter().flat_map(|v| &v.0) {
        if let Some(sum) = mean.get_mut(term as usize) {
            *sum += weight / count.max(1) as f32;
        }
    }
    let lexical: Vec<f32> = vectors
        .iter()
        .map(|v| {
            v.0.iter()
                .map(|&(t, w)| w * mean.get(t as usize).copied().unwrap_or(0.0))
                .sum()
        })
        .collect();
    let mut rarity: HashMap<u32, f32> = HashMap::new();
    for word in sentences.iter().flat_map(|s| &s.words) {
        if let Some(term) = word.term {
            rarity
                .entry(term)
                .or_insert_with(|| background::rarity(&words::lower(&word.surface)));
        }
    }
    let topic: Vec<f32> = documents
        .iter()
        .map(|d| {
            d.iter()
                .filter_map(|&(t, _)| {
                    let df = frequency.get(&t).copied().unwrap_or(0);
                    (df > 1)
                        .then(|| (1.0 + df as f32).ln() * rarity.get(&t).copied().unwrap_or(1.0))
                })
                .sum()
        })
        .collect();
    let length: Vec<f32> = sentences.iter().map(|s| s.size.min(30) as f32).collect();
    let cue: Vec<f32> = sentences
        .iter()
        .map(|s| CUES.count(&s.lower[s.lead..]).min(3) as f32)
        .collect();
    let person: Vec<f32> = sentences
        .iter()
        .map(|s| {
            let said = s.lower.iter().filter(|w| {
                let head = w.split('\'').next().unwrap_or_default();
                matches!(head, "i" | "me" | "my" | "you" | "your")
            });
            said.count() as f32 / s.size.max(1) as f32
        })
        .collect();
    let turns = read.turn_words.len().max(1) as f32;
    let (lexical, topic, length) = (z_scores(&lexical), z_scores(&topic), z_scores(&length));
    let (cue, person) = (z_scores(&cue), z_scores(&person));
    let embedding = embedding.map(z_scores);
    let w = &WEIGHTS;
    let score = sentences
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let place = s.first_turn() as f32 / turns;
            let position = if place < 0.08 {
                1.0
            } else if place > 0.92 {
                0.6
            } else {
                0.0
            };
            let opens = s
                .lower
                .get(s.lead)
                .map_or("", |word| word.split('\'').next().unwrap_or_default());
            let dangling = matches!(
                opens,
                "it" | "that"
                    | "they"
                    | "he"
                    | "she"
                    | "this"
                    | "those"
                    | "these"
                    | "which"
                    | "them"
            );
            let flag = |on: bool| f32::from(u8::from(on));
            w.lexical * lexical[i]
                + w.topic * topic[i]
                + w.length * length[i]
                + w.cue * cue[i]
                + w.position * position
                - w.question * flag(s.question)
                - w.person * person[i]
                - w.broken * flag(!s.complete || ends_open(s.lower.last()))
                - w.dangling * flag(dangling)
                + embedding
                    .as_ref()
                    .and_then(|e| e.get(i))
                    .map_or(0.0, |e| w.embedding * e)
        })
        .collect();
    Scores { score, vectors }
}

/// Whether a sentence's last word leaves it open ("and so.").
fn ends_open(last: Option<&String>) -> bool {
    last.is_some_and(|word| {
        matches!(
            word.as_str(),
            "so" | "and"
                | "but"
                | "or"
                | "because"
                | "the"
                | "a"
                | "an"
                | "to"
                | "of"
                | "with"
                | "that's"
                | "is"
                | "like"
                | "it's"
                | "i"
                | "we"
                | "where"
                | "which"
                | "for"
                | "cause"
                | "your"
                | "my"
                | "our"
                | "their"
                | "if"
                | "whether"
                | "into"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Turn;

    #[test]
    fn a_decision_outranks_small_talk() {
        let turn = |id, text: &str| Turn {
            id,
            speaker: "A".into(),
            text: text.into(),
            start_ms: 0,
            end_ms: 0,
        };
        let mut turns: Vec<Turn<u32>> = (0..20)
            .map(|i| turn(i, "I like my coffee and you like your tea."))
            .collect();
        turns[10] = turn(
            10,
            "The budget decision is important because the launch needs the new prototype.",
        );
        let read = Transcript::read(&turns);
        let scores = score(&read, None);
        let best =
            (0..scores.score.len()).max_by(|&a, &b| scores.score[a].total_cmp(&scores.score[b]));
        assert_eq!(best, Some(10));
    }
}
