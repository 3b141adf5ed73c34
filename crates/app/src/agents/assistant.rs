//! The assistant: answers what it is asked in chat, as far as the whole room may read, with
//! citations.

use std::time::Duration;

use meetmind_core::{
    AddressPolicy, Code, Ctx, Event, MeetingRole, Message, MessageKind, ParticipantState, Result,
    RunActivity, RunState, SegmentId,
};
use meetmind_store::Conn;
use tokio::time::Instant;

use super::RunReason;
use super::advance::Step;
use super::held::Held;
use crate::{AnswerCitation, App, AskScope, MessageNew};

/// The answers of one agent in an hour, where its own limit says nothing: a chat cannot be
/// flooded by asking.
const ANSWERS_PER_HOUR: i64 = 240;
/// An answer quotes this much at most.
const CITATIONS: usize = 5;
/// The longest text of an answer, in bytes, below what a message may have.
const TEXT_MAX: usize = 12_000;
const OFFLINE: &str = "These are quotations: no language model is configured.";

impl App {
    /// Looks at a chat message and answers it, when the agent is addressed.
    pub(super) async fn assistant_consider(
        &self,
        ctx: &Ctx,
        held: &Held,
        event: &Event,
    ) -> Result<()> {
        let Ok(message) = serde_json::from_value::<Message>(event.data.clone()) else {
            tracing::debug!(run_id = %held.run.id, seq = event.seq, "a message event has another shape");
            return Ok(());
        };
        let policy = held
            .agent
            .config
            .address_policy
            .unwrap_or(AddressPolicy::Mention);
        let Some(question) = question_for(policy, &held.agent.name, &message) else {
            return Ok(());
        };
        let Some(author_id) = message.participant_id else {
            return Ok(());
        };
        let mut conn = self.store().read().await?;
        let author = match conn.participant_get(message.meeting_id, author_id).await {
            Ok(author) => author,
            // Whoever asked was erased meanwhile.
            Err(meetmind_store::Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Agents do not answer agents: two of them would never stop.
        let speaks = author.role != MeetingRole::Agent && author.state != ParticipantState::Removed;
        // After a restart the same message may come by again.
        let answered = conn.answer_exists(message.id, held.participant_id).await?;
        if !speaks || answered {
            return Ok(());
        }
        let hour_ago = ctx.now.minus(Duration::from_secs(3600));
        let given = conn
            .answer_count_since(held.participant_id, hour_ago)
            .await?;
        drop(conn);
        let limit = held.agent.config.quotas.answers_per_hour;
        if given >= limit.unwrap_or(ANSWERS_PER_HOUR) {
            let reason = RunReason::AnswersUsedUp;
            self.run_activity(ctx, held, RunActivity::Listening, reason)
                .await?;
            return Ok(());
        }
        let reason = RunReason::Addressed;
        if !self
            .run_activity(ctx, held, RunActivity::Thinking, reason)
            .await?
        {
            return Ok(());
        }
        let began = Instant::now();
        match self.assistant_answer(ctx, held, &message, &question).await {
            Ok(()) => {
                held.took(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX));
                Ok(())
            }
            // The whole turn is tried again, this message included.
            Err(error) if error.code == Code::Unavailable => Err(error),
            Err(error) => {
                tracing::warn!(run_id = %held.run.id, code = error.code.as_str(), "an answer could not be given");
                let reason = RunReason::AnswerFailed;
                self.run_activity(ctx, held, RunActivity::Listening, reason)
                    .await?;
                Ok(())
            }
        }
    }

    /// Whether an assistant that is in the meeting, or on its way there, would answer a message.
    pub(crate) async fn assistant_hears(&self, conn: &mut Conn, message: &Message) -> Result<bool> {
        for (name, config) in conn.run_assistants(message.meeting_id).await? {
            let policy = config.address_policy.unwrap_or(AddressPolicy::Mention);
            if question_for(policy, &name, message).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn assistant_answer(
        &self,
        ctx: &Ctx,
        held: &Held,
        message: &Message,
        question: &str,
    ) -> Result<()> {
        let meeting = self
            .store()
            .read()
            .await?
            .meeting_get(message.meeting_id)
            .await?;
        // The whole room reads the answer, so the agent asks in its own name: with that, `ask`
        // reads only what everybody in the room may read, and nobody's private memories.
        let scope = meeting
            .series_id
            .map_or(AskScope::Meeting(meeting.id), AskScope::Series);
        let agent_ctx = self.agent_ctx(ctx, &held.run);
        let answer = self.ask(&agent_ctx, question, scope).await?;
        let uses_memories = !held.agent.config.memory_scopes.is_empty();
        let said = Said {
            found: answer.found,
            text: &answer.text,
            engine: &answer.engine,
            citations: &answer.citations,
        };
        let (text, segment_ids) = answer_text(&said, scope, uses_memories);
        // Muted or stopped meanwhile: nothing is said.
        let reason = RunReason::Answering;
        if !self
            .run_activity(ctx, held, RunActivity::Speaking, reason)
            .await?
        {
            return Ok(());
        }
        let new = MessageNew {
            kind: MessageKind::Answer,
            text,
            reply_to: Some(message.id),
            segment_ids,
        };
        let posted = self
            .message_post(&agent_ctx, message.meeting_id, new)
            .await?;
        held.count(|counters| counters.answers += 1);
        let mut change = self.change(ctx).await?;
        let run = change.run_lock(held.run.id).await?;
        self.run_spoke(&mut change, &run, &posted).await?;
        let speaking = run.activity == Some(RunActivity::Speaking);
        if run.state == RunState::Live && run.attempt == held.run.attempt && speaking {
            let step = Step::live(RunActivity::Listening, RunReason::Answered);
            self.run_advance(&mut change, ctx, &run, step).await?;
        }
        change.commit().await
    }
}

/// The question in a message, when it is one for this agent.
fn question_for(policy: AddressPolicy, name: &str, message: &Message) -> Option<String> {
    if message.kind != MessageKind::Text {
        return None;
    }
    let text = message.text.trim();
    if policy == AddressPolicy::Silent || text.starts_with('/') {
        return None;
    }
    if let Some(question) = mention(name, text) {
        return Some(question);
    }
    let to_somebody_else = text.starts_with('@');
    let asks = policy == AddressPolicy::Questions && !to_somebody_else && text.ends_with('?');
    asks.then(|| text.to_owned())
}

/// What is left of `text` without `@name`, when it names the agent: by its whole name or the
/// first word of it, whatever the case.
fn mention(name: &str, text: &str) -> Option<String> {
    let first = name.split_whitespace().next().unwrap_or(name);
    for (at, _) in text.match_indices('@') {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '.') {
            // An e-mail address.
            continue;
        }
        let rest = &text[at + 1..];
        let called = [name, first].into_iter().find_map(|called| {
            let end = prefix_end(rest, called)?;
            let next = rest[end..].chars().next();
            let apart =
                next.is_none_or(|letter| !letter.is_alphanumeric() && !matches!(letter, '_' | '-'));
            apart.then_some(end)
        });
        let Some(end) = called else { continue };
        let after = rest[end..].trim_start_matches([',', ':', ' ']);
        let question = format!("{} {}", text[..at].trim_end(), after.trim_start());
        let question = question.trim();
        return question
            .chars()
            .any(char::is_alphanumeric)
            .then(|| question.to_owned());
    }
    None
}

/// Where `prefix` ends in `text`, if `text` begins with it in some case.
fn prefix_end(text: &str, prefix: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    for wanted in prefix.chars() {
        let (_, letter) = letters.next()?;
        if !letter.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(letters.next().map_or(text.len(), |(at, _)| at))
}

/// What the agent may say of an answer.
struct Said<'a> {
    found: bool,
    text: &'a str,
    engine: &'a str,
    citations: &'a [AnswerCitation],
}

/// What the agent says, and the segments it rests on.
fn answer_text(
    answer: &Said<'_>,
    scope: AskScope,
    uses_memories: bool,
) -> (String, Vec<SegmentId>) {
    let citations: Vec<&AnswerCitation> = answer
        .citations
        .iter()
        .filter(|citation| uses_memories || citation.memory_id.is_none())
        .collect();
    if !answer.found || citations.is_empty() {
        let place = match scope {
            AskScope::Meeting(_) => "in this meeting",
            AskScope::Series(_) => {
                "in the meetings of this series that all of us here took part in"
            }
            AskScope::All => "in the meetings that you take part in",
        };
        return (format!("I found nothing about that {place}."), Vec::new());
    }
    let whole = citations.len() == answer.citations.len() && !answer.text.trim().is_empty();
    let mut text = if whole {
        answer.text.trim().to_owned()
    } else {
        quotations(&citations)
    };
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    if answer.engine == "offline" && !text.contains("no language model") {
        text.push_str("\n\n");
        text.push_str(OFFLINE);
    }
    let mut segment_ids = Vec::new();
    for id in citations.iter().filter_map(|citation| citation.segment_id) {
        if !segment_ids.contains(&id) {
            segment_ids.push(id);
        }
    }
    (text, segment_ids)
}

fn quotations(citations: &[&AnswerCitation]) -> String {
    citations
        .iter()
        .take(CITATIONS)
        .map(|citation| match &citation.meeting_title {
            Some(title) => format!("“{}” ({}, {title})", citation.quote, citation.speaker),
            None => format!("“{}” ({})", citation.quote, citation.speaker),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use meetmind_core::Id;

    use super::*;

    #[test]
    fn a_name_is_found_in_any_case_and_place() {
        let cases = [
            ("Max", "@max what was decided?", Some("what was decided?")),
            ("Max", "@Max, who owns it?", Some("who owns it?")),
            ("Max", "so @MAX: when?", Some("so when?")),
            ("Max", "ask @max", Some("ask")),
            ("Max", "@max", None),
            ("Max", "@max ?", None),
            ("Max", "@maxine what?", None),
            ("Max", "@max-power what?", None),
            ("Max", "write to anna@max what?", None),
            ("Max", "max what was decided?", None),
            ("Note Taker", "@note taker what now?", Some("what now?")),
            ("Note Taker", "@Note what now?", Some("what now?")),
            ("Åsa", "@åsa vad?", Some("vad?")),
            ("Max", "@", None),
        ];
        for (name, text, question) in cases {
            assert_eq!(mention(name, text).as_deref(), question, "{name}: {text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in ["@İ", "é@Max é", "@Maẞ x", "@\u{1F600}", "a@b@Max c"] {
            let _ = mention("Max", text);
            let _ = mention("ẞ İ", text);
        }
    }

    fn citation(memory: bool) -> AnswerCitation {
        AnswerCitation {
            meeting_id: None,
            meeting_title: Some("Weekly".to_owned()),
            meeting_at: None,
            segment_id: (!memory).then(|| SegmentId::from_uuid(uuid::Uuid::from_u128(7))),
            memory_id: memory.then(|| Id::from_uuid(uuid::Uuid::from_u128(8))),
            speaker: "Anna".to_owned(),
            start_ms: 0,
            quote: "we ship on Friday".to_owned(),
            score: 1.0,
        }
    }

    #[test]
    fn an_answer_says_that_it_quotes_and_keeps_private_memories_back() {
        let answer = Said {
            found: true,
            text: "“we ship on Friday” and more",
            engine: "offline",
            citations: &[citation(false), citation(true)],
        };
        let scope = AskScope::All;
        let (all, ids) = answer_text(&answer, scope, true);
        assert!(all.starts_with("“we ship on Friday” and more") && all.ends_with(OFFLINE));
        assert_eq!(ids.len(), 1);
        let (some, _) = answer_text(&answer, scope, false);
        assert!(
            !some.contains("and more") && some.contains("(Anna, Weekly)"),
            "{some}"
        );
        let only_memory = Said {
            citations: &[citation(true)],
            ..answer
        };
        let (none, ids) = answer_text(&only_memory, scope, false);
        assert!(none.starts_with("I found nothing") && ids.is_empty());
    }
}
