//! The live notes of one meeting, as its events tell them.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::api::Api;
use crate::terminal::{Terminal, Tone, clock};

/// A headline with fewer new words than this is not told again.
const NEW_WORDS: usize = 3;

/// Who does what until when, behind the words of an action: ` → Ada, by Friday`. What the speaker
/// takes upon themselves, with the day in the same words, is told by the words.
pub(super) fn owed(action: &Value) -> String {
    let text = action["text"].as_str().unwrap_or_default();
    let due = action["due"].as_str().filter(|due| !text.contains(due));
    let owner = action["owner"].as_str();
    match (owner, due) {
        (Some(owner), Some(due)) => format!(" → {owner}, {due}"),
        (Some(owner), None) => format!(" → {owner}"),
        (None, Some(due)) => format!(" ({due})"),
        (None, None) => String::new(),
    }
}

/// A WebSocket that is signed in.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, signs in and subscribes to a topic from its beginning or, with `None`, from now on.
    pub(crate) async fn open(api: &Api, topic: &str, after: Option<i64>) -> Result<Self> {
        let address = api.base().replacen("http", "ws", 1);
        let (stream, _) = tokio_tungstenite::connect_async(format!("{address}/ws"))
            .await
            .context("the live events cannot be reached")?;
        let mut socket = Self(stream);
        let token = api.token().context("no token for the live events")?;
        socket.send(json!({"op": "auth", "token": token})).await?;
        socket.expect("ready").await?;
        let mut subscribe = json!({"op": "subscribe", "topic": topic});
        if let Some(after) = after {
            subscribe["after"] = after.into();
        }
        socket.send(subscribe).await?;
        socket.expect("subscribed").await?;
        Ok(socket)
    }

    async fn send(&mut self, frame: Value) -> Result<()> {
        Ok(self.0.send(Message::text(frame.to_string())).await?)
    }

    async fn expect(&mut self, op: &str) -> Result<()> {
        let frame = self.next().await?.context("the live events ended")?;
        if frame["op"] == op {
            return Ok(());
        }
        bail!(
            "the live events answered {} instead of `{op}`",
            frame["message"].as_str().unwrap_or("something else")
        )
    }

    /// The next frame as JSON; `None` when the other side closed.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        while let Some(message) = self.0.next().await {
            match message? {
                Message::Text(text) => return Ok(Some(serde_json::from_str(&text)?)),
                Message::Close(_) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Prints notes as they appear, each once.
pub(super) struct LiveNotes {
    terminal: Terminal,
    /// Segment id → when and who.
    said: HashMap<String, (i64, String)>,
    shown: HashSet<String>,
    /// What the headlines have told.
    headlines: HashSet<String>,
    /// How many notes were printed.
    pub(super) count: usize,
    /// How many segments the events told of.
    pub(super) segments: usize,
    /// How often the scribe wrote.
    pub(super) passes: usize,
}

impl LiveNotes {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            said: HashMap::new(),
            shown: HashSet::new(),
            headlines: HashSet::new(),
            count: 0,
            segments: 0,
            passes: 0,
        }
    }

    /// Takes one event. Gives `true` when it ends the meeting.
    pub(super) fn event(&mut self, event: &Value) -> bool {
        let data = &event["data"];
        match event["type"].as_str().unwrap_or_default() {
            "segment.finalized" | "segment.corrected" => self.segment(data),
            "topic.opened" => {
                let at = data["start_ms"].as_i64();
                self.note("topic", &data["id"], &data["label"], at, None, Tone::Strong);
            }
            "action.proposed" => {
                self.cited("action", data, &owed(data));
            }
            "decision.proposed" => self.cited("decision", data, ""),
            "decision.updated" if data["status"] == "superseded" => {
                self.cited("reversed", data, "");
            }
            "summary.updated" => self.summary(data),
            "agent.state_changed" => {
                let state = data["state"].as_str().or(data["to_state"].as_str());
                if state == Some("live") && self.shown.insert("agent live".to_owned()) {
                    self.line("agent", None, "the scribe is in the room", Tone::Quiet);
                }
            }
            "meeting.ended" => return true,
            _ => {}
        }
        false
    }

    fn segment(&mut self, data: &Value) {
        // One segment, or what a batch told in one event.
        let list = data["segments"].as_array().cloned();
        for segment in list.unwrap_or_else(|| vec![data.clone()]) {
            if let (Some(id), Some(at)) = (segment["id"].as_str(), segment["start_ms"].as_i64()) {
                let speaker = segment["speaker"].as_str().unwrap_or_default().to_owned();
                self.segments +=
                    usize::from(self.said.insert(id.to_owned(), (at, speaker)).is_none());
            }
        }
    }

    fn summary(&mut self, data: &Value) {
        self.passes += 1;
        let headline = data["headline"].as_str().unwrap_or_default();
        // Its words trade places with every pass: it is told again when it tells something new.
        let words: Vec<&str> = headline
            .split(" · ")
            .filter(|word| !word.is_empty())
            .collect();
        let new = words
            .iter()
            .filter(|word| !self.headlines.contains(&word.to_lowercase()))
            .count();
        if new >= NEW_WORDS.min(words.len()) && new > 0 {
            self.headlines
                .extend(words.iter().map(|word| word.to_lowercase()));
            self.line("about", None, headline, Tone::Quiet);
        }
        for line in data["lines"].as_array().into_iter().flatten() {
            // A quotation may come again under another id: its words tell.
            let speaker = line["speaker"].as_str();
            let at = line["start_ms"].as_i64();
            self.note(
                "highlight",
                &line["text"],
                &line["text"],
                at,
                speaker,
                Tone::Quiet,
            );
        }
    }

    /// A note whose time and speaker are those of the first segment it cites.
    fn cited(&mut self, kind: &str, data: &Value, behind: &str) {
        let first = data["segment_ids"][0]
            .as_str()
            .and_then(|id| self.said.get(id))
            .cloned();
        let text = data["text"].as_str().unwrap_or_default();
        let unconfirmed = if data["marker"] == "pattern" {
            " (unconfirmed)"
        } else {
            ""
        };
        let whole = format!("{text}{behind}{unconfirmed}");
        let (at, speaker) = first.map_or((None, None), |(at, who)| (Some(at), Some(who)));
        let key = format!("{kind} {}", data["id"]);
        self.note(
            kind,
            &json!(key),
            &json!(whole),
            at,
            speaker.as_deref(),
            Tone::Accent,
        );
    }

    fn note(
        &mut self,
        kind: &str,
        id: &Value,
        text: &Value,
        at: Option<i64>,
        speaker: Option<&str>,
        tone: Tone,
    ) {
        let text = text.as_str().unwrap_or_default();
        if text.is_empty() || !self.shown.insert(format!("{kind} {id}")) {
            return;
        }
        self.count += 1;
        let text = match speaker {
            Some(speaker) if !speaker.is_empty() => format!("{speaker}: {text}"),
            _ => text.to_owned(),
        };
        self.line(kind, at, &text, tone);
    }

    fn line(&self, kind: &str, at: Option<i64>, text: &str, tone: Tone) {
        let at = at.map_or_else(String::new, clock);
        self.terminal
            .item(&format!("  {at:>7}  {kind:<9}  "), tone, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn notes_are_printed_once_and_the_end_is_seen() {
        let mut notes = LiveNotes::new(Terminal::of_stdout(&Sources::default()));
        let segment = json!({"type": "segment.finalized", "data": {"id": "seg_1", "start_ms": 5000, "speaker": "Ada"}});
        let action = json!({"type": "action.proposed", "data": {"id": "act_1", "text": "call Bo", "segment_ids": ["seg_1"]}});
        let summary = json!({"type": "summary.updated", "data": {"headline": "Bo", "lines": [{"text": "Call Bo.", "start_ms": 5000}]}});
        for _ in 0..2 {
            assert!(!notes.event(&segment));
            assert!(!notes.event(&action));
            assert!(!notes.event(&summary));
        }
        assert_eq!((notes.segments, notes.count, notes.passes), (1, 2, 2));
        assert!(notes.event(&json!({"type": "meeting.ended", "data": {}})));
    }
}
