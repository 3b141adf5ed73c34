//! Questions about the built-in series and about real meetings: which are answered, and which not.

use std::{error::Error, fs, path::Path};

use meetmind_ai::local::{Answer, Day, Passage, answer};
use serde::Deserialize;
use serde_json::Value;

/// Quotations in one answer.
const QUOTED: usize = 5;

#[derive(Deserialize)]
struct Questions {
    answerable: Vec<Answerable>,
    unanswerable: Vec<String>,
}

#[derive(Deserialize)]
struct Answerable {
    question: String,
    /// One of these stands in a quotation of a good answer.
    said: Vec<String>,
}

fn questions() -> Questions {
    serde_json::from_str(include_str!("questions.json")).expect("questions")
}

/// The three meetings that the demo plays, newest first as a question about a series reads them.
fn series() -> Vec<Passage<usize>> {
    let files = [
        include_str!("../../../meetmind/demo/03-after-the-inspection.json"),
        include_str!("../../../meetmind/demo/02-preparation.json"),
        include_str!("../../../meetmind/demo/01-kickoff.json"),
    ];
    let mut passages = Vec::new();
    for (group, file) in files.iter().enumerate() {
        let meeting: Value = serde_json::from_str(file).expect("a meeting");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for segment in meeting["segments"].as_array().expect("segments") {
            passages.push(Passage {
                id: passages.len(),
                speaker: text(&segment["speaker"]),
                text: text(&segment["text"]),
                title: text(&meeting["title"]),
                start_ms: segment["start_ms"].as_i64().unwrap_or(0),
                when: Some(Day {
                    year: 2026,
                    month: 9,
                    day: 7,
                }),
                group: group as u64,
            });
        }
    }
    passages
}

fn says(answer: &Answer<usize>, words: &[String]) -> bool {
    let quoted = |w: &String| {
        answer
            .citations
            .iter()
            .any(|c| c.quote.contains(w.as_str()))
    };
    words.iter().any(quoted)
}

/// How a set of questions fared.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    answered: usize,
    right: usize,
    /// What went wrong, to read.
    faults: Vec<String>,
}

impl Tally {
    fn ask(
        &mut self,
        question: &str,
        passages: &[Passage<usize>],
        right: impl Fn(&Answer<usize>) -> bool,
    ) {
        self.asked += 1;
        let Some(found) = answer(question, passages, &[], QUOTED) else {
            self.faults.push(format!("{question}\n  none"));
            return;
        };
        self.answered += 1;
        if right(&found) {
            self.right += 1;
        } else {
            self.faults.push(format!("{question}\n{}", found.text));
        }
    }

    fn of<'q>(questions: impl Iterator<Item = &'q str>, passages: &[Passage<usize>]) -> Self {
        let mut tally = Self::default();
        for question in questions {
            tally.ask(question, passages, |_| false);
        }
        tally.faults.retain(|fault| !fault.ends_with("  none"));
        tally
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: asked {}, answered {}, right {}",
            self.asked, self.answered, self.right
        );
        for fault in &self.faults {
            println!("- {fault}");
        }
    }
}

#[test]
fn questions_about_the_series_are_answered_and_others_are_not() {
    let (series, questions) = (series(), questions());
    let mut about = Tally::default();
    for asked in &questions.answerable {
        about.ask(&asked.question, &series, |found| says(found, &asked.said));
    }
    about.print("what was said");
    let foreign = Tally::of(questions.unanswerable.iter().map(String::as_str), &series);
    foreign.print("what was not said");
    let answers = (about.answered + foreign.answered) as f64;
    let (precision, recall) = (
        about.right as f64 / answers,
        about.right as f64 / about.asked as f64,
    );
    println!("precision {precision:.2}, recall {recall:.2}");
    assert!(about.asked >= 30 && foreign.asked >= 30);
    assert!(
        precision >= 0.85 && recall >= 0.85,
        "precision {precision:.2}, recall {recall:.2}"
    );
    assert!(
        foreign.answered * 10 <= foreign.asked,
        "{} of {} were made up",
        foreign.answered,
        foreign.asked
    );
}

#[test]
fn the_questions_of_the_demo_are_answered_in_full() {
    let series = series();
    let asked: Value = serde_json::from_str(include_str!("../../../meetmind/demo/questions.json"))
        .expect("questions");
    for asked in asked.as_array().expect("a list") {
        let question = asked["question"].as_str().expect("a question");
        let found = answer(question, &series, &[], 3).expect(question);
        for expected in asked["expect"].as_array().into_iter().flatten() {
            let expected = expected.as_str().expect("words").to_lowercase();
            let text = found.text.to_lowercase();
            assert!(
                text.contains(&expected),
                "{question}: no {expected} in\n{text}"
            );
        }
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that looks for data outside the project"
)]
fn questions_about_real_meetings_find_their_place() -> Result<(), Box<dyn Error>> {
    let Ok(folder) = std::env::var("MEETMIND_TEST_DATA") else {
        println!(
            "skipped: MEETMIND_TEST_DATA is not set to the data folder, so no real meeting is asked"
        );
        return Ok(());
    };
    let meetings = Path::new(&folder).join("meetings");
    let mut real = Vec::new();
    // A span of passages per question, as the annotators marked it.
    let mut asked: Vec<(String, Vec<(usize, usize)>)> = Vec::new();
    for (group, name) in ["ES2002c.json", "ES2002b.json", "ES2002a.json"]
        .iter()
        .enumerate()
    {
        let meeting: Value = serde_json::from_str(&fs::read_to_string(meetings.join(name))?)?;
        let first = real.len();
        for turn in meeting["meeting_transcripts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            real.push(Passage {
                id: real.len(),
                speaker: text(&turn["speaker"]),
                text: text(&turn["content"]),
                title: (*name).to_owned(),
                start_ms: 0,
                when: None,
                group: group as u64,
            });
        }
        let number = |value: &Value| value.as_str().and_then(|n| n.parse::<usize>().ok());
        for query in meeting["specific_query_list"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let spans = query["relevant_text_span"].as_array().into_iter().flatten();
            let spans =
                spans.filter_map(|s| Some((number(&s[0])? + first, number(&s[1])? + first)));
            let question = query["query"].as_str().unwrap_or_default();
            if question.ends_with('?') {
                asked.push((question.to_owned(), spans.collect()));
            }
        }
    }
    let mut about = Tally::default();
    for (question, spans) in &asked {
        about.ask(question, &real, |found| {
            let within = |id: usize| spans.iter().any(|s| (s.0..=s.1).contains(&id));
            found.citations.iter().any(|c| within(c.id))
        });
    }
    for (question, said) in [
        (
            "What did we decide about the target group?",
            "fifteen to thirty five",
        ),
        ("What did we decide?", "decided"),
        ("Which colour is the corporate colour?", "yellow"),
        ("How much is the selling price?", "twenty five"),
        ("What is the production cost?", "twelve fifty"),
        ("Can the titanium case be curved?", "square"),
        ("How is the remote powered?", "battery"),
        ("What is the problem with speech recognition?", "yelling"),
    ] {
        about.ask(question, &real, |found| says(found, &[said.to_owned()]));
    }
    about.print("what was said");
    let questions = questions();
    let brewery = questions.answerable.iter().map(|a| a.question.as_str());
    // What can be asked of any meeting is no question about the brewery alone.
    let brewery = brewery.filter(|q| *q != "What did we decide?");
    let others = Tally::of(
        brewery.chain(questions.unanswerable.iter().map(String::as_str)),
        &real,
    );
    others.print("another series' questions");
    let back = Tally::of(asked.iter().map(|(q, _)| q.as_str()), &series());
    back.print("these questions of the other series");
    assert!(
        about.right * 10 >= about.asked * 7,
        "{} of {}",
        about.right,
        about.asked
    );
    let foreign = others.asked + back.asked;
    let made_up = others.answered + back.answered;
    assert!(
        made_up * 8 <= foreign,
        "{made_up} of {foreign} were made up"
    );
    Ok(())
}
