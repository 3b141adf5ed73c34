//! What is printed after a meeting, and the answers.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::series::Question;
use crate::api::{Api, items};
use crate::terminal::{Terminal, Tone, clock};

/// Quotations shown under one question.
const QUOTED: usize = 3;

/// Decisions of the meetings so far: id → where they were made and their words.
#[derive(Debug, Default)]
pub(super) struct Decided(HashMap<String, String>);

impl Decided {
    fn remember(&mut self, row: &Value, meeting: &str, said: &Said) {
        let at = row["segment_ids"][0].as_str().and_then(|id| said.get(id));
        let (Some(id), Some((start_ms, _))) = (row["id"].as_str(), at) else {
            return;
        };
        let words = row["text"].as_str().unwrap_or_default();
        let told = format!("“{words}” ({meeting}, {})", clock(*start_ms));
        self.0.insert(id.to_owned(), told);
    }

    /// The host confirms a decision that its words say reverses an earlier one of the series; gives
    /// the words of the earlier one.
    async fn reverse(&self, host: &Api, at: &str, row: &Value) -> Result<Option<&str>> {
        let Some(earlier) = row["supersedes_candidates"][0].as_str() else {
            return Ok(None);
        };
        let Some(told) = self.0.get(earlier) else {
            return Ok(None);
        };
        let id = row["id"].as_str().unwrap_or_default();
        let confirmed = json!({"status": "confirmed", "supersedes": [earlier]});
        host.patch(&format!("{at}/decisions/{id}"), confirmed)
            .await?;
        Ok(Some(told))
    }
}

/// Segment id → when and by whom it was said.
type Said = HashMap<String, (i64, String)>;

/// Prints the final notes of a meeting; every line with the time it cites.
pub(super) async fn print_notes(
    host: &Api,
    meeting_id: &str,
    title: &str,
    decided: &mut Decided,
    terminal: Terminal,
) -> Result<()> {
    let at = format!("/api/meetings/{meeting_id}");
    let said = segments(host, &at).await?;
    let summary = host.get(&format!("{at}/summary")).await?;
    let summary = if summary["summary"].is_object() {
        &summary["summary"]
    } else {
        &summary
    };
    println!("  {}", terminal.toned(Tone::Strong, "Summary"));
    terminal.item(
        "  ",
        Tone::Quiet,
        summary["headline"].as_str().unwrap_or_default(),
    );
    let lines = items(&summary["lines"]);
    ensure!(!lines.is_empty(), "the summary of the meeting is empty");
    for line in &lines {
        print_cited(line, &said, terminal)?;
    }
    let decisions = kept(host, &format!("{at}/decisions"), &said).await?;
    if !decisions.is_empty() {
        println!("\n  {}", terminal.toned(Tone::Strong, "Decisions"));
    }
    for row in &decisions {
        let reversed = decided.reverse(host, &at, row).await?;
        if let Some(earlier) = reversed {
            let mut row = row.clone();
            row["status"] = "confirmed".into();
            print_cited(&row, &said, terminal)?;
            terminal.item("           ↶ reverses ", Tone::Accent, earlier);
        } else {
            print_cited(row, &said, terminal)?;
        }
        decided.remember(row, title, &said);
    }
    let actions = kept(host, &format!("{at}/actions"), &said).await?;
    if !actions.is_empty() {
        println!("\n  {}", terminal.toned(Tone::Strong, "Actions"));
    }
    for row in &actions {
        print_cited(row, &said, terminal)?;
    }
    let topics = items(&host.get(&format!("{at}/topics?limit=100")).await?);
    let labels: Vec<&str> = topics
        .iter()
        .filter_map(|topic| topic["label"].as_str())
        .collect();
    if !labels.is_empty() {
        println!("\n  {}", terminal.toned(Tone::Strong, "Topics"));
        terminal.item("  ", Tone::Quiet, &labels.join(" · "));
    }
    Ok(())
}

/// The rows of a list of notes that nobody dismissed, in the order in which they were said.
async fn kept(host: &Api, path: &str, said: &Said) -> Result<Vec<Value>> {
    let mut rows: Vec<Value> = items(&host.get(&format!("{path}?limit=100")).await?)
        .into_iter()
        .filter(|row| row["status"] != "dismissed")
        .collect();
    rows.sort_by_key(|row| {
        row["segment_ids"][0]
            .as_str()
            .and_then(|id| said.get(id))
            .map(|(start_ms, _)| *start_ms)
    });
    Ok(rows)
}

/// When and by whom each segment was said.
async fn segments(host: &Api, at: &str) -> Result<Said> {
    let mut said = HashMap::new();
    let mut cursor = String::new();
    loop {
        let page = host
            .get(&format!("{at}/transcript?limit=100{cursor}"))
            .await?;
        for segment in items(&page) {
            if let (Some(id), Some(start_ms)) =
                (segment["id"].as_str(), segment["start_ms"].as_i64())
            {
                let speaker = segment["speaker"].as_str().unwrap_or_default();
                said.insert(id.to_owned(), (start_ms, speaker.to_owned()));
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(said),
        }
    }
}

/// One line of the notes. A line that cites nothing, or what nobody said, is a fault.
fn print_cited(row: &Value, said: &Said, terminal: Terminal) -> Result<()> {
    let cited = items(&row["segment_ids"]);
    ensure!(!cited.is_empty(), "a line of the notes cites nothing");
    let places: Vec<&(i64, String)> = cited
        .iter()
        .filter_map(|id| said.get(id.as_str()?))
        .collect();
    ensure!(
        places.len() == cited.len(),
        "a line of the notes cites what is not in the transcript"
    );
    let (start_ms, speaker) = places[0];
    let mut behind = super::live::owed(row);
    match row["status"].as_str() {
        Some("superseded") => behind.push_str(" (reversed later)"),
        Some("proposed") if row["marker"] == "pattern" => behind.push_str(" (unconfirmed)"),
        _ => {}
    }
    let words = row["text"].as_str().unwrap_or_default();
    terminal.item(
        &format!("  {:>7}  ", clock(*start_ms)),
        Tone::Accent,
        &format!("{speaker}: {words}{behind}"),
    );
    Ok(())
}

/// Asks a question about the series and prints the answer with its evidence.
pub(super) async fn print_answer(
    host: &Api,
    series_id: &str,
    question: &Question,
    terminal: Terminal,
) -> Result<()> {
    let body = json!({"question": question.question, "scope": {"series_id": series_id}});
    let answer = host.post("/api/ask", body).await?;
    println!();
    terminal.item("? ", Tone::Strong, &question.question);
    if answer["found"] != true {
        terminal.item("  ", Tone::Quiet, "Nothing that was said answers this.");
        return Ok(());
    }
    let answered = answer["text"]
        .as_str()
        .or(answer["answer"].as_str())
        .unwrap_or_default();
    let citations = items(&answer["citations"]);
    ensure!(!citations.is_empty(), "an answer came without citations");
    if answer["engine"] != "offline" {
        terminal.item("  ", Tone::Quiet, answered);
    }
    // Without a model the answer is its quotations: the best are enough to read.
    for citation in citations.iter().take(QUOTED) {
        let word = |name: &str| citation[name].as_str().unwrap_or_default().to_owned();
        let at = citation["start_ms"].as_i64().unwrap_or(0);
        let source = match word("meeting_title") {
            title if title.is_empty() => "a memory".to_owned(),
            title => format!("{title}, {}", clock(at)),
        };
        terminal.item("  ", Tone::Quiet, &format!("“{}”", word("quote")));
        terminal.item(
            "    ",
            Tone::Accent,
            &format!("{}, {source}", word("speaker")),
        );
    }
    let quotes = citations
        .iter()
        .take(QUOTED)
        .filter_map(|citation| citation["quote"].as_str());
    let whole = quotes.collect::<Vec<_>>().join("\n");
    let missing: Vec<&str> = question
        .expect
        .iter()
        .map(String::as_str)
        .filter(|expected| !whole.to_lowercase().contains(&expected.to_lowercase()))
        .collect();
    if !missing.is_empty() {
        // The built-in series knows its answers; a miss is shown, not hidden.
        terminal.item(
            "  ",
            Tone::Quiet,
            &format!("(a full answer would also say: {})", missing.join(", ")),
        );
    }
    Ok(())
}
