//! Rooms follow their meetings: one task hears what changes and has each room brought in line.
//!
//! Whatever happens to a meeting or its people, only the meeting's id is noted here; what is to be done
//! about it is found by comparing the database with the room ([`super::reconcile`]). So a change that the
//! room could not take, because its server was down or busy, is made up for by the next look: after a
//! failure, with a growing wait, and for all rooms every half a minute. Media never waits for any of it.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use livekit_protocol::ListRoomsRequest;
use meetmind_core::{EventKind, EventTopic, MeetingId, ParticipantId, Result, UserId};
use meetmind_media::service::{RoomAnswer, RoomCall};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::reconcile::Outcome;
use crate::{App, AuthorityChange, Published};

/// Rooms that are compared at the same time.
const PLACES: usize = 8;
/// How often every room is compared, whether or not anything was heard of it.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How soon again when the server could not be asked.
const SWEEP_AGAIN: Duration = Duration::from_secs(5);
/// The waits after failures: the first, doubled each time, up to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Rows read at a time.
const ROWS: i64 = 500;

/// What is known of a change beside its meeting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// Who was seen leaving the room: nobody waits for them to come back.
    pub(super) gone: HashSet<ParticipantId>,
    /// The meeting itself changed: its room's metadata may have to.
    pub(super) meeting: bool,
}

impl Hints {
    fn add(&mut self, other: Hints) {
        self.gone.extend(other.gone);
        self.meeting |= other.meeting;
    }
}

/// Which rooms are to be looked at.
#[derive(Default)]
pub(super) struct Follower {
    queue: Mutex<Queue>,
    woken: Notify,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Queue {
    due: HashMap<MeetingId, (Instant, Hints)>,
    at_work: HashSet<MeetingId>,
    failures: HashMap<MeetingId, u32>,
    /// Since when somebody who should be in a room was not found there.
    absent: HashMap<ParticipantId, Instant>,
}

impl Queue {
    fn add(&mut self, meeting: MeetingId, at: Instant, hints: Hints) {
        let entry = self
            .due
            .entry(meeting)
            .or_insert_with(|| (at, Hints::default()));
        entry.0 = entry.0.min(at);
        entry.1.add(hints);
    }

    /// The next room whose time has come, and that nobody looks at.
    fn take(&mut self, now: Instant) -> Option<(MeetingId, Hints)> {
        let next = self
            .due
            .iter()
            .filter(|(id, (at, _))| *at <= now && !self.at_work.contains(id))
            .min_by_key(|(_, (at, _))| *at)
            .map(|(id, _)| *id)?;
        let (_, hints) = self.due.remove(&next)?;
        self.at_work.insert(next);
        Some((next, hints))
    }

    fn next_at(&self) -> Option<Instant> {
        self.due
            .iter()
            .filter(|(id, _)| !self.at_work.contains(id))
            .map(|(_, (at, _))| *at)
            .min()
    }
}

impl Follower {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, meeting: MeetingId, hints: Hints) {
        self.lock().add(meeting, Instant::now(), hints);
        self.woken.notify_one();
    }

    /// How long somebody has been missed in a room.
    pub(super) fn missed_for(&self, id: ParticipantId) -> Duration {
        self.lock()
            .absent
            .entry(id)
            .or_insert_with(Instant::now)
            .elapsed()
    }

    /// Somebody is back in a room, or no longer expected there.
    pub(super) fn not_missed(&self, id: ParticipantId) {
        self.lock().absent.remove(&id);
    }

    /// Ends the task; what it had not done yet, the next start finds out.
    pub(super) fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }

    /// Notes what became of a look at a room.
    fn settle(&self, meeting: MeetingId, hints: Hints, outcome: Result<Outcome>, now: Instant) {
        let mut queue = self.lock();
        queue.at_work.remove(&meeting);
        match outcome {
            Ok(outcome) => {
                queue.failures.remove(&meeting);
                if let Some(after) = outcome.again_after {
                    queue.add(meeting, now + after, Hints::default());
                }
            }
            Err(error) => {
                let failures = queue.failures.entry(meeting).or_default();
                *failures += 1;
                let doubled = BACKOFF.0 * 2_u32.saturating_pow((*failures - 1).min(16));
                let wait = doubled.min(BACKOFF.1);
                tracing::warn!(%meeting, %error, wait_ms = wait.as_millis() as u64, "a room does not follow its meeting yet");
                queue.add(meeting, now + wait, hints);
            }
        }
    }
}

impl App {
    /// Has the room of a meeting compared with the meeting soon.
    pub(super) fn room_mark(&self, meeting: MeetingId, hints: Hints) {
        self.inner.rooms.follower.mark(meeting, hints);
    }

    /// Rooms no longer follow their meetings: the process is on its way out.
    pub fn rooms_disconnect(&self) {
        self.inner.rooms.follower.stop();
    }

    /// Begins to follow.
    pub(super) async fn rooms_follow(&self) -> Result<()> {
        let task = tokio::spawn(self.clone().follow()).abort_handle();
        let follower = &self.inner.rooms.follower;
        let mut place = follower.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = place.replace(task) {
            before.abort();
        }
        Ok(())
    }

    async fn follow(self) {
        let follower = &self.inner.rooms.follower;
        let mut events = self.bus().subscribe();
        let mut authority = self.bus().authority();
        // What happened while no process ran is found by the first sweep.
        let mut sweep_at = Instant::now();
        let mut sweep: JoinSet<Result<()>> = JoinSet::new();
        let mut at_work = JoinSet::new();
        loop {
            while at_work.len() < PLACES
                && let Some((meeting, hints)) = {
                    let mut queue = follower.lock();
                    queue.take(Instant::now())
                }
            {
                let app = self.clone();
                at_work.spawn(async move {
                    let look = AssertUnwindSafe(app.room_reconcile(meeting, &hints)).catch_unwind();
                    let outcome = look.await.unwrap_or_else(|_| {
                        Err(meetmind_core::Error::internal("a look at a room panicked"))
                    });
                    let follower = &app.inner.rooms.follower;
                    follower.settle(meeting, hints, outcome, Instant::now());
                });
            }
            let next_at = follower.lock().next_at().filter(|_| at_work.len() < PLACES);
            let next_at = next_at.map_or(sweep_at, |at| at.min(sweep_at));
            tokio::select! {
                Some(_) = at_work.join_next(), if !at_work.is_empty() => {}
                Some(swept) = sweep.join_next(), if !sweep.is_empty() => {
                    if !matches!(swept, Ok(Ok(()))) {
                        sweep_at = Instant::now() + SWEEP_AGAIN;
                    }
                }
                heard = events.recv() => match heard {
                    Ok(published) => self.room_hears(&published),
                    // The store has what the bus dropped.
                    Err(RecvError::Lagged(_)) => sweep_at = Instant::now(),
                    Err(RecvError::Closed) => return,
                },
                heard = authority.recv() => match heard {
                    Ok(AuthorityChange::User(user)) => {
                        let app = self.clone();
                        sweep.spawn(async move { app.rooms_of_user(user).await });
                    }
                    Ok(AuthorityChange::Meeting(meeting)) => self.room_mark(meeting, Hints::default()),
                    // A guest's place is told of as an event of its meeting.
                    Ok(AuthorityChange::Guest(_)) => {}
                    Err(RecvError::Lagged(_)) => sweep_at = Instant::now(),
                    Err(RecvError::Closed) => return,
                },
                () = follower.woken.notified() => {}
                () = tokio::time::sleep_until(next_at) => {
                    if sweep_at <= Instant::now() {
                        sweep_at = Instant::now() + SWEEP_EVERY;
                        let app = self.clone();
                        sweep.spawn(async move { app.rooms_sweep().await });
                    }
                }
            }
        }
    }

    fn room_hears(&self, published: &Published) {
        use EventKind as K;
        let Published::Event {
            topic: EventTopic::Meeting(meeting),
            event,
            ..
        } = published
        else {
            return;
        };
        let hints = match event.kind {
            K::MeetingUpdated | K::MeetingEnded | K::MeetingArchived | K::MeetingErased => Hints {
                meeting: true,
                ..Hints::default()
            },
            K::ParticipantJoined
            | K::ParticipantLeft
            | K::ParticipantUpdated
            | K::ParticipantRemoved => Hints::default(),
            _ => return,
        };
        self.room_mark(*meeting, hints);
    }

    /// An account changed: it may have been disabled.
    async fn rooms_of_user(&self, user: UserId) -> Result<()> {
        let mut after = None;
        loop {
            let mut conn = self.store().read().await?;
            let meetings = conn.room_meetings_of_user(user, after, ROWS).await?;
            let Some(last) = meetings.last() else {
                return Ok(());
            };
            after = Some(*last);
            for meeting in meetings {
                self.room_mark(meeting, Hints::default());
            }
        }
    }

    /// Has every room compared, and every meeting in whose room somebody should be.
    async fn rooms_sweep(&self) -> Result<()> {
        self.room_webhooks_sweep().await?;
        let mut after = None;
        loop {
            let mut conn = self.store().read().await?;
            let meetings = conn.room_present_meetings(after, ROWS).await?;
            let Some(last) = meetings.last() else { break };
            after = Some(*last);
            for meeting in meetings {
                self.room_mark(meeting, Hints::default());
            }
        }
        let list = RoomCall::List(ListRoomsRequest::default());
        let rooms = match self.room_call(list).await {
            Ok(RoomAnswer::List(answer)) => answer.rooms,
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the rooms cannot be listed; trying again");
                return Err(meetmind_core::Error::internal(error));
            }
        };
        for room in rooms {
            let Ok(meeting) = room.name.parse::<MeetingId>() else {
                continue;
            };
            if self.is_ours(meeting, &room.metadata).await? {
                let hints = Hints {
                    meeting: true,
                    ..Hints::default()
                };
                self.room_mark(meeting, hints);
            }
        }
        Ok(())
    }

    /// Whether a room belongs to a meeting of ours, erased or not: on another LiveKit server there may be
    /// rooms of other instances, which are none of our business.
    async fn is_ours(&self, meeting: MeetingId, metadata: &str) -> Result<bool> {
        if self.inner.rooms.embedded.get().is_some() || self.wrote_room_metadata(meeting, metadata)
        {
            return Ok(true);
        }
        match self.store().read().await?.meeting_get(meeting).await {
            Ok(_) => Ok(true),
            Err(meetmind_store::Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_core::Id;

    fn meeting(number: u128) -> MeetingId {
        MeetingId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_room_is_looked_at_once_for_many_changes_and_never_twice_at_once() {
        let follower = Follower::default();
        let gone = ParticipantId::from_uuid(uuid::Uuid::from_u128(9));
        follower.mark(meeting(1), Hints::default());
        let seen = Hints {
            gone: HashSet::from([gone]),
            meeting: false,
        };
        follower.mark(meeting(1), seen.clone());
        let taken = follower.lock().take(Instant::now());
        assert_eq!(taken, Some((meeting(1), seen)));
        follower.mark(meeting(1), Hints::default());
        assert_eq!(follower.lock().take(Instant::now()), None);
        let done = Ok(Outcome { again_after: None });
        follower.settle(meeting(1), Hints::default(), done, Instant::now());
        assert!(follower.lock().take(Instant::now()).is_some());
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_forgets_nothing() {
        let follower = Follower::default();
        let gone = ParticipantId::from_uuid(uuid::Uuid::from_u128(9));
        let hints = Hints {
            gone: HashSet::from([gone]),
            meeting: true,
        };
        let mut now = Instant::now();
        follower.lock().add(meeting(1), now, hints.clone());
        for wait_ms in [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let (_, taken) = follower.lock().take(now).expect("it is due");
            assert_eq!(taken, hints);
            let failed = Err(meetmind_core::Error::internal("down"));
            follower.settle(meeting(1), taken, failed, now);
            let waits = follower.lock().next_at().expect("it waits") - now;
            assert_eq!(waits, Duration::from_millis(wait_ms));
            assert!(follower.lock().take(now).is_none());
            now += waits;
        }
    }
}
