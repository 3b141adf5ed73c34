//! Which layers a publisher may stop because nobody wants them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use livekit_protocol::{SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate, VideoQuality};

/// How long a layer goes on when nobody wants it any more: windows are resized to and fro, and to
/// start a layer again costs a keyframe. LiveKit's default.
const PAUSE_DELAY: Duration = Duration::from_secs(5);

/// A quality in the order of cost; `None` is off.
type Level = Option<VideoQuality>;

#[derive(Clone, Debug)]
struct CodecState {
    name: String,
    wanted: BTreeMap<u64, VideoQuality>,
    told: Level,
    lower_at: Option<Instant>,
}

impl CodecState {
    fn wish(&self) -> Level {
        self.wanted.values().copied().max_by_key(|q| *q as i32)
    }
}

fn rank(level: Level) -> i32 {
    level.map_or(-1, |quality| quality as i32)
}

/// The wishes of all subscribers of one track, told to its publisher per codec: a rise at once, a
/// fall after 5 s.
#[derive(Clone, Debug)]
pub struct Dynacast {
    codecs: Vec<CodecState>,
}

impl Dynacast {
    /// For a track published in these codecs, the main one first (`vp8`, `h264`, … as MIME types or
    /// bare names). A client begins with all layers, so nothing is told until they are too many.
    pub fn new(codecs: &[&str], now: Instant) -> Self {
        let state = |name: &&str| CodecState {
            name: bare(name),
            wanted: BTreeMap::new(),
            told: Some(VideoQuality::High),
            lower_at: Some(now + PAUSE_DELAY),
        };
        Self {
            codecs: codecs.iter().map(state).collect(),
        }
    }

    /// A subscriber (a key of the caller's) wants at most this quality in this codec; `Off` and an
    /// unsubscription are the same. Returns what to tell the publisher now. A codec that was not
    /// published counts as the main one.
    pub fn want(
        &mut self,
        subscriber: u64,
        codec: &str,
        quality: VideoQuality,
        now: Instant,
    ) -> Option<Vec<SubscribedCodec>> {
        let name = bare(codec);
        let at = self.codecs.iter().position(|c| c.name == name);
        for (index, state) in self.codecs.iter_mut().enumerate() {
            // One subscriber receives one codec.
            if index == at.unwrap_or(0) && quality != VideoQuality::Off {
                state.wanted.insert(subscriber, quality);
            } else {
                state.wanted.remove(&subscriber);
            }
        }
        self.poll(now)
    }

    /// Forgets a subscriber.
    pub fn remove(&mut self, subscriber: u64, now: Instant) -> Option<Vec<SubscribedCodec>> {
        self.want(subscriber, "", VideoQuality::Off, now)
    }

    /// What to tell the publisher now, if it changed: all codecs with all qualities.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<SubscribedCodec>> {
        let mut changed = false;
        for codec in &mut self.codecs {
            let wish = codec.wish();
            if rank(wish) >= rank(codec.told) {
                changed |= wish != codec.told;
                codec.told = wish;
                codec.lower_at = None;
            } else if *codec.lower_at.get_or_insert(now + PAUSE_DELAY) <= now {
                changed = true;
                codec.told = wish;
                codec.lower_at = None;
            }
        }
        changed.then(|| self.content())
    }

    /// When to call [`poll`](Self::poll).
    pub fn next_poll(&self) -> Option<Instant> {
        self.codecs.iter().filter_map(|c| c.lower_at).min()
    }

    /// What the publisher was told last, for a resumed session.
    pub fn content(&self) -> Vec<SubscribedCodec> {
        let qualities = |told: Level| {
            [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High]
                .map(|quality| SubscribedQuality {
                    quality: quality as i32,
                    enabled: rank(Some(quality)) <= rank(told),
                })
                .to_vec()
        };
        self.codecs
            .iter()
            .map(|codec| SubscribedCodec {
                codec: codec.name.clone(),
                qualities: qualities(codec.told),
            })
            .collect()
    }

    /// The signal message, with the main codec's qualities also in the old field.
    #[expect(
        deprecated,
        reason = "clients before protocol 9 read only the field without codecs"
    )]
    pub fn update(track_sid: &str, codecs: Vec<SubscribedCodec>) -> SubscribedQualityUpdate {
        SubscribedQualityUpdate {
            track_sid: track_sid.to_owned(),
            subscribed_qualities: codecs
                .first()
                .map(|codec| codec.qualities.clone())
                .unwrap_or_default(),
            subscribed_codecs: codecs,
        }
    }
}

/// Clients compare with `vp8`, not with `video/VP8`.
fn bare(codec: &str) -> String {
    let lower = codec.to_ascii_lowercase();
    lower.strip_prefix("video/").unwrap_or(&lower).to_owned()
}
