//! What is printed after a meeting, and the answers.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::series::Question;
use crate::api::{Api, items};
use crate::terminal::{Terminal, Tone, clock};

/// Prints the final notes of a meeting; every line with the time it cites.
pub(super) async fn print_notes(host: &Api, meeting_id: &str, terminal: Terminal) -> Result<()> {
    let at = format!("/api/meetings/{meeting_id}");
    let said = segments(host, &at).await?;
    let summary = host.get(&format!("{at}/summary")).await?;
    let summary = if summary["summary"].is_object() {
        &summary["summary"]
    } else {
        &summary
    };
    println!("\n  {}", terminal.toned(Tone::Strong, "Summary"));
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
    for (title, path) in [("Decisions", "decisions"), ("Actions", "actions")] {
        let rows: Vec<Value> = items(&host.get(&format!("{at}/{path}?limit=100")).await?)
            .into_iter()
            .filter(|row| row["status"] != "dismissed")
            .collect();
        if rows.is_empty() {
            continue;
        }
        println!("  {}", terminal.toned(Tone::Strong, title));
        for row in &rows {
            print_cited(row, &said, terminal)?;
        }
    }
    let topics = items(&host.get(&format!("{at}/topics?limit=100")).await?);
    let labels: Vec<&str> = topics
        .iter()
        .filter_map(|topic| topic["label"].as_str())
        .collect();
    if !labels.is_empty() {
        println!("  {}", terminal.toned(Tone::Strong, "Topics"));
        terminal.item("  ", Tone::Quiet, &labels.join(" · "));
    }
    Ok(())
}

/// When and by whom each segment was said.
async fn segments(host: &Api, at: &str) -> Result<HashMap<String, (i64, String)>> {
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
fn print_cited(
    row: &Value,
    said: &HashMap<String, (i64, String)>,
    terminal: Terminal,
) -> Result<()> {
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
    let mut behind = String::new();
    for (name, before) in [("owner", " → "), ("due", ", by ")] {
        if let Some(value) = row[name].as_str() {
            behind.push_str(before);
            behind.push_str(value);
        }
    }
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
    terminal.item("  ", Tone::Quiet, answered);
    let citations = items(&answer["citations"]);
    ensure!(!citations.is_empty(), "an answer came without citations");
    for citation in &citations {
        let word = |name: &str| citation[name].as_str().unwrap_or_default().to_owned();
        let at = citation["start_ms"].as_i64().unwrap_or(0);
        let source = match word("meeting_title") {
            title if title.is_empty() => "memory".to_owned(),
            title => format!("{title}, {}", clock(at)),
        };
        terminal.item(
            "    ▸ ",
            Tone::Accent,
            &format!("“{}” — {}, {source}", word("quote"), word("speaker")),
        );
    }
    let quotes = citations
        .iter()
        .filter_map(|citation| citation["quote"].as_str());
    let whole = std::iter::once(answered)
        .chain(quotes)
        .collect::<Vec<_>>()
        .join("\n");
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
