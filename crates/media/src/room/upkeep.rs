//! What happens as time passes: speakers, quality, layers, tokens, and ends.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::DisconnectReason;
use livekit_protocol::signal_response::Message;
use meetmind_core::Timestamp;

use super::event::RoomEventKind;
use super::{Room, Step};

/// How often a room looks after itself: the speaker window of LiveKit's clients.
pub(super) const INTERVAL: Duration = Duration::from_millis(400);

/// Connection quality is told every so many intervals (about 5 s).
const QUALITY_EVERY: u64 = 12;

/// How long a client may take from its join to its first media connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// How long a client that is there may take to answer an offer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long a signal may say nothing, pings included.
const SILENT_SIGNAL: Duration = Duration::from_secs(20);

/// Tokens are renewed well before their ten minutes are over, so that a resume always has a valid one.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
const TOKEN_TTL: Duration = Duration::from_secs(600);

impl Room {
    pub(super) fn upkeep(&mut self, step: &mut Step<'_>) {
        self.upkeeps += 1;
        self.tell_speakers(step);
        self.tend_tap();
        if self.upkeeps.is_multiple_of(QUALITY_EVERY) {
            self.tell_quality(step);
        }
        self.tend_layers(step);
        self.end_the_gone(step);
        self.refresh_tokens(step);
        self.end_when_empty(step);
    }

    fn tell_speakers(&mut self, step: &mut Step<'_>) {
        let speakers = self.speakers.poll(step.now);
        if speakers.is_empty() {
            return;
        }
        let facts = speakers
            .iter()
            .filter_map(|speaker| {
                let participant = self
                    .participants
                    .values()
                    .find(|participant| participant.sid() == speaker.sid)?;
                let identity = participant.identity().to_owned();
                Some((identity, speaker.level, speaker.active))
            })
            .collect();
        self.broadcast(
            &Message::SpeakersChanged(proto::SpeakersChanged { speakers }),
            None,
        );
        self.emit(RoomEventKind::Speaking(facts), step);
    }

    fn tell_quality(&mut self, step: &mut Step<'_>) {
        let mut updates = Vec::new();
        let mut changed = Vec::new();
        for participant in self.participants.values_mut() {
            if !participant.is_active() {
                continue;
            }
            let lost = participant.gone_since.is_some();
            let (quality, score, differs) = participant.quality.tell(lost);
            if differs {
                changed.push((participant.info.identity.clone(), quality));
            }
            updates.push((
                participant.key,
                proto::ConnectionQualityInfo {
                    participant_sid: participant.sid().to_owned(),
                    quality: quality as i32,
                    score,
                },
            ));
        }
        if updates.is_empty() {
            return;
        }
        // Everybody hears of themselves and of those they listen to.
        let owners: std::collections::HashMap<u64, u64> = self
            .tracks
            .values()
            .map(|track| (track.key, track.owner))
            .collect();
        for participant in self.participants.values_mut() {
            let heard: std::collections::HashSet<u64> = participant
                .subscriptions
                .keys()
                .filter_map(|track| owners.get(track).copied())
                .chain([participant.key])
                .collect();
            let updates: Vec<_> = updates
                .iter()
                .filter(|(key, _)| heard.contains(key))
                .map(|(_, update)| update.clone())
                .collect();
            if !updates.is_empty() {
                participant.send(Message::ConnectionQuality(proto::ConnectionQualityUpdate {
                    updates,
                }));
            }
        }
        for (identity, quality) in changed {
            self.emit(RoomEventKind::Quality(identity, quality), step);
        }
    }

    /// Keyframes asked for and not come, layers that stopped, qualities nobody wants any more.
    fn tend_layers(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let mut tracks: Vec<_> = self
            .tracks
            .values()
            .filter(|track| track.kind().is_video() && track.is_live())
            .map(|track| track.key)
            .collect();
        tracks.sort_unstable();
        let mut owed = Vec::new();
        for key in tracks {
            let due = self
                .tracks
                .get_mut(&key)
                .and_then(|it| it.dynacast.poll(now));
            self.send_dynacast(key, due);
            if let Some(track) = self.tracks.get_mut(&key) {
                owed.extend(track.keyframes.poll(now).into_iter().map(|it| (key, it)));
            }
        }
        for (track, layer) in owed {
            self.send_keyframe_request(track, layer, step);
        }
        let viewers: Vec<u64> = self
            .participants
            .values()
            .filter(|it| it.subscriptions.values().any(|it| it.kind.is_video()))
            .map(|it| it.key)
            .collect();
        for viewer in viewers {
            self.allocate(viewer, step);
        }
    }

    fn end_the_gone(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let since = |at| now.saturating_duration_since(at);
        let mut ended = Vec::new();
        for participant in self.participants.values_mut() {
            if participant.signal.is_some() && since(participant.last_signal_at) > SILENT_SIGNAL {
                participant.signal = None;
            }
            if participant.signal.is_none() {
                participant.gone_since.get_or_insert(now);
            }
            let signals = participant.signal.is_some();
            if signals && !participant.is_active() && since(participant.joined_at) > CONNECT_WITHIN
            {
                ended.push((participant.key, DisconnectReason::ConnectionTimeout, true));
            } else if let Some(gone) = participant.gone_since {
                // Who is there and whose media never connected has its own time, above.
                let waits = signals && !participant.is_active();
                if !waits && since(gone) > step.settings.reconnect_window {
                    let reason = if signals {
                        DisconnectReason::MediaFailure
                    } else {
                        DisconnectReason::SignalClose
                    };
                    ended.push((participant.key, reason, true));
                }
            } else if participant
                .pending_offer
                .as_ref()
                .is_some_and(|offer| since(offer.since) > ANSWER_WITHIN)
            {
                // Nothing can be negotiated with it any more.
                ended.push((participant.key, DisconnectReason::MediaFailure, true));
            }
        }
        for (key, reason, tell) in ended {
            self.remove(key, reason, tell, step);
        }
    }

    fn refresh_tokens(&mut self, step: &mut Step<'_>) {
        let due: Vec<u64> = self
            .participants
            .values()
            .filter(|it| {
                it.signal.is_some()
                    && step.now.saturating_duration_since(it.refreshed_at) > REFRESH_EVERY
            })
            .map(|it| it.key)
            .collect();
        for key in due {
            self.refresh_token(key, step);
        }
    }

    /// Sends a fresh token with the permissions of now.
    pub(super) fn refresh_token(&mut self, key: u64, step: &mut Step<'_>) {
        let now = Timestamp::from_micros(step.wall_ms().saturating_mul(1000));
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.refreshed_at = step.now;
        let info = &participant.info;
        let claims = participant.claims.refresh(
            &info.name,
            &info.metadata,
            info.attributes.clone().into_iter().collect(),
            &participant.permission,
        );
        let token = step.settings.key.sign(&claims, now, TOKEN_TTL);
        match token {
            Ok(token) => participant.send(Message::RefreshToken(token)),
            Err(error) => tracing::warn!(%error, "a token could not be signed"),
        }
    }

    fn end_when_empty(&mut self, step: &mut Step<'_>) {
        if self.finished || !self.participants.is_empty() {
            return;
        }
        let seconds = if self.had_participants {
            self.info.departure_timeout
        } else {
            self.info.empty_timeout
        };
        let since = self.empty_since.unwrap_or(self.created_at);
        if step.now.saturating_duration_since(since) >= Duration::from_secs(seconds.into()) {
            self.finish(DisconnectReason::RoomClosed, step);
        }
    }
}
