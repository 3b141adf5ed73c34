//! Questions left open. Conservative: talk that goes on after a question counts as an answer unless it says
//! that it is none.

use std::sync::LazyLock;

use super::{
    notes::{OpenQuestion, Turn, ids},
    transcript::{Sentence, Transcript},
    words::Lexicon,
};

/// How many turns after the question a reply is looked for.
const REPLY_TURNS: usize = 3;

static DEFERRALS: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::new(
        "i|we don't|dunno know yet
        i don't know
        i've no idea
        no idea
        i|we have no idea
        good question
        not sure yet
        i'm not sure
        need|have to find out
        need|have to check
        i'd|we'd have to check
        take that|this|it offline
        come back to that|this|it
        get back to you
        park that|this|it
        open question
        to be decided|confirmed|determined
        have to ask
        nobody|no-one knows
        we'll see
        remains to be seen",
    )
});

/// "you know?", "isn't it?" and the like ask nothing.
fn is_real(sentence: &Sentence, read: &Transcript) -> bool {
    let words = &sentence.lower[sentence.lead.min(sentence.lower.len())..];
    let opener = words
        .first()
        .map_or("", |w| w.split('\'').next().unwrap_or_default());
    let opens = matches!(
        opener,
        "what"
            | "which"
            | "who"
            | "when"
            | "where"
            | "how"
            | "why"
            | "do"
            | "does"
            | "did"
            | "is"
            | "are"
            | "can"
            | "could"
            | "should"
            | "shall"
            | "will"
            | "would"
            | "have"
            | "has"
            | "was"
            | "were"
            | "whose"
    );
    let mut terms: Vec<u32> = sentence.terms().collect();
    terms.sort_unstable();
    terms.dedup();
    let telling = terms
        .iter()
        .filter(|&&t| read.vocabulary.stem(t).chars().count() > 2)
        .count();
    sentence.question && opens && words.len() >= 5 && telling >= 2
}

/// The open questions in order.
pub(crate) fn find<Id: Copy>(turns: &[Turn<Id>], read: &Transcript) -> Vec<OpenQuestion<Id>> {
    let mut out = Vec::new();
    if !read.english {
        return out;
    }
    for sentence in read.sentences.iter().filter(|s| is_real(s, read)) {
        let last = sentence.turns.last().copied().unwrap_or(0);
        let Some(asker) = turns.get(sentence.first_turn()) else {
            continue;
        };
        // The asker who goes on talking in the same turn usually moves on or answers.
        let ends_turn = read.turn_lower[last]
            .ends_with(&sentence.lower[sentence.lower.len().saturating_sub(3)..]);
        let replies = (last + 1)..(last + 1 + REPLY_TURNS).min(turns.len());
        let deferred = replies.clone().find(|&t| {
            let lower = &read.turn_lower[t];
            turns[t].speaker != asker.speaker
                && DEFERRALS
                    .find(lower)
                    .is_some_and(|(at, len)| at <= 4 && lower.len() <= at + len + 8)
        });
        // "I don't know" from one is no answer; a full turn from another before it, or right after, is.
        let talk = |t: usize| turns[t].speaker != asker.speaker && read.turn_words[t] >= 5;
        let Some(deferred) = deferred else { continue };
        let answered = (last + 1..deferred).any(talk)
            || (deferred + 1..(deferred + 3).min(turns.len()))
                .any(|t| talk(t) && !starts_question(&read.turn_lower[t]));
        if !ends_turn || answered {
            continue;
        }
        let mut cited = sentence.turns.clone();
        cited.push(deferred);
        out.push(OpenQuestion {
            text: sentence.text.clone(),
            speaker: asker.speaker.clone(),
            segment_ids: ids(turns, &cited),
        });
    }
    out
}

fn starts_question(lower: &[String]) -> bool {
    lower.first().is_some_and(|w| {
        matches!(
            w.as_str(),
            "what" | "which" | "who" | "when" | "where" | "how" | "why"
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::local::{NotesOptions, Turn, notes};

    fn questions(lines: &[(&str, &str)]) -> Vec<(String, Vec<usize>)> {
        let turns: Vec<Turn<usize>> = lines
            .iter()
            .enumerate()
            .map(|(id, (speaker, text))| Turn {
                id,
                speaker: (*speaker).into(),
                text: (*text).into(),
                start_ms: 0,
                end_ms: 0,
            })
            .collect();
        notes(&turns, &NotesOptions::default())
            .questions
            .into_iter()
            .map(|q| (q.text, q.segment_ids))
            .collect()
    }

    #[test]
    fn a_deferred_question_stays_open_and_an_answered_one_does_not() {
        let open = questions(&[
            (
                "Anna",
                "So what is the certification cost for the new battery?",
            ),
            ("Bob", "I don't know yet."),
            ("Anna", "Okay."),
        ]);
        assert_eq!(
            open,
            [(
                "What is the certification cost for the new battery?".to_owned(),
                vec![0, 1]
            )]
        );
        let answered = questions(&[
            (
                "Anna",
                "What is the certification cost for the new battery?",
            ),
            ("Bob", "About forty thousand dollars for one market."),
            ("Anna", "You know what I mean, right?"),
            ("Bob", "I don't know."),
        ]);
        assert!(answered.is_empty());
    }
}
