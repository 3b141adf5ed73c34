//! Real meetings, read from the folder `MEETMIND_TEST_DATA` names; skipped with a line when unset.

use std::{error::Error, fs, path::Path};

use meetmind_ai::local::{NotesOptions, Turn, notes};
use serde_json::Value;

use crate::properties::check;

/// QMSum shape, each turn timed at 150 words a minute.
fn read(path: &Path) -> Result<Vec<Turn<usize>>, Box<dyn Error>> {
    let meeting: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let mut clock = 0;
    let list = meeting["meeting_transcripts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let turn = |(id, t): (usize, &Value)| {
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
    };
    Ok(list.iter().enumerate().map(turn).collect())
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that looks for data outside the project"
)]
fn real_meetings_give_notes_that_cite_what_was_said() -> Result<(), Box<dyn Error>> {
    let Ok(folder) = std::env::var("MEETMIND_TEST_DATA") else {
        println!(
            "skipped: MEETMIND_TEST_DATA is not set to the data folder, so no real meeting is read"
        );
        return Ok(());
    };
    let mut meetings = 0;
    for entry in fs::read_dir(Path::new(&folder).join("meetings"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let turns = read(&path)?;
        let made = notes(&turns, &NotesOptions::default());
        check(&turns, &made);
        assert!(made.coverage.english);
        assert!(
            (3..=8).contains(&made.highlights.len()),
            "{}: {}",
            path.display(),
            made.highlights.len()
        );
        assert!((1..=12).contains(&made.topics.len()));
        assert!(made.topics.iter().all(|t| !t.label.is_empty()));
        // These teams play roles and promise little: more would be noise.
        assert!(made.actions.len() <= 5, "{:?}", made.actions);
        assert!(made.decisions.len() <= 8, "{:?}", made.decisions);
        meetings += 1;
    }
    assert!(meetings > 0, "no meetings in {folder}");
    Ok(())
}
