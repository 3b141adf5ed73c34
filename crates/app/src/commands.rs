//! Typed commands in chat.
//!
//! Each command calls the use case that REST calls for the same thing, in the writer's name, so
//! it may do what the writer may do. What a command cannot do it says in its notice; the message
//! itself stays posted.
//!
//! `/note` with a text pins the text to what was said last: it becomes a highlight in the
//! writer's words that cites that segment, because every derived line must have its evidence.

use meetmind_ai::local::{self, Command, NotesOptions, Turn, typed_command};
use meetmind_core::{
    Ctx, Decision, DecisionStatus, MeetingId, Message, MessageKind, Result, SegmentId,
};

use crate::messages::CITED_MAX;
use crate::notes::{ActionNew, DERIVED_MAX, DecisionNew, ITEMS_MAX, TopicDirection, clock, quoted};
use crate::{Access, App, MemoryNew};

/// Lines of the summary in a notice.
const SUMMARY_LINES: usize = 5;
/// Decisions in a notice.
const DECISIONS_SHOWN: usize = 10;
/// What can be typed, for who typed something else.
const KNOWN: &str = "/task TEXT, /decide TEXT, /note TEXT, /remember TEXT, /summary, /topics, /next, /previous, /decisions, @NAME QUESTION";

/// Whether a message is a command whose notice tells of what was said.
pub(crate) fn command_reads(text: &str) -> bool {
    matches!(
        typed_command(text),
        Some(
            Command::Summary
                | Command::Topics
                | Command::NextTopic
                | Command::PreviousTopic
                | Command::Decisions(_)
        )
    )
}

/// What a command says, and the segments it quotes.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) segment_ids: Vec<SegmentId>,
}

impl Notice {
    fn citing(text: String, mut segment_ids: Vec<SegmentId>) -> Self {
        segment_ids.truncate(CITED_MAX);
        Self { text, segment_ids }
    }
}

impl From<String> for Notice {
    fn from(text: String) -> Self {
        Self::citing(text, Vec::new())
    }
}

impl App {
    /// Runs the command in a posted message, if it has one: `/task`, `/decide`, `/note`,
    /// `/remember`, `/summary`, `/topics`, next and previous topic, and their Swedish forms.
    /// Gives the notice to post in the meeting, if there is something to say. Questions to an
    /// assistant (`@name …`) are the assistant's business, not this one's.
    ///
    /// Call it after the message was committed: it writes in transactions of its own.
    pub(crate) async fn command_run(
        &self,
        ctx: &Ctx,
        access: &Access,
        message: &Message,
    ) -> Result<Option<Notice>> {
        if message.kind != MessageKind::Text {
            return Ok(None);
        }
        let Some(command) = typed_command(&message.text) else {
            return Ok(None);
        };
        let id = access.meeting.id;
        let notice = match command {
            Command::Ask { .. } => return Ok(None),
            Command::Task(text) => self
                .command_task(ctx, access, &text)
                .await
                .map(Notice::from),
            Command::Decide(text) => self.command_decide(ctx, id, text).await.map(Notice::from),
            Command::Note(text) => self.note_add(ctx, id, &text, &[]).await.map(|note| {
                let text = format!("Noted at {}: {}", clock(note.start_ms), note.text);
                Notice::citing(text, note.segment_ids)
            }),
            Command::Remember(text) => self
                .command_remember(ctx, access, text)
                .await
                .map(Notice::from),
            Command::Summary => self.command_summary(ctx, id).await,
            Command::Topics => self.command_topics(id).await,
            Command::NextTopic => self.command_move(ctx, id, TopicDirection::Next).await,
            Command::PreviousTopic => self.command_move(ctx, id, TopicDirection::Previous).await,
            Command::Decisions(about) => self.command_decisions(id, about.as_deref()).await,
            Command::Unknown(name) => Ok(unknown(&name).into()),
        };
        match notice {
            Ok(notice) => Ok(Some(notice)),
            // The writer reads why; a fault of ours is not the writer's to read.
            Err(error) if error.code.status() < 500 => {
                Ok(Some(format!("That did not work: {}", error.message).into()))
            }
            Err(error) => Err(error),
        }
    }

    async fn command_task(&self, ctx: &Ctx, access: &Access, text: &str) -> Result<String> {
        let people = self
            .store()
            .read()
            .await?
            .participant_list(access.meeting.id, None, 1_000)
            .await?;
        let options = NotesOptions {
            participants: people.into_iter().map(|p| p.name).collect(),
            ..NotesOptions::default()
        };
        // The engine reads the line as it reads a spoken one: owner and deadline in the words said.
        let turn = Turn {
            id: 0_u8,
            speaker: access.name.clone(),
            text: format!("/task {text}"),
            start_ms: 0,
            end_ms: 0,
        };
        let found = local::notes(&[turn], &options).actions.into_iter().next();
        let new = match found {
            Some(found) => ActionNew {
                text: found.text,
                owner: found.owner,
                due: found.due,
                ..ActionNew::default()
            },
            None => ActionNew {
                text: text.to_owned(),
                ..ActionNew::default()
            },
        };
        let action = self.action_create(ctx, access.meeting.id, new).await?;
        let owner = action.owner.as_deref().unwrap_or("nobody named");
        let due = action
            .due
            .as_ref()
            .map_or_else(String::new, |due| format!(", {due}"));
        Ok(format!("Action proposed ({owner}{due}): {}", action.text))
    }

    async fn command_decide(&self, ctx: &Ctx, id: MeetingId, text: String) -> Result<String> {
        let new = DecisionNew {
            text,
            ..DecisionNew::default()
        };
        let decision = self.decision_create(ctx, id, new).await?;
        Ok(format!("Decision proposed: {}", decision.text))
    }

    /// `/remember`: saved for the writer, about the writer, as a memory of this meeting.
    async fn command_remember(&self, ctx: &Ctx, access: &Access, text: String) -> Result<String> {
        let new = MemoryNew {
            content: text,
            meeting_id: Some(access.meeting.id),
            subject: Some(access.name.clone()),
            ..MemoryNew::default()
        };
        let added = self
            .memory_save(ctx, vec![new])
            .await?
            .iter()
            .any(|saved| saved.added);
        Ok(if added {
            "Remembered."
        } else {
            "That is remembered already."
        }
        .to_owned())
    }

    async fn command_summary(&self, ctx: &Ctx, id: MeetingId) -> Result<Notice> {
        // What did I miss means until now.
        self.notes_refresh(ctx, id, false).await?;
        let summary = self.store().read().await?.summary_find(id).await?;
        let Some(summary) = summary.filter(|summary| !summary.lines.is_empty()) else {
            return Ok("There is nothing to sum up yet.".to_owned().into());
        };
        let mut lines = vec![format!("So far: {}", summary.headline)];
        let shown = summary.lines.iter().take(SUMMARY_LINES);
        let cited = shown.clone().flat_map(|line| &line.segment_ids);
        let cited = cited.copied().collect();
        lines.extend(shown.map(quoted));
        if summary.lines.len() > SUMMARY_LINES {
            let more = summary.lines.len() - SUMMARY_LINES;
            lines.push(format!("and {more} more lines in the notes"));
        }
        Ok(Notice::citing(lines.join("\n"), cited))
    }

    async fn command_topics(&self, id: MeetingId) -> Result<Notice> {
        let topics = self
            .store()
            .read()
            .await?
            .topic_list(id, None, DERIVED_MAX)
            .await?;
        if topics.is_empty() {
            return Ok("There are no topics yet.".to_owned().into());
        }
        let lines: Vec<String> = topics
            .iter()
            .map(|t| format!("{}. {} ({})", t.ordinal + 1, t.label, clock(t.start_ms)))
            .collect();
        // Where each begins; the topics themselves have the rest.
        let cited = topics.iter().filter_map(|t| t.segment_ids.first().copied());
        Ok(Notice::citing(lines.join("\n"), cited.collect()))
    }

    async fn command_move(
        &self,
        ctx: &Ctx,
        id: MeetingId,
        direction: TopicDirection,
    ) -> Result<Notice> {
        let Some(topic) = self.topic_move(ctx, id, direction).await? else {
            return Ok("There are no topics yet.".to_owned().into());
        };
        let at = clock(topic.start_ms);
        let text = format!("Topic {}: {} ({at})", topic.ordinal + 1, topic.label);
        let first = topic.segment_ids.first().copied();
        Ok(Notice::citing(text, first.into_iter().collect()))
    }

    async fn command_decisions(&self, id: MeetingId, about: Option<&str>) -> Result<Notice> {
        let mut decisions = self
            .store()
            .read()
            .await?
            .decision_list(id, None, None, ITEMS_MAX)
            .await?;
        decisions.retain(|d| {
            matches!(
                d.status,
                DecisionStatus::Proposed | DecisionStatus::Confirmed
            )
        });
        if let Some(about) = about {
            decisions = about_it(decisions, about);
        }
        if decisions.is_empty() {
            let text = match about {
                Some(about) => format!("No decision about {about} was found in this meeting."),
                None => "No decision was found in this meeting.".to_owned(),
            };
            return Ok(text.into());
        }
        let more = decisions.len().saturating_sub(DECISIONS_SHOWN);
        decisions.truncate(DECISIONS_SHOWN);
        let mut lines: Vec<String> = decisions
            .iter()
            .map(|d| format!("{} ({})", d.text, d.status))
            .collect();
        let cited = decisions.into_iter().flat_map(|d| d.segment_ids).collect();
        if more > 0 {
            lines.push(format!("and {more} more in the notes"));
        }
        Ok(Notice::citing(lines.join("\n"), cited))
    }
}

/// The decisions that share words with what was named, best first.
fn about_it(decisions: Vec<Decision>, about: &str) -> Vec<Decision> {
    let passages: Vec<local::Passage<usize>> = decisions
        .iter()
        .enumerate()
        .map(|(id, d)| local::Passage {
            id,
            speaker: String::new(),
            text: d.text.clone(),
            title: String::new(),
            start_ms: 0,
            when: None,
            group: id as u64,
        })
        .collect();
    let ranked = local::rank(about, &passages, &[]);
    if ranked.is_empty() {
        // A word that the index drops as too common ("May") may still stand there as typed.
        let about = about.to_lowercase();
        let named = |d: &Decision| d.text.to_lowercase().contains(&about);
        return decisions.into_iter().filter(named).collect();
    }
    ranked
        .into_iter()
        .filter_map(|(at, _)| decisions.get(at).cloned())
        .collect()
}

fn unknown(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    let needs_text = [
        "task",
        "todo",
        "action",
        "uppgift",
        "decide",
        "decision",
        "beslut",
        "besluta",
        "note",
        "anteckning",
        "anteckna",
        "notera",
        "remember",
        "minns",
        "kom-ihåg",
    ];
    if needs_text.contains(&name.to_lowercase().as_str()) {
        format!("/{short} needs a text after it, as in: /{short} send the report by Friday")
    } else {
        format!("There is no command /{short}. There are: {KNOWN}")
    }
}

#[cfg(test)]
mod tests;
