//! Prints the notes of real meetings and measures topic boundaries, answers and time.
//!
//! `cargo run --release -p meetmind-ai --example notes_eval -- FOLDER [quiet]`
//! reads every QMSum-shaped `*.json` of the folder, giving each turn a time at 150 words a minute.

use std::{error::Error, fs, path::PathBuf, time::Instant};

use meetmind_ai::local::{Notes, NotesOptions, Passage, Persona, Turn, answer, notes, role_view};
use serde_json::Value;

type Failure = Box<dyn Error>;

fn turns(meeting: &Value) -> Vec<Turn<usize>> {
    let mut clock = 0_i64;
    let list = meeting["meeting_transcripts"]
        .as_array()
        .into_iter()
        .flatten();
    list.enumerate()
        .map(|(id, t)| {
            let text = t["content"].as_str().unwrap_or_default().to_owned();
            let start_ms = clock;
            clock += text.split_whitespace().count() as i64 * 400;
            Turn {
                id,
                speaker: t["speaker"].as_str().unwrap_or_default().to_owned(),
                text,
                start_ms,
                end_ms: clock,
            }
        })
        .collect()
}

/// The first turn of every reference topic but the first, from spans of turn numbers.
fn reference(meeting: &Value) -> Vec<usize> {
    let number = |v: &Value| v.as_str().and_then(|s| s.parse::<usize>().ok());
    let topics = meeting["topic_list"].as_array().into_iter().flatten();
    let mut starts: Vec<usize> = topics
        .filter_map(|t| number(&t["relevant_text_span"][0][0]))
        .collect();
    starts.sort_unstable();
    starts.into_iter().skip(1).collect()
}

/// Pk (Beeferman 1999) and WindowDiff (Pevzner and Hearst 2002), the window half a mean reference part.
fn errors(boundaries: &[usize], reference: &[usize], turns: usize) -> (f64, f64) {
    let window = (turns as f64 / (reference.len() + 1) as f64 / 2.0)
        .round()
        .max(2.0) as usize;
    let between = |b: &[usize], i: usize| b.iter().filter(|&&x| x > i && x <= i + window).count();
    let places = turns.saturating_sub(window).max(1);
    let (mut pk, mut diff) = (0, 0);
    for i in 0..places {
        let (ours, theirs) = (between(boundaries, i), between(reference, i));
        pk += usize::from((ours == 0) != (theirs == 0));
        diff += usize::from(ours != theirs);
    }
    (pk as f64 / places as f64, diff as f64 / places as f64)
}

fn boundaries(notes: &Notes<usize>) -> Vec<usize> {
    notes.topics.iter().skip(1).map(|t| t.first).collect()
}

fn show(notes: &Notes<usize>, turns: &[Turn<usize>]) {
    println!("  headline: {}", notes.headline);
    for t in &notes.topics {
        println!(
            "  topic {:>3}-{:<3} {:>2}-{:<2} min  {}  [{}]",
            t.first,
            t.last,
            t.start_ms / 60_000,
            t.end_ms / 60_000,
            t.label,
            t.key_phrases[3.min(t.key_phrases.len())..].join(", ")
        );
    }
    for h in &notes.highlights {
        println!(
            "  high {:.2} {:?} {}: {}",
            h.score, h.segment_ids, h.speaker, h.text
        );
    }
    for a in &notes.actions {
        println!(
            "  action {:?} {:?} owner {:?} due {:?}: {}",
            a.marker, a.segment_ids, a.owner, a.due, a.text
        );
    }
    for d in &notes.decisions {
        println!(
            "  decision {:?} {:?} reverses {:?}: {}",
            d.marker, d.segment_ids, d.reverses_hint, d.text
        );
        for id in d.segment_ids.iter().skip(1) {
            println!("       {}", turns[*id].text);
        }
    }
    for q in &notes.questions {
        println!("  open {:?} {}: {}", q.segment_ids, q.speaker, q.text);
    }
    for persona in [
        Persona::Product,
        Persona::Engineering,
        Persona::Customer,
        Persona::Executive,
    ] {
        let view = role_view(persona, notes);
        println!(
            "  {persona}: {} topics, {} highlights, {} actions",
            view.topics.len(),
            view.highlights.len(),
            view.actions.len()
        );
    }
    println!("  {:?}", notes.coverage);
}

/// How many of the meeting's own questions get a citation inside their annotated span.
fn answers(meeting: &Value, turns: &[Turn<usize>], loud: bool) -> (usize, usize, usize) {
    let passages: Vec<Passage<usize>> = turns
        .iter()
        .map(|t| Passage {
            id: t.id,
            speaker: t.speaker.clone(),
            text: t.text.clone(),
            title: String::new(),
            start_ms: t.start_ms,
            when: None,
            group: 0,
        })
        .collect();
    let (mut asked, mut found, mut hit) = (0, 0, 0);
    for query in meeting["specific_query_list"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let question = query["query"].as_str().unwrap_or_default();
        let spans: Vec<(usize, usize)> = query["relevant_text_span"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|s| Some((s[0].as_str()?.parse().ok()?, s[1].as_str()?.parse().ok()?)))
            .collect();
        asked += 1;
        let Some(answer) = answer(question, &passages, &[], 3) else {
            if loud {
                println!("  Q {question}\n    none");
            }
            continue;
        };
        found += 1;
        hit += usize::from(
            answer
                .citations
                .iter()
                .any(|c| spans.iter().any(|s| (s.0..=s.1).contains(&c.id))),
        );
        if loud {
            println!(
                "  Q {question} {spans:?}\n    {}",
                answer.text.replace('\n', "\n    ")
            );
        }
    }
    (asked, found, hit)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: notes_eval FOLDER [quiet]")?;
    let loud = args.next().is_none();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut all: Vec<Turn<usize>> = Vec::new();
    let mut sums = [0.0; 8];
    let (mut asked, mut found, mut hit) = (0, 0, 0);
    for file in &files {
        let meeting: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
        let turns = turns(&meeting);
        let reference = reference(&meeting);
        let started = Instant::now();
        let made = notes(&turns, &NotesOptions::default());
        let took = started.elapsed();
        println!(
            "{} {} turns {} words {:.1} ms",
            file.display(),
            turns.len(),
            made.coverage.words,
            took.as_secs_f64() * 1e3
        );
        if loud {
            show(&made, &turns);
        }
        let ours = boundaries(&made);
        // The same number of parts as the reference, to judge the places alone.
        let given = NotesOptions {
            max_topics: reference.len() + 1,
            minutes_per_topic: 0.5,
            ..NotesOptions::default()
        };
        let placed = boundaries(&notes(&turns, &given));
        let even = |parts: usize| {
            (1..parts)
                .map(|i| i * turns.len() / parts)
                .collect::<Vec<_>>()
        };
        let rows = [
            ours.clone(),
            even(ours.len() + 1),
            placed.clone(),
            even(reference.len() + 1),
        ];
        for (at, row) in rows.iter().enumerate() {
            let (pk, diff) = errors(row, &reference, turns.len());
            sums[2 * at] += pk;
            sums[2 * at + 1] += diff;
            let name = [
                "own count",
                "even, own count",
                "reference count",
                "even, reference count",
            ][at];
            println!("  {name:22} Pk {pk:.3} WindowDiff {diff:.3} {row:?}");
        }
        println!("  reference {reference:?}");
        let (a, f, h) = answers(&meeting, &turns, loud);
        (asked, found, hit) = (asked + a, found + f, hit + h);
        let offset = all.len();
        let shift = all.last().map_or(0, |t| t.end_ms);
        all.extend(turns.into_iter().map(|t| Turn {
            id: t.id + offset,
            start_ms: t.start_ms + shift,
            end_ms: t.end_ms + shift,
            ..t
        }));
    }
    let n = files.len().max(1) as f64;
    println!(
        "mean Pk/WindowDiff: own {:.3}/{:.3}, even {:.3}/{:.3}; at the reference's count {:.3}/{:.3}, even {:.3}/{:.3}",
        sums[0] / n,
        sums[1] / n,
        sums[2] / n,
        sums[3] / n,
        sums[4] / n,
        sums[5] / n,
        sums[6] / n,
        sums[7] / n
    );
    println!("questions {asked}, answered {found}, with a citation in the annotated span {hit}");
    // Eight hours: the meetings one after another, repeated to 80,000 words.
    let mut day: Vec<Turn<usize>> = Vec::new();
    while !all.is_empty()
        && day
            .iter()
            .map(|t| t.text.split_whitespace().count())
            .sum::<usize>()
            < 80_000
    {
        let shift = day.last().map_or(0, |t| t.end_ms);
        let offset = day.len();
        day.extend(all.iter().cloned().map(|t| Turn {
            id: t.id + offset,
            start_ms: t.start_ms + shift,
            end_ms: t.end_ms + shift,
            ..t
        }));
    }
    let started = Instant::now();
    let made = notes(&day, &NotesOptions::default());
    println!(
        "{} turns, {} words: {:.0} ms",
        day.len(),
        made.coverage.words,
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
