//! A published track and what is known of it.

use std::collections::HashMap;

use livekit_protocol as proto;
use str0m::format::CodecSpec;
use str0m::media::{MediaKind, Mid, Pt, Rid};

use super::recent::Recent;
use crate::forward::{Codec, Dynacast, KeyframeThrottle, LayerIndex, Layers};
use crate::peer::TrackKey;
use crate::signal::sdp::{Section, SectionKind};

/// A track between its announcement and its end.
pub(crate) struct Track {
    pub(crate) key: TrackKey,
    /// The participant who publishes it.
    pub(crate) owner: u64,
    /// The client's own id: the `msid` of its section.
    pub(crate) cid: String,
    pub(crate) info: proto::TrackInfo,
    /// The section it arrives on, once negotiated. A track is live, and others hear of it, from then on,
    /// not from its first packet: a muted track must be seen too.
    pub(crate) mid: Option<Mid>,
    /// How the client encodes it, per payload type, as seen on the wire.
    pub(crate) specs: HashMap<Pt, CodecSpec>,
    pub(crate) codec: Option<Codec>,
    pub(crate) layers: Layers,
    /// The restriction id under which each layer arrives, for asking keyframes of it.
    pub(crate) rids: Vec<(LayerIndex, Option<Rid>)>,
    pub(crate) keyframes: KeyframeThrottle,
    pub(crate) dynacast: Dynacast,
    /// What came lately, while somebody waits for a keyframe.
    pub(crate) recent: Recent,
    /// Who listens, in the order of their subscription.
    pub(crate) subscribers: Vec<u64>,
    /// Muted by the host's word: the client's own unmute does not lift it unless it may.
    pub(crate) muted_by_server: bool,
}

impl Track {
    pub(crate) fn kind(&self) -> MediaKind {
        if self.info.r#type == proto::TrackType::Video as i32 {
            MediaKind::Video
        } else {
            MediaKind::Audio
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.mid.is_some()
    }

    /// Whether the section `cid` of an offer belongs to this track.
    pub(crate) fn answers_to(&self, cid: &str) -> bool {
        self.cid == cid || self.info.codecs.iter().any(|codec| codec.cid == cid)
    }
}

/// Fills the parts of a track's description that its announcement decides.
pub(crate) fn describe(request: proto::AddTrackRequest, sid: String) -> proto::TrackInfo {
    let is_video = request.r#type == proto::TrackType::Video as i32;
    let family = if is_video { "video" } else { "audio" };
    let codecs = request
        .simulcast_codecs
        .iter()
        .map(|codec| proto::SimulcastCodecInfo {
            mime_type: mime(family, &codec.codec),
            cid: codec.cid.clone(),
            layers: if codec.layers.is_empty() {
                request.layers.clone()
            } else {
                codec.layers.clone()
            },
            video_layer_mode: codec.video_layer_mode,
            ..proto::SimulcastCodecInfo::default()
        })
        .collect::<Vec<_>>();
    let mime_type = codecs
        .first()
        .map(|codec| codec.mime_type.clone())
        .filter(|mime| !mime.is_empty())
        .unwrap_or_else(|| mime(family, if is_video { "vp8" } else { "opus" }));
    #[expect(deprecated, reason = "older clients read these fields still")]
    proto::TrackInfo {
        sid,
        r#type: request.r#type,
        name: request.name,
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: request.layers.len() > 1,
        disable_dtx: request.disable_dtx,
        source: request.source,
        layers: request.layers,
        mime_type,
        codecs,
        stereo: request.stereo,
        disable_red: request.disable_red,
        encryption: request.encryption,
        stream: request.stream,
        audio_features: request.audio_features,
        backup_codec_policy: request.backup_codec_policy,
        ..proto::TrackInfo::default()
    }
}

fn mime(family: &str, codec: &str) -> String {
    if codec.is_empty() {
        return String::new();
    }
    let name = codec.to_ascii_lowercase();
    let name = match name.as_str() {
        "vp8" | "vp9" | "av1" | "h264" | "h265" => name.to_ascii_uppercase(),
        _ => name,
    };
    format!("{family}/{name}")
}

/// The prefix of a track's server id, which clients and people read: kind and source.
pub(crate) fn sid_prefix(kind: i32, source: i32) -> &'static str {
    let video = kind == proto::TrackType::Video as i32;
    match (proto::TrackSource::try_from(source), video) {
        (Ok(proto::TrackSource::Camera), _) => "TR_VC",
        (Ok(proto::TrackSource::ScreenShare), _) => "TR_VS",
        (Ok(proto::TrackSource::Microphone), _) => "TR_AM",
        (Ok(proto::TrackSource::ScreenShareAudio), _) => "TR_AS",
        (_, true) => "TR_V",
        (_, false) => "TR_A",
    }
}

/// The codec that a video section prefers, in the spelling of MIME types.
pub(crate) fn video_codec(section: &Section) -> Option<&'static str> {
    if section.kind != SectionKind::Video {
        return None;
    }
    let known = ["VP8", "H264", "VP9", "AV1"];
    section.codecs.iter().find_map(|codec| {
        known
            .into_iter()
            .find(|name| codec.name.eq_ignore_ascii_case(name))
    })
}

/// The names of the codecs a track comes in, its main one first.
pub(crate) fn codecs(info: &proto::TrackInfo) -> Vec<&str> {
    if info.codecs.is_empty() {
        return vec![info.mime_type.as_str()];
    }
    info.codecs
        .iter()
        .map(|codec| codec.mime_type.as_str())
        .collect()
}

/// The layers a track was announced with.
pub(crate) fn layers(info: &proto::TrackInfo) -> &[proto::VideoLayer] {
    match info.codecs.first() {
        Some(codec) if !codec.layers.is_empty() => &codec.layers,
        _ =>
        {
            #[expect(deprecated, reason = "older clients announce layers here only")]
            &info.layers
        }
    }
}
