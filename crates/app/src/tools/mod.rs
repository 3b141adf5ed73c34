//! The tool registry: what a program or an agent can call by name, over the same use cases that
//! REST calls. `POST /api/mcp/tools` runs a tool from here; so will MCP, and agents.
//!
//! A tool is a row of [`TOOLS`]: its name, what it is for, the schema of its arguments, the
//! scope an API key needs, and a function. Arguments are read into typed structs, so schema and
//! check stand side by side in `arguments`.

mod arguments;
mod meetings;
mod memories;
mod notes;

use std::pin::Pin;
use std::time::Instant;

use meetmind_core::{Actor, Code, Ctx, Error, EventKind, EventTopic, Result, Scope};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::App;

/// What a tool is, as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ToolView {
    /// The name to call it by.
    pub name: String,
    /// What it is for, written for a model that chooses among tools.
    pub description: String,
    /// The JSON schema of its arguments.
    #[schema(value_type = Object)]
    pub input_schema: Value,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// The scope an API key needs.
    pub scope: Scope,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>;

/// One row of the registry.
struct Tool {
    name: &'static str,
    description: &'static str,
    schema: fn() -> Value,
    read_only: bool,
    scope: Scope,
    run: for<'a> fn(&'a App, &'a Ctx, Value) -> Running<'a>,
}

/// Declares the registry; each function takes `(&App, &Ctx, Arguments)`.
macro_rules! tools {
    ($($name:literal, $kind:ident, $scope:ident, $arguments:ident, $function:path, $description:literal;)+) => {
        static TOOLS: &[Tool] = &[$(Tool {
            name: $name,
            description: $description,
            schema: arguments::$arguments::schema,
            read_only: tools!(@$kind),
            scope: Scope::$scope,
            run: |app, ctx, arguments| Box::pin(async move {
                let arguments: arguments::$arguments = read(arguments)?;
                shown($function(app, ctx, arguments).await?)
            }),
        }),+];
    };
    (@reads) => { true };
    (@writes) => { false };
}

tools! {
    "list_meetings", reads, MeetingsRead, ListMeetings, meetings::list, "List the caller's meetings, newest first, by state, series, time or text. Start here to find a meeting id.";
    "get_meeting", reads, MeetingsRead, OneMeeting, meetings::get, "One meeting with its participants.";
    "get_transcript", reads, TranscriptsRead, GetTranscript, meetings::transcript, "A window of what was said, in order; page with `cursor`. An hour is about 30,000 tokens: read the summary first.";
    "get_summary", reads, TranscriptsRead, OneMeeting, notes::summary, "The summary of a meeting: a headline and verbatim lines that cite their segments.";
    "list_action_items", reads, TranscriptsRead, ListItems, notes::actions, "Actions of one meeting, or of all the caller's meetings.";
    "list_decisions", reads, TranscriptsRead, ListItems, notes::decisions, "Decisions of one meeting, or of all the caller's meetings, and which took the place of which.";
    "create_meeting", writes, MeetingsWrite, CreateMeeting, meetings::create, "Make a meeting; the caller is its host.";
    "update_meeting", writes, MeetingsWrite, UpdateMeeting, meetings::update, "Change title, description or times of a meeting.";
    "add_note", writes, MeetingsWrite, AddNote, notes::add, "Pin a note to the transcript of a meeting: a highlight in the caller's words that cites what was said.";
    "ask", reads, TranscriptsRead, Ask, notes::ask, "Answer a question from transcripts and memories, with citations; `found` is false when nothing said supports an answer.";
    "post_message", writes, MeetingsWrite, PostMessage, meetings::post, "Write in the chat of a meeting; typed commands such as /task work.";
    "summarize_meeting", reads, TranscriptsRead, Summarize, notes::digest, "The notes of a meeting in one piece: brief, detailed, or actions alone; for a role when one is named.";
    "extract_action_items", reads, TranscriptsRead, OneMeeting, notes::extract, "The actions of a meeting, after reading its transcript as it stands now.";
    "topic_navigation", writes, MeetingsWrite, TopicNavigation, notes::navigate, "Move the meeting to its next or previous topic, or say which one is current.";
    "search", reads, TranscriptsRead, Search, memories::find, "Find words in what was said, written, noted and remembered; each hit names its meeting and moment. For a question use `ask`.";
    "memory_search", reads, MemoryRead, MemorySearch, memories::search, "The caller's memories: the best fitting for a query, or the newest.";
    "memory_save", writes, MemoryWrite, MemorySave, memories::save, "Remember something for the caller beyond a meeting. The same words are kept once: `added` says whether they are new.";
    "memory_delete", writes, MemoryWrite, OneMemory, memories::delete, "Delete one of the caller's memories for good.";
    "personalized_focus_view", reads, TranscriptsRead, FocusView, notes::focus, "The notes as one role reads them: product, engineering, customer or executive.";
}

/// Reads a tool's arguments; an error names the field.
fn read<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    serde_json::from_value(arguments).map_err(|error| {
        let message = error.to_string();
        let field = message.split('`').nth(1).unwrap_or("arguments").to_owned();
        Error::invalid(&field, message)
    })
}

fn shown(value: impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(Error::internal)
}

impl App {
    /// The tools there are. Everybody with an identity may look; what a tool does is checked
    /// when it is called.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub fn tool_list(&self, ctx: &Ctx) -> Result<Vec<ToolView>> {
        identified(ctx)?;
        Ok(TOOLS
            .iter()
            .map(|tool| ToolView {
                name: tool.name.to_owned(),
                description: tool.description.to_owned(),
                input_schema: (tool.schema)(),
                read_only: tool.read_only,
                scope: tool.scope,
            })
            .collect())
    }

    /// Runs a tool and gives its result. The caller's own topic hears of the call: name, outcome
    /// and duration, never the arguments.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown tool, `VALIDATION_FAILED` for wrong arguments, and whatever the
    /// use case behind the tool refuses.
    pub async fn tool_call(&self, ctx: &Ctx, name: &str, arguments: Value) -> Result<Value> {
        identified(ctx)?;
        let tool = TOOLS
            .iter()
            .find(|tool| tool.name == name)
            .ok_or_else(|| Error::not_found("tool"))?;
        let arguments = match arguments {
            Value::Null => json!({}),
            arguments => arguments,
        };
        let started = Instant::now();
        let outcome = if arguments.is_object() {
            (tool.run)(self, ctx, arguments).await
        } else {
            Err(Error::invalid("arguments", "must be an object"))
        };
        self.tool_called(ctx, tool.name, &outcome, started).await?;
        outcome
    }

    async fn tool_called(
        &self,
        ctx: &Ctx,
        name: &str,
        outcome: &Result<Value>,
        started: Instant,
    ) -> Result<()> {
        let Some(user_id) = ctx.actor.user_id() else {
            return Ok(());
        };
        // That a tool was called says nothing about whether its work was done.
        let aside = Ctx {
            once: None,
            ..ctx.clone()
        };
        let mut change = self.change(&aside).await?;
        let data = json!({
            "tool": name,
            "ok": outcome.is_ok(),
            "code": outcome.as_ref().err().map(|error| error.code),
            "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "actor": ctx.actor.key(),
        });
        change
            .event(EventTopic::User(user_id), EventKind::ToolCalled, &data)
            .await?;
        change.commit().await
    }
}

fn identified(ctx: &Ctx) -> Result<()> {
    if ctx.actor == Actor::Anonymous {
        return Err(Error::new(Code::Unauthenticated, "sign in first"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_own_name_and_a_closed_object_schema() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
        for tool in TOOLS {
            let schema = (tool.schema)();
            assert_eq!(schema["type"], "object", "{}", tool.name);
            assert!(schema["properties"].is_object(), "{}", tool.name);
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().expect("a name");
                assert!(
                    schema["properties"][name].is_object(),
                    "{}: {name}",
                    tool.name
                );
            }
        }
    }
}
