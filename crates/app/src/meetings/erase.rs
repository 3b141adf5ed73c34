//! Erasing a meeting, or one participant's words.

use std::collections::{BTreeMap, HashSet};

use meetmind_core::{
    Ctx, DeliveryId, Event, EventKind, EventTopic, MeetingAction, MeetingId, MeetingStatus,
    ParticipantId, RecordingReason, Result, SegmentId, Timestamp,
};
use meetmind_store::{Conn, ErasureCounts};
use serde::Serialize;
use serde_json::{Value, json};

use super::access::{Access, any_access, meeting_access};
use super::participants::visible_participant;
use crate::{App, AuthorityChange};

/// Rows read at a time while looking for copies.
const BATCH: i64 = 500;

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErasureReceipt {
    /// The meeting.
    pub meeting_id: MeetingId,
    /// Whose words, when it was not the whole meeting.
    pub participant_id: Option<ParticipantId>,
    /// When.
    pub erased_at: Timestamp,
    /// Rows erased, per store touched.
    pub erased: BTreeMap<String, u64>,
    /// Notes that stay and were marked stale, because they rested on what was erased.
    pub marked_stale: u64,
}

/// Adds up rows per store.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, store: &str, rows: u64) {
        *self.0.entry(store.to_owned()).or_default() += rows;
    }
    fn extend(&mut self, counts: ErasureCounts) {
        for (store, rows) in counts {
            self.add(store, rows);
        }
    }
}

impl App {
    /// Erases a meeting, deleted or not, with everything on it: nothing of it can be restored. A
    /// live one is ended first. Its people learn of it, without its words.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN` for all but the host.
    pub async fn meeting_erase(&self, ctx: &Ctx, id: MeetingId) -> Result<ErasureReceipt> {
        let mut conn = self.store().read().await?;
        any_access(&mut conn, ctx, id, MeetingAction::Delete).await?;
        drop(conn);
        self.recording_halt(id, RecordingReason::Erased).await;
        let mut change = self.change(ctx).await?;
        change.meeting_lock(id).await?;
        let access = any_access(&mut change, ctx, id, MeetingAction::Delete).await?;
        if access.meeting.status == MeetingStatus::Live {
            self.meeting_end_within(&mut change, ctx, access.meeting)
                .await?;
        }
        let mut tally = Tally::default();
        let users = change.erasure_user_ids(id).await?;
        for run_id in change.erasure_run_ids(id).await? {
            let topic = EventTopic::Run(run_id);
            tally.add("events", change.event_erase(topic).await?);
        }
        // The last word of the topic: it goes out to who listens, and is erased with the rest.
        let topic = EventTopic::Meeting(id);
        let data = json!({ "meeting_id": id });
        let last = change
            .event_append(topic, EventKind::MeetingErased, ctx.now, data)
            .await?;
        change.tell(topic, last);
        tally.add("events", change.event_erase(topic).await?);
        let needle = id.to_string();
        let blank = json!({ "meeting_id": id, "erased": true });
        for user_id in &users {
            let topic = EventTopic::User(*user_id);
            tally.add("events", change.events_blank(topic, &needle, &blank).await?);
        }
        tally.extend(change.erasure_copies(id).await?);
        tally.extend(self.recordings_erase_within(&mut change, ctx, id).await?);
        tally.extend(change.erasure_meeting_rows(id).await?);
        for user_id in users {
            let data = json!({ "meeting_id": id });
            change
                .event(EventTopic::User(user_id), EventKind::MeetingErased, &data)
                .await?;
        }
        change
            .audit("meeting.erased", id, json!({ "rows": tally.0 }))
            .await?;
        change.authority_changes(AuthorityChange::Meeting(id));
        change.commit().await?;
        Ok(ErasureReceipt {
            meeting_id: id,
            participant_id: None,
            erased_at: ctx.now,
            erased: tally.0,
            marked_stale: 0,
        })
    }

    /// Erases what a participant said in a meeting: segments, the memories and agents' answers
    /// that cite them, the highlights that quote them, their words in events and webhook deliveries,
    /// and their voice and picture in recordings: the files of their tracks, and every mix they are in
    /// (one that is being made is stopped). Other notes are marked stale and written anew.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FORBIDDEN` for all but the participant and the host.
    pub async fn words_erase(
        &self,
        ctx: &Ctx,
        meeting_id: MeetingId,
        participant_id: ParticipantId,
    ) -> Result<ErasureReceipt> {
        let mut conn = self.store().read().await?;
        words_access(&mut conn, ctx, meeting_id, participant_id).await?;
        drop(conn);
        self.recording_halt_with(meeting_id, participant_id).await;
        let mut change = self.change(ctx).await?;
        change.meeting_lock(meeting_id).await?;
        let access = words_access(&mut change, ctx, meeting_id, participant_id).await?;
        let segments = change.words_segment_ids(participant_id).await?;
        let mut tally = Tally::default();
        let mut marked_stale = 0;
        for segment_id in &segments {
            marked_stale += change.derived_mark_stale(*segment_id, ctx.now).await?;
        }
        for (memory_id, user_id) in change.words_memory_ids(participant_id).await? {
            let blank = json!({ "id": memory_id, "erased": true });
            let topic = EventTopic::User(user_id);
            let needle = memory_id.to_string();
            tally.add("events", change.events_blank(topic, &needle, &blank).await?);
            tally.extend(change.erasure_copies(memory_id).await?);
        }
        let counts = change.erasure_words_rows(participant_id).await?;
        // A highlight that is gone is not stale.
        for (store, rows) in &counts {
            if *store == "highlights" {
                marked_stale = marked_stale.saturating_sub(*rows);
            }
        }
        tally.extend(counts);
        tally.extend(
            self.recordings_erase_person(&mut change, ctx, meeting_id, participant_id)
                .await?,
        );
        let erased: HashSet<SegmentId> = segments.iter().copied().collect();
        answers_erase(&mut change, meeting_id, &erased, &mut tally).await?;
        events_erase(&mut change, meeting_id, participant_id, &erased, &mut tally).await?;
        deliveries_erase(&mut change, meeting_id, &erased, &mut tally).await?;
        for segment_id in &segments {
            let data = json!({ "id": segment_id, "meeting_id": meeting_id, "participant_id": participant_id });
            change
                .meeting_event(meeting_id, EventKind::SegmentErased, &data)
                .await?;
        }
        let details = json!({ "meeting_id": meeting_id, "rows": tally.0 });
        change
            .audit("participant.words_erased", participant_id, details)
            .await?;
        change.commit().await?;
        if !segments.is_empty() {
            let is_final = access.meeting.status == MeetingStatus::Ended;
            // The erasure stands; notes that could not be written anew stay marked as stale.
            if let Err(error) = self.notes_refresh(ctx, meeting_id, is_final).await {
                tracing::warn!(%meeting_id, code = error.code.as_str(), "the notes were not written anew after an erasure");
            }
        }
        Ok(ErasureReceipt {
            meeting_id,
            participant_id: Some(participant_id),
            erased_at: ctx.now,
            erased: tally.0,
            marked_stale,
        })
    }
}

/// A meeting for who may erase a participant's words: the participant, and the host.
async fn words_access(
    conn: &mut Conn,
    ctx: &Ctx,
    meeting_id: MeetingId,
    participant_id: ParticipantId,
) -> Result<Access> {
    let access = meeting_access(conn, ctx, meeting_id, MeetingAction::Consent).await?;
    visible_participant(conn, &access, participant_id).await?;
    if access.participant_id != Some(participant_id) {
        meeting_access(conn, ctx, meeting_id, MeetingAction::Delete).await?;
    }
    Ok(access)
}

/// Erases agents' answers that rest on erased segments.
async fn answers_erase(
    conn: &mut Conn,
    meeting_id: MeetingId,
    erased: &HashSet<SegmentId>,
    tally: &mut Tally,
) -> Result<()> {
    tally.add("messages", 0);
    for (message_id, cited) in conn.words_answers(meeting_id).await? {
        if cited.iter().any(|id| erased.contains(id)) {
            conn.message_erase(message_id).await?;
            tally.add("messages", 1);
        }
    }
    Ok(())
}

/// Takes the words out of stored events; the events stay, because a topic counts without gaps.
async fn events_erase(
    conn: &mut Conn,
    meeting_id: MeetingId,
    participant_id: ParticipantId,
    erased: &HashSet<SegmentId>,
    tally: &mut Tally,
) -> Result<()> {
    let topic = EventTopic::Meeting(meeting_id);
    let own = participant_id.to_string();
    let mut after = 0;
    loop {
        let events = conn.event_list(topic, after, BATCH).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.seq;
        for event in &events {
            if !carries_words(event, &own, erased) {
                continue;
            }
            let blank = json!({ "id": event.data["id"], "meeting_id": meeting_id, "erased": true });
            conn.event_blank(topic, event.seq, &blank).await?;
            tally.add("events", 1);
        }
    }
}

/// Whether an event holds words of an erased segment: it is about one, cites one, or has the
/// headline of a summary, which is made of all that was said and cites nothing.
fn carries_words(event: &Event, participant: &str, erased: &HashSet<SegmentId>) -> bool {
    let spoken = matches!(
        event.kind,
        EventKind::SegmentDrafted | EventKind::SegmentFinalized | EventKind::SegmentCorrected
    );
    event.kind == EventKind::SummaryUpdated
        || (spoken && event.data["participant_id"] == participant)
        || cites(&event.data, erased)
}

/// Whether an id of an erased segment stands anywhere in a value.
fn cites(value: &Value, erased: &HashSet<SegmentId>) -> bool {
    match value {
        Value::String(text) => text.parse().is_ok_and(|id| erased.contains(&id)),
        Value::Array(list) => list.iter().any(|entry| cites(entry, erased)),
        Value::Object(fields) => fields.values().any(|field| cites(field, erased)),
        _ => false,
    }
}

/// Erases webhook deliveries that carry the words.
async fn deliveries_erase(
    conn: &mut Conn,
    meeting_id: MeetingId,
    erased: &HashSet<SegmentId>,
    tally: &mut Tally,
) -> Result<()> {
    let mut after: Option<DeliveryId> = None;
    loop {
        let rows = conn.words_deliveries(meeting_id, after, BATCH).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = Some(*last);
        for (delivery_id, payload) in &rows {
            if cites(payload, erased) {
                conn.delivery_erase(*delivery_id).await?;
                tally.add("webhook_deliveries", 1);
            }
        }
    }
}
