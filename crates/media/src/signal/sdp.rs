//! What the media engine hides of a session description, and the one rewrite that it does not do.
//!
//! Every function is total: a description that is too long or has too many sections is refused, any other
//! text gives what can be read of it.

use std::collections::HashMap;

/// The longest description that is read, in bytes: some thousand sections with their codecs would be larger.
pub const MAX_SDP_BYTES: usize = 1024 * 1024;
/// The most media sections of one description.
pub const MAX_SECTIONS: usize = 1024;
/// The most codecs, and the most rids, that are kept of one section; the rest is left out.
const MAX_PER_SECTION: usize = 256;

/// A description that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Longer than [`MAX_SDP_BYTES`].
    #[error("session description is longer than {MAX_SDP_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_SECTIONS`] sections.
    #[error("session description has more than {MAX_SECTIONS} media sections")]
    TooManySections,
    /// A sid to be written into an answer is no token: it would end its line or its field.
    #[error("a sid holds a character that a session description cannot carry")]
    BadSid,
}

/// The kind of a media section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SectionKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// `m=application`: data channels.
    Application,
    /// Anything else.
    #[default]
    Other,
}

/// Who sends in a section, seen by the description's author.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both sides; also when nothing is said (RFC 8866).
    #[default]
    SendRecv,
    /// The author.
    SendOnly,
    /// The other side.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    fn parse(line: &str) -> Option<Self> {
        match line {
            "a=sendrecv" => Some(Self::SendRecv),
            "a=sendonly" => Some(Self::SendOnly),
            "a=recvonly" => Some(Self::RecvOnly),
            "a=inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// Whether the author sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// One codec of a section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SectionCodec {
    /// The payload type, 0–127.
    pub payload_type: u8,
    /// The name as written (`opus`, `VP8`, `rtx`).
    pub name: String,
    /// The clock rate in Hz.
    pub clock_rate_hz: u32,
    /// The channels; 1 if nothing is said.
    pub channels: u8,
    /// The format parameters; empty if there are none.
    pub fmtp: String,
}

impl SectionCodec {
    /// Whether the parameters hold `name=value`.
    fn has(&self, name: &str, value: &str) -> bool {
        self.fmtp.split(';').any(|pair| {
            pair.split_once('=')
                .is_some_and(|(n, v)| n.trim().eq_ignore_ascii_case(name) && v.trim() == value)
        })
    }
}

/// What is known of one media section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The `a=mid`; empty if there is none.
    pub mid: String,
    /// Audio, video or data.
    pub kind: SectionKind,
    /// Who sends.
    pub direction: Direction,
    /// Whether the section is rejected or was ended: port 0 outside a bundle.
    pub rejected: bool,
    /// The first part of `a=msid`: the media stream; empty if there is none.
    pub stream_id: String,
    /// The second part of `a=msid`: the client's track id, the `cid` of its `AddTrackRequest`; empty if there is none.
    pub track_id: String,
    /// The rids that the author sends, in its order (`q`, `h`, `f`).
    pub send_rids: Vec<String>,
    /// The codecs in the author's order of preference.
    pub codecs: Vec<SectionCodec>,
}

impl Section {
    /// Opus in stereo is wanted or sent.
    pub fn stereo(&self) -> bool {
        self.opus(|codec| codec.has("stereo", "1") || codec.has("sprop-stereo", "1"))
    }

    /// Opus goes silent between words.
    pub fn dtx(&self) -> bool {
        self.opus(|codec| codec.has("usedtx", "1"))
    }

    /// Redundant audio (RFC 2198) is offered.
    pub fn red(&self) -> bool {
        self.codecs
            .iter()
            .any(|codec| codec.name.eq_ignore_ascii_case("red"))
    }

    fn opus(&self, test: impl Fn(&SectionCodec) -> bool) -> bool {
        self.codecs
            .iter()
            .any(|codec| codec.name.eq_ignore_ascii_case("opus") && test(codec))
    }
}

/// Lists the media sections.
///
/// # Errors
/// When the description is too long or has too many sections.
pub fn sections(sdp: &str) -> Result<Vec<Section>, SdpError> {
    if sdp.len() > MAX_SDP_BYTES {
        return Err(SdpError::TooLong);
    }
    let mut sections: Vec<Section> = Vec::new();
    let mut default_direction = Direction::default();
    for line in lines(sdp) {
        if let Some(media) = line.strip_prefix("m=") {
            if sections.len() == MAX_SECTIONS {
                return Err(SdpError::TooManySections);
            }
            sections.push(begin(media, default_direction));
        } else if let Some(section) = sections.last_mut() {
            read(section, line);
        } else if let Some(direction) = Direction::parse(line) {
            default_direction = direction;
        }
    }
    Ok(sections)
}

/// Lines end with CR LF, LF or a lone CR; none of them can hide inside one.
fn lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.split(['\r', '\n']).filter(|line| !line.is_empty())
}

fn begin(media: &str, direction: Direction) -> Section {
    let mut fields = media.split(' ');
    let kind = match fields.next() {
        Some("audio") => SectionKind::Audio,
        Some("video") => SectionKind::Video,
        Some("application") => SectionKind::Application,
        _ => SectionKind::Other,
    };
    let rejected = fields.next() == Some("0");
    let codecs = fields
        .skip(1)
        .filter_map(|payload_type| payload_type.parse().ok())
        .take(MAX_PER_SECTION)
        .map(|payload_type| SectionCodec {
            payload_type,
            channels: 1,
            ..SectionCodec::default()
        })
        .collect();
    Section {
        kind,
        direction,
        rejected,
        codecs,
        ..Section::default()
    }
}

fn read(section: &mut Section, line: &str) {
    if let Some(mid) = line.strip_prefix("a=mid:") {
        section.mid = mid.trim().to_owned();
    } else if let Some(msid) = line.strip_prefix("a=msid:") {
        take_msid(section, msid);
    } else if let Some(ssrc) = line.strip_prefix("a=ssrc:") {
        // Old clients say it only here.
        if let Some((_, msid)) = ssrc.split_once(" msid:")
            && section.track_id.is_empty()
        {
            take_msid(section, msid);
        }
    } else if let Some(rid) = line.strip_prefix("a=rid:") {
        let mut fields = rid.split(' ');
        if let (Some(id), Some("send")) = (fields.next(), fields.next())
            && section.send_rids.len() < MAX_PER_SECTION
        {
            section.send_rids.push(id.to_owned());
        }
    } else if let Some((codec, name)) = codec_line(section, line, "a=rtpmap:") {
        let mut fields = name.split('/');
        codec.name = fields.next().unwrap_or_default().to_owned();
        codec.clock_rate_hz = fields
            .next()
            .and_then(|rate| rate.parse().ok())
            .unwrap_or(0);
        codec.channels = fields
            .next()
            .and_then(|channels| channels.parse().ok())
            .unwrap_or(1);
    } else if let Some((codec, fmtp)) = codec_line(section, line, "a=fmtp:") {
        codec.fmtp = fmtp.to_owned();
    } else if let Some(direction) = Direction::parse(line) {
        section.direction = direction;
    }
}

fn take_msid(section: &mut Section, msid: &str) {
    let mut fields = msid.split_whitespace();
    section.stream_id = fields.next().unwrap_or_default().to_owned();
    section.track_id = fields.next().unwrap_or_default().to_owned();
}

/// The codec that `prefix<payload type> <rest>` speaks of, and the rest.
fn codec_line<'s, 'l>(
    section: &'s mut Section,
    line: &'l str,
    prefix: &str,
) -> Option<(&'s mut SectionCodec, &'l str)> {
    let (payload_type, rest) = line.strip_prefix(prefix)?.split_once(' ')?;
    let payload_type: u8 = payload_type.parse().ok()?;
    let codec = section
        .codecs
        .iter_mut()
        .find(|codec| codec.payload_type == payload_type)?;
    Some((codec, rest.trim()))
}

/// The track that the server sends on a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedTrack {
    /// The publisher's `PA_…`.
    pub participant_sid: String,
    /// The track's `TR_…`.
    pub track_sid: String,
}

/// Rewrites the server's answer for a client with one peer connection: a section on which a track is sent
/// (`assigned`, by mid) gets the msid `PA_…|TR_…` `TR_…`, by which clients find the publisher and notice
/// that the section was reused; one on which nothing is sent stops sending, so that clients do not make
/// a track of it. Lines end with CR LF afterwards.
///
/// # Errors
/// When the answer is too long, has too many sections, or a sid is no token.
pub fn rewrite_answer(
    sdp: &str,
    assigned: &HashMap<String, AssignedTrack>,
) -> Result<String, SdpError> {
    let sections = sections(sdp)?;
    if assigned
        .values()
        .any(|track| !is_token(&track.participant_sid) || !is_token(&track.track_sid))
    {
        return Err(SdpError::BadSid);
    }
    let mut out = String::with_capacity(sdp.len() + sections.len() * 64);
    let mut following = sections.iter();
    let mut edit = Edit::None;
    for line in lines(sdp) {
        if line.starts_with("m=") {
            edit.end(&mut out);
            edit = following
                .next()
                .map_or(Edit::None, |section| Edit::of(section, assigned));
        }
        edit.line(line, &mut out);
    }
    edit.end(&mut out);
    Ok(out)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

/// What happens to the lines of one section.
enum Edit {
    None,
    /// Give it this msid; `said` once it is written.
    Name {
        msid: String,
        said: bool,
    },
    /// Stop sending, with this line for the direction; `said` once it is written.
    Silence {
        direction: &'static str,
        said: bool,
    },
}

impl Edit {
    fn of(section: &Section, assigned: &HashMap<String, AssignedTrack>) -> Self {
        let media = matches!(section.kind, SectionKind::Audio | SectionKind::Video);
        if !media || !section.direction.sends() {
            return Self::None;
        }
        match assigned.get(&section.mid) {
            Some(track) => Self::Name {
                msid: format!(
                    "{}|{} {}",
                    track.participant_sid, track.track_sid, track.track_sid
                ),
                said: false,
            },
            None if section.direction == Direction::SendRecv => Self::Silence {
                direction: "a=recvonly",
                said: false,
            },
            None => Self::Silence {
                direction: "a=inactive",
                said: false,
            },
        }
    }

    fn line(&mut self, line: &str, out: &mut String) {
        match self {
            Self::None => push(out, line),
            Self::Name { msid, said } => {
                if line.starts_with("a=msid:") {
                    return;
                }
                if let Some((ssrc, _)) = line.split_once(" msid:")
                    && line.starts_with("a=ssrc:")
                {
                    push(out, &format!("{ssrc} msid:{msid}"));
                    return;
                }
                push(out, line);
                if Direction::parse(line).is_some() && !*said {
                    *said = true;
                    push(out, &format!("a=msid:{msid}"));
                }
            }
            Self::Silence { direction, said } => {
                if line.starts_with("a=msid:") || line.starts_with("a=ssrc") {
                    return;
                }
                if Direction::parse(line).is_some() {
                    if !*said {
                        *said = true;
                        push(out, direction);
                    }
                    return;
                }
                push(out, line);
            }
        }
    }

    /// The section ends: says what no line gave the occasion to say.
    fn end(&mut self, out: &mut String) {
        match self {
            Self::Name { msid, said: false } => push(out, &format!("a=msid:{msid}")),
            Self::Silence {
                direction,
                said: false,
            } => push(out, direction),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "sdp_tests.rs"]
mod tests;
