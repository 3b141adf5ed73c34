//! What the rooms of the server inside tell: presence, signals, agents' jobs, webhooks.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use livekit_protocol::{AgentDispatch, ConnectionQuality, DisconnectReason, ParticipantInfo};
use meetmind_core::{EventTopic, MeetingId, ParticipantId, Signal, SignalKind};
use meetmind_media::RoomEvents;
use meetmind_media::room::{RoomEvent, RoomEventKind};
use serde_json::{Value, json};

use super::follow::Hints;
use super::grants::participant_of;
use crate::App;

/// Events taken at once: they are written down together.
const AT_ONCE: usize = 100;
/// A participant's level is told no more often than this.
const LEVEL_EVERY: Duration = Duration::from_secs(1);
/// Levels of all rooms together, in one second: what shows a bar must not push out what counts.
const LEVELS_PER_SECOND: u32 = 500;

/// What was last told of who speaks, so that nothing is told twice.
struct Levels {
    told: HashMap<(MeetingId, ParticipantId), Told>,
    since: Instant,
    count: u32,
}

#[derive(Clone, Copy)]
struct Told {
    speaking: bool,
    level_at: Option<Instant>,
}

impl Levels {
    fn new(now: Instant) -> Self {
        Self {
            told: HashMap::new(),
            since: now,
            count: 0,
        }
    }

    /// Whether to tell that somebody speaks or no longer does, and whether to tell the level.
    fn hear(
        &mut self,
        who: (MeetingId, ParticipantId),
        speaking: bool,
        now: Instant,
    ) -> (bool, bool) {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.count) = (now, 0);
        }
        let told = self.told.entry(who).or_insert(Told {
            speaking: false,
            level_at: None,
        });
        let changed = told.speaking != speaking;
        told.speaking = speaking;
        let is_time = told
            .level_at
            .is_none_or(|at| now.duration_since(at) >= LEVEL_EVERY);
        let tells_level = speaking && is_time && self.count < LEVELS_PER_SECOND;
        if tells_level {
            told.level_at = Some(now);
            self.count += 1;
        }
        if !speaking {
            self.told.remove(&who);
        }
        (changed, tells_level)
    }

    fn forget(&mut self, meeting: MeetingId) {
        self.told.retain(|(of, _), _| *of != meeting);
    }
}

impl App {
    /// Applies what happens in rooms, in order, until the media server has ended.
    pub(super) async fn rooms_listen(self, mut events: RoomEvents) {
        let mut levels = Levels::new(Instant::now());
        let mut batch = Vec::with_capacity(AT_ONCE);
        while events.recv_many(&mut batch, AT_ONCE).await > 0 {
            for event in &batch {
                self.room_event(event, &mut levels).await;
            }
            self.room_webhooks_keep(&batch).await;
            batch.clear();
        }
    }

    async fn room_event(&self, event: &RoomEvent, levels: &mut Levels) {
        let meeting = event.room.name.parse::<MeetingId>().ok();
        if let Some(embedded) = self.inner.rooms.embedded.get() {
            embedded.workers.room_event(self, event);
            if let (Some(meeting), RoomEventKind::Started(_)) = (meeting, &event.kind) {
                let dispatches = self.dispatches_of(meeting).await;
                embedded.workers.restore(self, dispatches);
            }
        }
        let Some(meeting) = meeting else { return };
        match &event.kind {
            RoomEventKind::Left(info) => self.room_mark(meeting, left(info)),
            RoomEventKind::Started(_)
            | RoomEventKind::Joined(_)
            | RoomEventKind::Aborted(_)
            | RoomEventKind::Published(..) => self.room_mark(meeting, Hints::default()),
            RoomEventKind::Finished => {
                levels.forget(meeting);
                self.dispatches_forget(meeting).await;
                self.room_mark(meeting, Hints::default());
            }
            RoomEventKind::Unpublished(..) => {}
            RoomEventKind::Muted(info, track) => {
                if let Some((id, _)) = participant_of(&info.identity) {
                    let source = track.source().as_str_name().to_ascii_lowercase();
                    let data = json!({ "muted": track.muted, "source": source });
                    self.room_signal(meeting, id, SignalKind::Muted, data);
                }
                if !track.muted {
                    // They may not be the ones to lift a host's mute.
                    self.room_mark(meeting, Hints::default());
                }
            }
            RoomEventKind::Speaking(speakers) => {
                let now = Instant::now();
                for (identity, level, speaking) in speakers {
                    let Some((id, _)) = participant_of(identity) else {
                        continue;
                    };
                    let (changed, tells_level) = levels.hear((meeting, id), *speaking, now);
                    if changed {
                        let data = json!({ "speaking": speaking });
                        self.room_signal(meeting, id, SignalKind::Speaking, data);
                    }
                    if tells_level {
                        let level = (f64::from(*level) * 100.0).round() / 100.0;
                        let data = json!({ "level": level });
                        self.room_signal(meeting, id, SignalKind::Level, data);
                    }
                }
            }
            RoomEventKind::Quality(identity, quality) => {
                if let Some((id, _)) = participant_of(identity) {
                    let word = match quality {
                        ConnectionQuality::Poor => "poor",
                        ConnectionQuality::Good => "good",
                        ConnectionQuality::Excellent => "excellent",
                        ConnectionQuality::Lost => "lost",
                    };
                    let data = json!({ "quality": word });
                    self.room_signal(meeting, id, SignalKind::Quality, data);
                }
            }
        }
    }

    fn room_signal(
        &self,
        meeting: MeetingId,
        participant: ParticipantId,
        kind: SignalKind,
        mut data: Value,
    ) {
        data["participant_id"] = json!(participant);
        let topic = EventTopic::Meeting(meeting);
        let signal = Signal {
            topic: topic.to_string(),
            kind,
            data,
        };
        self.bus().signal(topic, &signal);
    }

    /// The agents that were sent into a meeting's room before this process began.
    async fn dispatches_of(&self, meeting: MeetingId) -> Vec<AgentDispatch> {
        let found = async {
            let mut conn = self.store().read().await?;
            conn.room_dispatch_list(meeting).await
        };
        match found.await {
            Ok(values) => values
                .into_iter()
                .filter_map(|value| serde_json::from_value(value).ok())
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "the agents of a room could not be looked up");
                Vec::new()
            }
        }
    }

    /// A room ended by itself: who was sent into it need not come into the next.
    async fn dispatches_forget(&self, meeting: MeetingId) {
        let forgotten = async {
            let mut tx = self.store().begin().await?;
            tx.room_dispatch_clear(meeting).await?;
            tx.commit().await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "the agents of a room that ended could not be forgotten");
        }
    }
}

/// Who left for good; not who came back on another connection.
pub(super) fn left(info: &ParticipantInfo) -> Hints {
    let replaced = info.disconnect_reason == DisconnectReason::DuplicateIdentity as i32;
    match participant_of(&info.identity) {
        Some((id, false)) if !replaced => Hints {
            gone: HashSet::from([id]),
            ..Hints::default()
        },
        _ => Hints::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meetmind_core::Id;

    #[test]
    fn speaking_is_told_once_and_levels_once_a_second() {
        let start = Instant::now();
        let mut levels = Levels::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        let who = (
            MeetingId::from_uuid(uuid::Uuid::from_u128(1)),
            ParticipantId::from_uuid(uuid::Uuid::from_u128(2)),
        );
        assert_eq!(levels.hear(who, true, at(0)), (true, true));
        assert_eq!(levels.hear(who, true, at(400)), (false, false));
        assert_eq!(levels.hear(who, true, at(1000)), (false, true));
        assert_eq!(levels.hear(who, false, at(1400)), (true, false));
        assert_eq!(levels.hear(who, false, at(1800)), (false, false));
        assert!(levels.told.is_empty());
    }

    #[test]
    fn all_rooms_together_tell_a_bounded_number_of_levels() {
        let start = Instant::now();
        let mut levels = Levels::new(start);
        let told = (0..2000_u128)
            .filter(|number| {
                let who = (
                    MeetingId::from_uuid(uuid::Uuid::from_u128(1)),
                    ParticipantId::from_uuid(uuid::Uuid::from_u128(*number)),
                );
                levels.hear(who, true, start).1
            })
            .count();
        assert_eq!(told, 500);
    }
}
