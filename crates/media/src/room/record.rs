//! A recording of the room: what flows is handed to its tap, in the highest layer there is.
//!
//! To the room a recording is one more subscriber, without a connection: it has a forwarder per track, so
//! that a change of layer or source is a seamless stream for it too, and it counts for what publishers are
//! told of the layers that are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use livekit_protocol as proto;
use str0m::rtp::RtpPacket;

use super::{Room, Step};
use crate::forward::{Codec, Forwarder, LayerIndex, PacketIn, Verdict};
use crate::peer::TrackKey;
use crate::record::depacketize::VideoCodec;
use crate::record::spec::{TrackCodec, TrackPacket};
use crate::record::tap::{SkipReason, Tap, TapEvent};

/// The recording among the subscribers that [`Dynacast`](crate::forward::Dynacast) counts; no participant
/// has this key.
const RECORDING: u64 = u64::MAX;

/// A recording that runs.
pub(super) struct RoomTap {
    tap: Arc<Tap>,
    tracks: HashMap<TrackKey, Tapped>,
}

enum Tapped {
    Recorded {
        sid: Arc<str>,
        forwarder: Box<Forwarder>,
    },
    Skipped,
}

impl Room {
    /// Begins or ends a recording; every client is told. Whoever ends one names it: another one that began
    /// since goes on.
    pub(crate) fn start_tap(&mut self, tap: Arc<Tap>, step: &mut Step<'_>) {
        self.tap = Some(RoomTap {
            tap,
            tracks: HashMap::new(),
        });
        self.set_recording(true);
        let pictures: Vec<TrackKey> = self
            .tracks
            .values()
            .filter(|track| track.is_live())
            .map(|track| track.key)
            .collect();
        for track in pictures {
            self.tap_wants(track, true, step);
        }
    }

    /// Ends a recording. See [`Self::start_tap`].
    pub(crate) fn stop_tap(&mut self, tap: &Arc<Tap>, step: &mut Step<'_>) {
        if !self
            .tap
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(&own.tap, tap))
        {
            return;
        }
        self.tap = None;
        self.set_recording(false);
        let tracks: Vec<TrackKey> = self.tracks.keys().copied().collect();
        for track in tracks {
            self.tap_wants(track, false, step);
        }
    }

    /// A recording needs the best that a publisher has; without one its wish is forgotten.
    pub(super) fn tap_wants(&mut self, key: TrackKey, wanted: bool, step: &mut Step<'_>) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        if !track.kind().is_video() || (wanted && self.tap.is_none()) {
            return;
        }
        let quality = if wanted {
            proto::VideoQuality::High
        } else {
            proto::VideoQuality::Off
        };
        let mime = track.info.mime_type.clone();
        let update = track.dynacast.want(RECORDING, &mime, quality, step.now);
        self.send_dynacast(key, update);
    }

    /// A track ended.
    pub(super) fn tap_ended(&mut self, key: TrackKey, step: &Step<'_>) {
        let Some(tap) = &mut self.tap else {
            return;
        };
        if let Some(Tapped::Recorded { sid, .. }) = tap.tracks.remove(&key) {
            tap.tap.push(TapEvent::Ended {
                track: sid,
                at: step.now,
            });
        }
    }

    /// The recorder's decoder has lost its way.
    pub(crate) fn tap_keyframe(&mut self, sid: &str, step: &mut Step<'_>) {
        let wanted = self.tap.as_ref().and_then(|tap| {
            tap.tracks.iter().find_map(|(key, tapped)| match tapped {
                Tapped::Recorded {
                    sid: own,
                    forwarder,
                } if **own == *sid => Some((*key, forwarder.layer().or(forwarder.target())?)),
                _ => None,
            })
        });
        if let Some((track, layer)) = wanted {
            self.ask_keyframe(track, layer, step);
        }
    }

    /// Chooses again the layer that is recorded of each picture: the highest that flows.
    pub(super) fn tend_tap(&mut self) {
        let Some(tap) = &mut self.tap else {
            return;
        };
        for (key, tapped) in &mut tap.tracks {
            let (Tapped::Recorded { forwarder, .. }, Some(track)) = (tapped, self.tracks.get(key))
            else {
                continue;
            };
            if track.kind().is_video() {
                forwarder.set_target(highest(track));
            }
        }
    }

    /// A packet flows: the recording gets it if it may. Answers the layer whose keyframe it waits for.
    pub(super) fn tap_packet(
        &mut self,
        key: TrackKey,
        codec: Codec,
        red: bool,
        input: &PacketIn<'_>,
        packet: &RtpPacket,
    ) -> Option<LayerIndex> {
        let tap = self.tap.as_mut()?;
        let track = self.tracks.get(&key)?;
        let owner = self.participants.get(&track.owner)?;
        let restricted = owner.permission.hidden
            || owner
                .listeners
                .as_ref()
                .is_some_and(|listeners| !listeners.all_participants);
        // Who is muted is not heard, whatever the client still sends.
        if track.info.muted {
            return None;
        }
        let tapped = tap.tracks.entry(key).or_insert_with(|| {
            let sid: Arc<str> = Arc::from(track.info.sid.as_str());
            let participant = owner.identity().to_owned();
            let encrypted = track.info.encryption != proto::encryption::Type::None as i32;
            let carried = track_codec(codec);
            let reason = match carried {
                _ if encrypted => Some(SkipReason::Encrypted),
                _ if restricted => Some(SkipReason::Restricted),
                None => Some(SkipReason::UnsupportedCodec),
                Some(_) => None,
            };
            match (carried, reason) {
                (Some(codec), None) => {
                    tap.tap.push(TapEvent::Started {
                        participant,
                        agent: owner.info.kind == proto::participant_info::Kind::Agent as i32,
                        track: Arc::clone(&sid),
                        codec,
                        at: packet.timestamp,
                    });
                    let forwarder = Box::new(Forwarder::new(codec_forwarded(codec), 1));
                    Tapped::Recorded { sid, forwarder }
                }
                (_, reason) => {
                    tap.tap.push(TapEvent::Skipped {
                        participant,
                        track: sid,
                        mime: mime(codec).to_owned(),
                        reason: reason.unwrap_or(SkipReason::UnsupportedCodec),
                    });
                    Tapped::Skipped
                }
            }
        });
        let Tapped::Recorded { sid, forwarder } = tapped else {
            return None;
        };
        if restricted {
            return None;
        }
        if forwarder.target().is_none() {
            forwarder.set_target(highest(track));
        }
        let verdict = forwarder.packet(input);
        if let Verdict::Send { seq, rtp_time, .. } = verdict {
            tap.tap.push(TapEvent::Packet {
                track: Arc::clone(sid),
                packet: TrackPacket {
                    seq,
                    rtp_time,
                    marker: packet.header.marker,
                    red,
                    payload: Arc::clone(&packet.payload),
                    received: packet.timestamp,
                },
            });
        }
        forwarder.wants_keyframe()
    }
}

/// The highest layer that flows; of sound, and before anything flowed, the only or the lowest one.
fn highest(track: &super::track::Track) -> Option<LayerIndex> {
    if !track.kind().is_video() {
        return Some(0);
    }
    (0..track.layers.count())
        .rev()
        .find(|layer| track.layers.live(*layer))
        .or(Some(0))
}

/// What a recorder can make of a codec; none for what no file is made of.
fn track_codec(codec: Codec) -> Option<TrackCodec> {
    match codec {
        Codec::Opus => Some(TrackCodec::Opus),
        Codec::Vp8 => Some(TrackCodec::Video(VideoCodec::Vp8)),
        Codec::Vp9 => Some(TrackCodec::Video(VideoCodec::Vp9)),
        Codec::H264 => Some(TrackCodec::Video(VideoCodec::H264)),
        Codec::Audio8k | Codec::Av1 => None,
    }
}

fn codec_forwarded(codec: TrackCodec) -> Codec {
    match codec {
        TrackCodec::Opus => Codec::Opus,
        TrackCodec::Video(VideoCodec::Vp8) => Codec::Vp8,
        TrackCodec::Video(VideoCodec::Vp9) => Codec::Vp9,
        TrackCodec::Video(VideoCodec::H264) => Codec::H264,
    }
}

fn mime(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "audio/opus",
        Codec::Audio8k => "audio/PCMU",
        Codec::Vp8 => "video/VP8",
        Codec::Vp9 => "video/VP9",
        Codec::H264 => "video/H264",
        Codec::Av1 => "video/AV1",
    }
}
