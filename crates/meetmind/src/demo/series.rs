//! What the demo plays: the built-in series, or files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use meetmind_app::transcripts::formats::{self, ImportedTranscript};
use serde::Deserialize;
use serde_json::Value;

const MEETINGS: [(&str, &str); 3] = [
    (
        "01-kickoff.json",
        include_str!("../../demo/01-kickoff.json"),
    ),
    (
        "02-preparation.json",
        include_str!("../../demo/02-preparation.json"),
    ),
    (
        "03-after-the-inspection.json",
        include_str!("../../demo/03-after-the-inspection.json"),
    ),
];
const QUESTIONS: &str = include_str!("../../demo/questions.json");

/// People beyond this number are spoken for by the first one.
pub(super) const MAX_PEOPLE: usize = 20;

/// Meetings that belong together, and what to ask after them.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) title: String,
    pub(super) meetings: Vec<Played>,
    pub(super) questions: Vec<Question>,
}

/// One meeting to play.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) title: String,
    pub(super) transcript: ImportedTranscript,
}

/// A question, asked after the last meeting, and what a good answer quotes.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    pub(super) question: String,
    #[serde(default)]
    pub(super) expect: Vec<String>,
}

impl Series {
    /// The series that comes with the program.
    pub(super) fn built_in() -> Result<Self> {
        let mut meetings = Vec::new();
        for (name, text) in MEETINGS {
            meetings.push(played(name, text.as_bytes())?);
        }
        let questions: Vec<Question> = serde_json::from_str(QUESTIONS)?;
        let title = meetings[0].transcript.series.clone();
        Ok(Self {
            title: title.unwrap_or_else(|| "Demo".to_owned()),
            meetings,
            questions,
        })
    }

    /// The meetings in these files, in this order, as one series.
    pub(super) fn of_files(files: &[PathBuf]) -> Result<Self> {
        let mut meetings = Vec::new();
        let mut questions = Vec::new();
        for (number, path) in files.iter().enumerate() {
            let shown = path.display().to_string();
            let bytes = fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            meetings.push(played(name.as_deref().unwrap_or(&shown), &bytes)?);
            // Of the earlier meetings, so that the answers show what was kept; of a single one, its own.
            if number + 1 < files.len() || files.len() == 1 {
                questions.extend(own_questions(&bytes).into_iter().take(2));
            }
        }
        questions.truncate(4);
        if questions.is_empty() {
            questions = [
                "What did we decide?",
                "Who will do what until the next meeting?",
            ]
            .map(plain_question)
            .into();
        }
        let title = meetings
            .iter()
            .find_map(|meeting| meeting.transcript.series.clone())
            .unwrap_or_else(|| meetings[0].title.clone());
        Ok(Self {
            title,
            meetings,
            questions,
        })
    }

    /// Everybody who speaks, by first appearance.
    pub(super) fn people(&self) -> Vec<String> {
        let mut people: Vec<String> = Vec::new();
        for meeting in &self.meetings {
            for person in &meeting.transcript.participants {
                if !people.contains(&person.name) && people.len() < MAX_PEOPLE {
                    people.push(person.name.clone());
                }
            }
        }
        people
    }
}

fn played(name: &str, bytes: &[u8]) -> Result<Played> {
    let transcript = formats::parse(bytes, None, Some(name)).with_context(|| name.to_owned())?;
    ensure!(!transcript.segments.is_empty(), "{name} holds no words");
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    Ok(Played {
        title: transcript.title.clone().unwrap_or_else(|| stem.to_owned()),
        transcript,
    })
}

/// The questions that QMSum's annotators asked about one meeting; the answers of the file are not used.
fn own_questions(bytes: &[u8]) -> Vec<Question> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Vec::new();
    };
    let list = value["specific_query_list"].as_array().cloned();
    list.unwrap_or_default()
        .iter()
        .filter_map(|query| query["query"].as_str())
        // To summarise is another thing than to answer.
        .filter(|query| query.ends_with('?') && !query.contains("ummar"))
        .map(plain_question)
        .collect()
}

fn plain_question(question: &str) -> Question {
    Question {
        question: question.to_owned(),
        expect: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_series_is_three_meetings_of_four_people_and_three_hundred_turns() {
        let series = Series::built_in().expect("readable");
        let turns: usize = series
            .meetings
            .iter()
            .map(|meeting| meeting.transcript.segments.len())
            .sum();
        assert_eq!((series.meetings.len(), series.people().len()), (3, 4));
        assert!(turns >= 300, "{turns}");
        assert!(series.questions.len() >= 2);
    }

    #[test]
    fn files_become_a_series_with_questions_about_the_earlier_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let qmsum = r#"{"specific_query_list":[{"query":"Summarize all.","answer":"x"},{"query":"What colour?","answer":"x"}],
            "meeting_transcripts":[{"speaker":"Ada","content":"The colour is green ."}]}"#;
        let files = [
            write("one.json", qmsum),
            write(
                "two.vtt",
                "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bo>Blue, I say.\n",
            ),
        ];
        let series = Series::of_files(&files).expect("readable");
        assert_eq!(series.people(), ["Ada", "Bo"]);
        let questions: Vec<&str> = series
            .questions
            .iter()
            .map(|one| one.question.as_str())
            .collect();
        assert_eq!(questions, ["What colour?"]);
        let error = Series::of_files(&[folder.path().join("none.vtt")]).expect_err("not there");
        assert!(format!("{error:#}").contains("none.vtt"), "{error:#}");
    }
}
