use super::*;
use crate::local::Day;

fn meeting() -> Vec<Passage<u32>> {
    let lines = [
        (
            "Anna Berg",
            "Good morning everyone, let's look at the remote control project.",
        ),
        (
            "Bob Stone",
            "The rubber case costs two euros more than the plastic one.",
        ),
        ("Anna Berg", "Who orders the prototype parts?"),
        ("Bob Stone", "I can do it on Monday."),
        (
            "Eve Lind",
            "Marketing wants a launch in September, before the trade fair in Berlin.",
        ),
        (
            "Anna Berg",
            "Voice recognition is too expensive for this version.",
        ),
        (
            "Eve Lind",
            "Younger buyers liked the speech input in the survey, although it failed often.",
        ),
    ];
    lines
        .iter()
        .enumerate()
        .map(|(i, (speaker, text))| Passage {
            id: i as u32,
            speaker: (*speaker).into(),
            text: (*text).into(),
            title: String::new(),
            start_ms: i as i64 * 65_000,
            when: None,
            group: 1,
        })
        .collect()
}

#[test]
fn a_meeting_named_by_its_title_and_what_was_decided_come_first() {
    let passage = |id: u32, title: &str, text: &str| Passage {
        id,
        speaker: "Anna".into(),
        text: text.into(),
        title: title.into(),
        start_ms: 0,
        when: None,
        group: u64::from(id / 10),
    };
    let passages = [
        passage(0, "Brewery: kick-off", "Good morning, is the coffee ready?"),
        passage(
            1,
            "Brewery: kick-off",
            "We decided: we buy the used Hallberg.",
        ),
        passage(
            10,
            "Brewery: inspection",
            "The filler bowl leaks, the filler is too old to buy.",
        ),
        passage(
            11,
            "Brewery: inspection",
            "We decided that Wednesday is bottling day.",
        ),
        passage(
            12,
            "Brewery: inspection",
            "One bottling day a week is enough, bottling takes a day.",
        ),
    ];
    let first =
        |question: &str| answer(question, &passages, &[], 1).map(|answer| answer.citations[0].id);
    assert_eq!(first("What did we decide to buy at the kick-off?"), Some(1));
    assert_eq!(first("What did we decide to buy?"), Some(1));
    assert_eq!(first("Which day did we choose as bottling day?"), Some(11));
}

fn ids(question: &str) -> Vec<u32> {
    let names = vec!["Carl Holm".to_owned()];
    answer(question, &meeting(), &names, 3)
        .map(|a| a.citations.iter().map(|c| c.id).collect())
        .unwrap_or_default()
}

#[test]
fn supported_questions_are_answered_with_quotes() {
    for (question, id) in [
        ("How much more does the rubber case cost?", 1),
        ("When is the launch?", 4),
        ("What did Anna say about voice recognition?", 5),
        ("Who orders the prototypes?", 2),
        ("What did buyers think of speech input?", 6),
    ] {
        assert!(
            ids(question).contains(&id),
            "{question}: {:?}",
            ids(question)
        );
    }
    let found = answer("When is the launch?", &meeting(), &[], 1).expect("answered");
    assert_eq!(
        found.text,
        "Eve Lind (4:20): Marketing wants a launch in September, before the trade fair in Berlin."
    );
}

#[test]
fn unsupported_questions_get_none() {
    for question in [
        "What is the capital of France?",
        "What did we decide about the Tokyo office budget?",
        "Who is the new chief financial officer?",
        "What did Carl say about the launch?",
        "What did Eve say about the rubber case?",
        "How many servers does the database cluster need?",
        "What about it?",
        "",
        "😀 ???",
    ] {
        assert_eq!(ids(question), Vec::<u32>::new(), "{question}");
    }
}

#[test]
fn the_reply_to_a_matching_question_is_quoted() {
    assert!(ids("Who orders the prototype parts?").contains(&3));
}

#[test]
fn long_passages_are_quoted_in_part_on_boundaries() {
    let filler = "Vi pratade länge om vädret i går kväll — verkligen. ".repeat(40);
    let text = format!("{filler}The turbine bearing failed in Åre because of ice. {filler}");
    let day = Some(Day {
        year: 2026,
        month: 3,
        day: 5,
    });
    let passage = Passage {
        id: 9,
        speaker: "Åsa".into(),
        text: text.clone(),
        title: String::new(),
        start_ms: 3_723_000,
        when: day,
        group: 0,
    };
    let found = answer("Why did the turbine bearing fail?", &[passage], &[], 2).expect("answered");
    let (start, end) = found.citations[0].span;
    assert_eq!(&text[start..end], found.citations[0].quote);
    assert!(found.citations[0].quote.contains("turbine bearing failed"));
    assert!(found.citations[0].quote.len() < 500);
    assert!(found.text.starts_with("Åsa (2026-03-05, 1:02:03): "));
}

/// A meeting of two lines, and what was remembered of it.
fn two_lines() -> Vec<Passage<u32>> {
    let passage = |id: u32, text: &str, group: u64| Passage {
        id,
        speaker: "Ada".into(),
        text: text.into(),
        title: "Kick-off".into(),
        start_ms: i64::from(id) * 4_000,
        when: None,
        group,
    };
    let decided = "We decided to buy the used filler for forty thousand pounds.";
    vec![
        passage(0, decided, 0),
        passage(1, "I will call the bank about the loan by Friday.", 0),
        passage(2, decided, 1),
    ]
}

#[test]
fn two_lines_are_enough_to_answer_from() {
    let passages = two_lines();
    for passages in [&passages[..2], &passages] {
        for (question, id) in [
            ("What did we decide to buy?", 0),
            ("What did we decide?", 0),
            ("What was decided about the filler?", 0),
            ("How much does the filler cost?", 0),
            ("How much will we pay for the filler?", 0),
            ("Who will phone the bank?", 1),
            ("When will Ada call the bank?", 1),
            ("What will Ada do?", 1),
        ] {
            let found = answer(question, passages, &[], 3);
            let first = found.map(|found| found.citations[0].id);
            assert_eq!(first, Some(id), "{question}");
        }
        for question in [
            "What colour is the filler?",
            "What did we decide about the brewery?",
            "What did we decide to sell?",
            "How much does the labeller cost?",
            "How many people does the bank employ?",
            "When is the summer party?",
            "What about it?",
        ] {
            assert_eq!(answer(question, passages, &[], 3), None, "{question}");
        }
    }
}

#[test]
fn an_amount_two_turns_behind_its_subject_comes_first() {
    let lines = [
        "I'll book Gareth for a survey of the power supply by the 15th.",
        "Gareth is good with the power supply, he talks about caravans.",
        "Right, Gareth's quote for the power supply. He came on Monday.",
        "What did I say?",
        "You did say. So it's £3,850 for bringing the power to the wall.",
    ];
    let passages: Vec<Passage<usize>> = lines
        .iter()
        .enumerate()
        .map(|(id, text)| Passage {
            id,
            speaker: ["Ada", "Bo"][id % 2].into(),
            text: (*text).into(),
            title: String::new(),
            start_ms: 0,
            when: None,
            group: 0,
        })
        .collect();
    let found = answer(
        "How much did Gareth quote for the power supply?",
        &passages,
        &[],
        3,
    );
    let ids: Vec<usize> = found.map_or(vec![], |a| a.citations.iter().map(|c| c.id).collect());
    assert!(ids.contains(&4), "{ids:?}");
}
