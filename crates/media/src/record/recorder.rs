//! Records a meeting: packets in, bytes of files out, no IO.
//!
//! Files share one time line: a file's `start_ms` is where its beginning lies in the recording. Nothing of
//! a person is written without that person's consent, and consent has to be given before it counts; when
//! it is withdrawn, what waits in buffers is thrown away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::depacketize::VideoCodec;
use super::index::{ConsentSpan, FileKind, IndexedFile, IndexedParticipant, RecordingIndex};
use super::mix::Mix;
use super::spec::{
    Chunk, MAX_FILES, MAX_PARTICIPANTS, RecorderError, RecorderOutput, RecordingSpec, TrackCodec,
    TrackPacket, TrackStart,
};
use super::track::{AudioTrack, Output, VideoTrack};
use crate::audio::mixer::SourcePacket;

/// Key frames are asked for at most this often per track.
const KEY_FRAME_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Media {
    Audio(Box<AudioTrack>),
    Video(Box<VideoTrack>),
    /// Sound that only goes into the mix, or a kind that is not wanted.
    None,
}

#[derive(Debug)]
struct Track {
    participant: String,
    codec: TrackCodec,
    /// The number of the track in the mixer.
    source: u64,
    media: Media,
    key_frame_asked: Option<Instant>,
}

/// Records one meeting. See the module's description.
#[derive(Debug)]
pub struct Recorder {
    spec: RecordingSpec,
    started: Instant,
    latest: Instant,
    mix: Option<Mix>,
    tracks: BTreeMap<String, Track>,
    people: BTreeMap<String, Vec<ConsentSpan>>,
    names: BTreeSet<String>,
    ended: Vec<IndexedFile>,
    next_source: u64,
    chunks: VecDeque<Chunk>,
    wanted: VecDeque<String>,
    finished: bool,
}

impl Recorder {
    /// A recording that begins at `started`.
    ///
    /// # Errors
    /// When the codec cannot be made.
    pub fn new(spec: RecordingSpec, started: Instant) -> Result<Self, RecorderError> {
        let mix = if spec.mixed {
            Some(Mix::new(&spec, started)?)
        } else {
            None
        };
        Ok(Recorder {
            spec,
            started,
            latest: started,
            mix,
            tracks: BTreeMap::new(),
            people: BTreeMap::new(),
            names: BTreeSet::new(),
            ended: Vec::new(),
            next_source: 2,
            chunks: VecDeque::new(),
            wanted: VecDeque::new(),
            finished: false,
        })
    }

    /// A track begins. One of the same sid that did not end yet is ended.
    ///
    /// # Errors
    /// When the recording has too many files or participants, or the codec cannot be made.
    pub fn track_started(&mut self, start: TrackStart, now: Instant) -> Result<(), RecorderError> {
        self.track_ended(&start.track, now)?;
        if self.finished {
            return Ok(());
        }
        let TrackStart {
            participant,
            track,
            codec,
        } = start;
        self.person(&participant)?;
        let source = self.next_source;
        self.next_source += 1;
        let media = match codec {
            TrackCodec::Opus if self.spec.audio_tracks => {
                let output = self.output(&participant, &track, "ogg")?;
                let mut comments = self.spec.comments.clone();
                comments.push(("ARTIST".to_owned(), participant.clone()));
                // The mix has the serial 1.
                let serial = source as u32;
                let audio = AudioTrack::new(self.started, comments, serial, output);
                Media::Audio(Box::new(audio))
            }
            TrackCodec::Video(video) if self.spec.video_tracks => {
                let extension = if video == VideoCodec::H264 {
                    "mkv"
                } else {
                    "webm"
                };
                let output = self.output(&participant, &track, extension)?;
                Media::Video(Box::new(VideoTrack::new(video, self.started, output)))
            }
            _ => Media::None,
        };
        let allowed = self.allowed(&participant);
        let state = Track {
            participant,
            codec,
            source,
            media,
            key_frame_asked: None,
        };
        if allowed {
            join_mix(&mut self.mix, &state)?;
        }
        self.tracks.insert(track, state);
        Ok(())
    }

    /// A participant allows or forbids to be recorded from `now` on.
    ///
    /// # Errors
    /// When the recording has too many participants, or the codec cannot be made.
    pub fn consent(
        &mut self,
        participant: &str,
        allowed: bool,
        now: Instant,
    ) -> Result<(), RecorderError> {
        let at_ms = self.at_ms(now);
        let was_allowed = self.allowed(participant);
        let spans = self.person(participant)?;
        if was_allowed == allowed {
            return Ok(());
        }
        if !allowed {
            if let Some(span) = spans.last_mut() {
                span.to_ms = Some(at_ms.max(span.from_ms));
            }
        } else {
            spans.push(ConsentSpan {
                from_ms: at_ms,
                to_ms: None,
            });
        }
        if let (Some(mix), false) = (&mut self.mix, allowed) {
            mix.forget(participant);
        }
        for track in self
            .tracks
            .values_mut()
            .filter(|track| track.participant == participant)
        {
            if allowed {
                join_mix(&mut self.mix, track)?;
                continue;
            }
            if let Some(mix) = &mut self.mix {
                mix.remove(track.source);
            }
            match &mut track.media {
                Media::Audio(audio) => audio.silence(),
                Media::Video(video) => {
                    video.silence()?;
                    video.take(&mut self.chunks);
                }
                Media::None => {}
            }
        }
        Ok(())
    }

    /// A packet of a track. Packets of unknown tracks and of people who did not agree are ignored.
    ///
    /// # Errors
    /// When writing fails.
    pub fn packet(&mut self, track: &str, packet: TrackPacket) -> Result<(), RecorderError> {
        let Some(state) = self.tracks.get_mut(track) else {
            return Ok(());
        };
        let consented = self
            .people
            .get(&state.participant)
            .is_some_and(|spans| agreed(spans));
        if self.finished || !consented || packet.received < self.started {
            return Ok(());
        }
        let now = packet.received;
        match &mut state.media {
            Media::Audio(audio) => {
                audio.push(&packet);
                audio.write(Some(now))?;
                audio.take(&mut self.chunks);
            }
            Media::Video(video) => {
                video.push(&packet);
                video.write(Some(now))?;
                video.take(&mut self.chunks);
                let asked_lately = state
                    .key_frame_asked
                    .is_some_and(|asked| now.saturating_duration_since(asked) < KEY_FRAME_PAUSE);
                if video.wants_key_frame() && !asked_lately {
                    state.key_frame_asked = Some(now);
                    self.wanted.push_back(track.to_owned());
                }
            }
            Media::None => {}
        }
        if let (Some(mix), false) = (&mut self.mix, matches!(state.codec, TrackCodec::Video(_))) {
            let TrackPacket {
                seq,
                rtp_time,
                payload,
                received,
                red,
                ..
            } = packet;
            let packet = SourcePacket {
                seq,
                rtp_time,
                payload,
                red,
                arrived: received,
            };
            mix.insert(state.source, packet);
        }
        Ok(())
    }

    /// A track ends; its file is completed.
    ///
    /// # Errors
    /// When writing fails.
    pub fn track_ended(&mut self, track: &str, now: Instant) -> Result<(), RecorderError> {
        self.latest = self.latest.max(now);
        let Some(mut state) = self.tracks.remove(track) else {
            return Ok(());
        };
        match &mut state.media {
            Media::Audio(audio) => {
                audio.finish()?;
                audio.take(&mut self.chunks);
            }
            Media::Video(video) => video.finish(&mut self.chunks)?,
            Media::None => {}
        }
        if let Some(file) = indexed(track, &state) {
            self.ended.push(file);
        }
        if let Some(mix) = &mut self.mix {
            mix.leave(state.source, state.participant, now);
        }
        Ok(())
    }

    /// When [`Recorder::tick`] has something to do next.
    pub fn next_tick(&self) -> Instant {
        match &self.mix {
            Some(mix) if !self.finished => mix.next_due(),
            _ => self.latest + Duration::from_millis(200),
        }
    }

    /// Time passes: frames of the mix that are due are made, and packets that waited for others are
    /// written.
    ///
    /// # Errors
    /// When encoding or writing fails.
    pub fn tick(&mut self, now: Instant) -> Result<(), RecorderError> {
        if self.finished {
            return Ok(());
        }
        self.latest = self.latest.max(now);
        for track in self.tracks.values_mut() {
            match &mut track.media {
                Media::Audio(audio) => {
                    audio.write(Some(now))?;
                    audio.take(&mut self.chunks);
                }
                Media::Video(video) => {
                    video.write(Some(now))?;
                    video.take(&mut self.chunks);
                }
                Media::None => {}
            }
        }
        if let Some(mix) = &mut self.mix {
            mix.run_until(now, &mut self.chunks)?;
        }
        Ok(())
    }

    /// Ends all tracks and completes all files. Take the outputs afterwards.
    ///
    /// # Errors
    /// When encoding or writing fails.
    pub fn finish(&mut self, now: Instant) -> Result<RecordingIndex, RecorderError> {
        self.tick(now)?;
        let names: Vec<String> = self.tracks.keys().cloned().collect();
        for name in names {
            self.track_ended(&name, now)?;
        }
        if let Some(mix) = &mut self.mix {
            mix.finish(now, &mut self.chunks)?;
        }
        self.finished = true;
        Ok(self.index())
    }

    /// The next thing to do for the caller; call until `None` after every call that changes something.
    pub fn poll_output(&mut self) -> Option<RecorderOutput> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Some(RecorderOutput::Chunk(chunk));
        }
        let track = self.wanted.pop_front()?;
        Some(RecorderOutput::KeyFrameWanted { track })
    }

    /// The table of contents so far. Sizes count what was handed out.
    pub fn index(&self) -> RecordingIndex {
        let mut files = self.ended.clone();
        files.extend(
            self.tracks
                .iter()
                .filter_map(|(sid, track)| indexed(sid, track)),
        );
        if let Some(mix) = &self.mix {
            files.push(mix.indexed());
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let participants = self
            .people
            .iter()
            .map(|(identity, consent)| IndexedParticipant {
                identity: identity.clone(),
                consent: consent.clone(),
            })
            .collect();
        RecordingIndex {
            duration_ms: self.at_ms(self.latest),
            files,
            participants,
        }
    }

    fn person(&mut self, identity: &str) -> Result<&mut Vec<ConsentSpan>, RecorderError> {
        if self.people.len() >= MAX_PARTICIPANTS && !self.people.contains_key(identity) {
            return Err(RecorderError::TooMany("participants"));
        }
        Ok(self.people.entry(identity.to_owned()).or_default())
    }

    fn allowed(&self, participant: &str) -> bool {
        self.people
            .get(participant)
            .is_some_and(|spans| agreed(spans))
    }

    fn at_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn output(
        &mut self,
        participant: &str,
        track: &str,
        extension: &str,
    ) -> Result<Output, RecorderError> {
        if self.names.len() >= MAX_FILES {
            return Err(RecorderError::TooMany("files"));
        }
        let stem = format!("tracks/{}-{}", file_part(participant), file_part(track));
        let mut name = format!("{stem}.{extension}");
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{stem}-{number}.{extension}");
            number += 1;
        }
        Ok(Output {
            name: Arc::from(name),
            length: 0,
        })
    }
}

/// Lets a track be heard in the mix, if it is sound.
fn join_mix(mix: &mut Option<Mix>, track: &Track) -> Result<(), RecorderError> {
    if let (Some(mix), false) = (mix, matches!(track.codec, TrackCodec::Video(_))) {
        mix.join(track.source)?;
    }
    Ok(())
}

fn agreed(spans: &[ConsentSpan]) -> bool {
    spans.last().is_some_and(|span| span.to_ms.is_none())
}

/// A participant's or track's name as a part of a file's name.
fn file_part(name: &str) -> String {
    let part: String = name
        .chars()
        .take(64)
        .map(|letter| {
            let kept = letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
            if kept { letter } else { '_' }
        })
        .collect();
    if part.is_empty() {
        "_".to_owned()
    } else {
        part
    }
}

fn indexed(sid: &str, track: &Track) -> Option<IndexedFile> {
    let (kind, output, (start_ms, duration_ms)) = match &track.media {
        Media::Audio(audio) => (FileKind::Audio, &audio.output, audio.span_ms()?),
        Media::Video(video) => (FileKind::Video, &video.output, video.span_ms()?),
        Media::None => return None,
    };
    Some(IndexedFile {
        name: output.name.to_string(),
        kind,
        participant: Some(track.participant.clone()),
        track: Some(sid.to_owned()),
        start_ms,
        duration_ms,
        size_bytes: output.length,
    })
}
