//! What must hold for any input: no panic, valid citations, verbatim words, equal output for equal input.

use std::{collections::HashSet, time::Instant};

use meetmind_ai::local::{
    Notes, NotesOptions, Passage, Persona, Turn, answer, notes, rank, role_view, typed_command,
};
use proptest::prelude::*;

fn turns(lines: &[(String, String)]) -> Vec<Turn<usize>> {
    let mut clock = 0;
    lines
        .iter()
        .enumerate()
        .map(|(id, (speaker, text))| {
            let start_ms = clock;
            clock += 2_000;
            Turn {
                id,
                speaker: speaker.clone(),
                text: text.clone(),
                start_ms,
                end_ms: clock,
            }
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Every citation exists, every quoted word was said in a cited turn, topics partition the turns.
pub(crate) fn check(turns: &[Turn<usize>], notes: &Notes<usize>) {
    let said = |ids: &[usize]| -> HashSet<String> {
        ids.iter()
            .flat_map(|&i| words(&turns[i].text.replace('_', "")))
            .collect()
    };
    let cites = |text: &str, ids: &[usize]| {
        assert!(
            !ids.is_empty() && ids.iter().all(|&i| i < turns.len()),
            "{text:?} cites {ids:?}"
        );
        assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?} in order");
        let said = said(ids);
        // Clitics that a transcriber set apart ("it 's") are joined in the text.
        let missing: Vec<String> = words(&text.replace('_', ""))
            .into_iter()
            .filter(|w| !said.contains(w))
            .collect();
        assert!(
            missing.is_empty(),
            "{missing:?} of {text:?} not said in {ids:?}"
        );
    };
    notes
        .highlights
        .iter()
        .for_each(|h| cites(&h.text, &h.segment_ids));
    notes
        .actions
        .iter()
        .for_each(|a| cites(&a.text, &a.segment_ids));
    notes
        .decisions
        .iter()
        .for_each(|d| cites(&d.text, &d.segment_ids));
    notes
        .questions
        .iter()
        .for_each(|q| cites(&q.text, &q.segment_ids));
    let parts: Vec<usize> = notes
        .topics
        .iter()
        .flat_map(|t| t.segment_ids.clone())
        .collect();
    assert_eq!(
        parts,
        (0..turns.len()).collect::<Vec<_>>(),
        "topics partition the turns"
    );
    assert!(
        notes
            .highlights
            .iter()
            .all(|h| (0.0..=1.0).contains(&h.score))
    );
}

fn line() -> impl Strategy<Value = (String, String)> {
    let speaker = prop_oneof![
        Just("Anna Berg".to_owned()),
        Just("Bob".to_owned()),
        Just("Åsa".to_owned()),
        Just(String::new())
    ];
    let phrase = prop_oneof![
        "\\PC{0,30}",
        "[a-zåäö ,.?!']{0,60}",
        prop::sample::select(vec![
            "I'll send the report by Friday.",
            "Let's go with that.",
            "Yeah, sounds good.",
            "Action item for Bob is to call the bank.",
            "we decided to use the rubber case instead of plastic",
            "um {vocalsound} the the des design , you know",
            "Decision: ",
            "/task",
            "@bob please",
            "会議は明日です。",
            "What is the price of the new battery pack?",
            "I don't know yet.",
            "R_S_I_ [x",
            "♪ ( {",
            "e\u{301}\u{301}\u{200d} 👩‍👩‍👧‍👦",
            "by the end of the",
            "ﬀ İstanbul ẞ",
        ])
        .prop_map(str::to_owned),
    ];
    (
        speaker,
        prop::collection::vec(phrase, 0..4).prop_map(|parts| parts.join(" ")),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_meeting_gives_valid_and_equal_notes(lines in prop::collection::vec(line(), 0..40), budget in 0_usize..200) {
        let turns = turns(&lines);
        let options = NotesOptions { highlight_words: budget, minutes_per_topic: 0.2, ..NotesOptions::default() };
        let first = notes(&turns, &options);
        check(&turns, &first);
        prop_assert_eq!(&first, &notes(&turns, &options));
        for persona in [Persona::Product, Persona::Engineering, Persona::Customer, Persona::Executive] {
            let view = role_view(persona, &first);
            prop_assert!(view.highlights.iter().all(|h| first.highlights.contains(h)));
        }
    }

    #[test]
    fn any_answer_quotes_its_passages(lines in prop::collection::vec(line(), 0..30), question in "\\PC{0,40}|[a-z ]{0,40}\\?|who sends the report\\?") {
        let passages: Vec<Passage<usize>> = turns(&lines)
            .into_iter()
            .map(|t| Passage { id: t.id, group: (t.id / 7) as u64, speaker: t.speaker, text: t.text, title: String::new(), start_ms: t.start_ms, when: None })
            .collect();
        let ranked = rank(&question, &passages, &[]);
        prop_assert!(ranked.windows(2).all(|w| w[0].1 >= w[1].1));
        let found = answer(&question, &passages, &["Bob".to_owned()], 4);
        prop_assert_eq!(&found, &answer(&question, &passages, &["Bob".to_owned()], 4));
        for citation in found.iter().flat_map(|a| &a.citations) {
            let (start, end) = citation.span;
            prop_assert_eq!(passages[citation.id].text.get(start..end), Some(citation.quote.as_str()));
        }
        let _ = typed_command(&question);
    }
}

#[test]
fn empty_and_extreme_input_is_harmless() {
    let none: Vec<Turn<usize>> = Vec::new();
    let made = notes(&none, &NotesOptions::default());
    assert!(made.topics.is_empty() && made.headline.is_empty());
    let odd = Turn {
        id: 0_usize,
        speaker: String::new(),
        text: "...".into(),
        start_ms: i64::MAX,
        end_ms: i64::MIN,
    };
    let other = Turn {
        id: 1,
        speaker: "A".into(),
        text: "One more thing about the budget.".into(),
        start_ms: i64::MIN,
        end_ms: 5,
    };
    let made = notes(
        &[odd, other],
        &NotesOptions {
            minutes_per_topic: f32::NAN,
            max_topics: 0,
            ..NotesOptions::default()
        },
    );
    assert_eq!(made.topics.len(), 1);
}

#[test]
fn a_megabyte_in_one_turn_is_read_in_linear_time() {
    let texts = [
        "word ".repeat(200_000),
        "a".repeat(1_000_000),
        "会議".repeat(170_000),
        "{[(".repeat(330_000),
        "I'll send it by Friday, and then ".repeat(30_000),
        "e\u{301}".repeat(330_000),
        "the the ".repeat(125_000),
    ];
    for text in texts {
        let started = Instant::now();
        let turn = Turn {
            id: 0_usize,
            speaker: "Anna".into(),
            text,
            start_ms: 0,
            end_ms: 1,
        };
        let passage = Passage {
            id: 0,
            speaker: "Anna".into(),
            text: turn.text.clone(),
            title: String::new(),
            start_ms: 0,
            when: None,
            group: 0,
        };
        let made = notes(&[turn], &NotesOptions::default());
        assert!(made.highlights.iter().all(|h| h.segment_ids == [0]));
        let _ = answer("what about the word", &[passage], &[], 2);
        // Unoptimised and on a loaded machine; quadratic work would take hours.
        assert!(started.elapsed().as_secs() < 60);
    }
}

#[test]
fn a_swedish_meeting_gives_topics_and_no_false_items() {
    let lines = [
        (
            "Åsa",
            "Vi måste prata om batteriet i fjärrkontrollen, det räcker inte längre.",
        ),
        (
            "Örjan",
            "Ja, batteriet är för dyrt och leverantören höjer priset igen.",
        ),
        (
            "Åsa",
            "Då tar vi en ny leverantör av batteriet till våren, tycker jag.",
        ),
    ];
    let lines: Vec<(String, String)> = lines
        .iter()
        .map(|(s, t)| ((*s).to_owned(), (*t).to_owned()))
        .collect();
    let turns = turns(&lines);
    let made = notes(&turns, &NotesOptions::default());
    check(&turns, &made);
    assert!(!made.coverage.english && made.actions.is_empty() && made.decisions.is_empty());
    assert!(made.headline.contains("batteriet"), "{}", made.headline);
}
