//! Joining, leaving, starting, ending.

use meetmind_core::{Ctx, EventKind, Meeting, MeetingStatus, Result};

use crate::{App, Change};

impl App {
    /// A planned meeting becomes live within a change, because somebody joined or spoke; agents
    /// of its owner that join by themselves are called. Any other meeting stays as it is.
    pub(crate) async fn meeting_start_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: Meeting,
    ) -> Result<Meeting> {
        if meeting.status != MeetingStatus::Scheduled {
            return Ok(meeting);
        }
        let meeting = Meeting {
            status: MeetingStatus::Live,
            started_at: Some(ctx.now),
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change.meeting_status_set(&meeting, ctx.now).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingStarted, &meeting)
            .await?;
        self.agents_auto_join(change, ctx, &meeting).await?;
        Ok(meeting)
    }

    /// Ends a meeting within a change: everybody leaves, and the final notes are queued.
    pub(crate) async fn meeting_end_within(
        &self,
        change: &mut Change<'_>,
        ctx: &Ctx,
        meeting: Meeting,
    ) -> Result<Meeting> {
        let meeting = Meeting {
            status: MeetingStatus::Ended,
            ended_at: Some(ctx.now),
            version: meeting.version + 1,
            updated_at: ctx.now,
            ..meeting
        };
        change.meeting_status_set(&meeting, ctx.now).await?;
        change.participant_leave_all(meeting.id, ctx.now).await?;
        change
            .meeting_event(meeting.id, EventKind::MeetingEnded, &meeting)
            .await?;
        self.meeting_end_queue(change, ctx, &meeting).await?;
        Ok(meeting)
    }
}
