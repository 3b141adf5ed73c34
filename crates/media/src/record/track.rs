//! One participant's track on its way into one file, untouched.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::depacketize::{Depacketizer, KeyFrame, VideoCodec, VideoFrame, VideoPacket};
use super::ogg::{COMMON_PRE_SKIP, OggOptions, OggOpusWriter};
use super::reorder::Reorder;
use super::spec::{Chunk, TrackPacket};
use super::webm::{WebmOptions, WebmTrack, WebmVideoCodec, WebmWriter};
use crate::audio::clock::RtpClock;
use crate::audio::opus::{SAMPLE_RATE_HZ, packet_facts};
use crate::audio::red::unwrap_red;

/// How long a file waits for a packet that is missing: longer than a repair by NACK takes.
const HOLD: Duration = Duration::from_millis(500);

const VIDEO_RATE_HZ: u32 = 90_000;

/// A video frame whose successor is unknown is taken to last this long.
const FRAME_MS: u64 = 33;

/// Bytes of a file that were not handed out yet.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) name: Arc<str>,
    /// The file's length as far as handed out.
    pub(super) length: u64,
}

impl Output {
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>, chunks: &mut VecDeque<Chunk>) {
        if bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(bytes);
        let at = self.length;
        self.length += bytes.len() as u64;
        chunks.push_back(Chunk {
            file: Arc::clone(&self.name),
            at,
            bytes,
        });
    }
}

/// An Opus track.
#[derive(Debug)]
pub(super) struct AudioTrack {
    clock: RtpClock,
    /// Packets with their places on the wall clock, in samples since the recording began.
    queue: Reorder<(i64, Arc<[u8]>)>,
    writer: Option<OggOpusWriter<Vec<u8>>>,
    /// The wall time of the file's beginning, in samples since the recording began.
    start: u64,
    comments: Vec<(String, String)>,
    serial: u32,
    pub(super) output: Output,
}

impl AudioTrack {
    pub(super) fn new(
        origin: Instant,
        comments: Vec<(String, String)>,
        serial: u32,
        output: Output,
    ) -> Self {
        AudioTrack {
            clock: RtpClock::new(SAMPLE_RATE_HZ, origin),
            queue: Reorder::new(HOLD),
            writer: None,
            start: 0,
            comments,
            serial,
            output,
        }
    }

    pub(super) fn push(&mut self, packet: &TrackPacket) {
        let Some(placement) = self.clock.place(packet.rtp_time, packet.received) else {
            return;
        };
        if !packet.red {
            let item = (placement.wall, Arc::clone(&packet.payload));
            self.queue.push(packet.seq, packet.received, item);
            return;
        }
        let Some(red) = unwrap_red(&packet.payload) else {
            return;
        };
        let count = red.redundant.len() as u64;
        for (index, block) in red.redundant.iter().enumerate() {
            // Blocks are the packets just before; the queue drops those that are there.
            let Some(seq) = packet.seq.checked_sub(count - index as u64) else {
                continue;
            };
            let wall = placement.wall - i64::from(block.timestamp_offset);
            self.queue
                .push(seq, packet.received, (wall, Arc::from(block.payload)));
        }
        let item = (placement.wall, Arc::from(red.primary));
        self.queue.push(packet.seq, packet.received, item);
    }

    /// Writes what may be written at `now`, or everything.
    pub(super) fn write(&mut self, now: Option<Instant>) -> io::Result<()> {
        loop {
            let next = match now {
                Some(now) => self.queue.pop(now),
                None => self.queue.pop_any(),
            };
            let Some(((wall, payload), _)) = next else {
                return Ok(());
            };
            let Ok(facts) = packet_facts(&payload) else {
                continue;
            };
            let wall = u64::try_from(wall).unwrap_or(0);
            let writer = match &mut self.writer {
                Some(writer) => writer,
                None => {
                    self.start = wall;
                    let options = OggOptions {
                        layout: facts.layout,
                        pre_skip: COMMON_PRE_SKIP,
                        serial: self.serial,
                        comments: std::mem::take(&mut self.comments),
                    };
                    self.writer
                        .insert(OggOpusWriter::new(Vec::new(), &options)?)
                }
            };
            writer.packet(wall.saturating_sub(self.start), &payload)?;
        }
    }

    /// Forgets what waits.
    pub(super) fn silence(&mut self) {
        self.queue.clear();
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.write(None)?;
        self.writer.as_mut().map_or(Ok(()), OggOpusWriter::finish)
    }

    pub(super) fn take(&mut self, chunks: &mut VecDeque<Chunk>) {
        if let Some(writer) = &mut self.writer {
            self.output.take(writer.sink(), chunks);
        }
    }

    /// Start and duration in ms, once there is a file.
    pub(super) fn span_ms(&self) -> Option<(u64, u64)> {
        let writer = self.writer.as_ref()?;
        Some((self.start / 48, writer.position() / 48))
    }
}

struct QueuedVideo {
    wall: i64,
    rtp_time: u32,
    marker: bool,
    payload: Arc<[u8]>,
}

/// A video track.
pub(super) struct VideoTrack {
    codec: VideoCodec,
    clock: RtpClock,
    queue: Reorder<QueuedVideo>,
    depacketizer: Depacketizer,
    writer: Option<WebmWriter<Vec<u8>>>,
    /// The wall time of the file's beginning, in ticks of 90 kHz since the recording began.
    start: i64,
    pub(super) output: Output,
}

impl VideoTrack {
    pub(super) fn new(codec: VideoCodec, origin: Instant, output: Output) -> Self {
        VideoTrack {
            codec,
            clock: RtpClock::new(VIDEO_RATE_HZ, origin),
            queue: Reorder::new(HOLD),
            depacketizer: Depacketizer::new(codec),
            writer: None,
            start: 0,
            output,
        }
    }

    pub(super) fn push(&mut self, packet: &TrackPacket) {
        let Some(placement) = self.clock.place(packet.rtp_time, packet.received) else {
            return;
        };
        let queued = QueuedVideo {
            wall: placement.wall,
            rtp_time: packet.rtp_time,
            marker: packet.marker,
            payload: Arc::clone(&packet.payload),
        };
        self.queue.push(packet.seq, packet.received, queued);
    }

    pub(super) fn write(&mut self, now: Option<Instant>) -> io::Result<()> {
        loop {
            let next = match now {
                Some(now) => self.queue.pop(now),
                None => self.queue.pop_any(),
            };
            let Some((packet, missing)) = next else {
                return Ok(());
            };
            let frame = self.depacketizer.push(VideoPacket {
                rtp_time: packet.rtp_time,
                marker: packet.marker,
                payload: &packet.payload,
                missing,
            });
            if let Some(frame) = frame {
                self.write_frame(packet.wall, &frame)?;
            }
        }
    }

    fn write_frame(&mut self, wall: i64, frame: &VideoFrame) -> io::Result<()> {
        let writer = match (&mut self.writer, &frame.key) {
            (Some(writer), _) => writer,
            (None, Some(key)) => {
                self.start = wall;
                let options = WebmOptions {
                    video: Some((webm_codec(self.codec, key), key.size)),
                    audio: None,
                };
                self.writer.insert(WebmWriter::new(Vec::new(), &options)?)
            }
            (None, None) => return Ok(()),
        };
        let at_ms = u64::try_from((wall - self.start) / 90).unwrap_or(0);
        writer.frame(
            WebmTrack::Video,
            at_ms,
            FRAME_MS,
            frame.key.is_some(),
            &frame.data,
        )
    }

    /// Whether the sender should be asked for a key frame.
    pub(super) fn wants_key_frame(&self) -> bool {
        self.depacketizer.waits_for_key_frame()
    }

    /// Forgets what waits, and closes the cluster of what was written.
    pub(super) fn silence(&mut self) -> io::Result<()> {
        self.queue.clear();
        self.depacketizer.reset();
        self.writer.as_mut().map_or(Ok(()), WebmWriter::flush)
    }

    pub(super) fn finish(&mut self, chunks: &mut VecDeque<Chunk>) -> io::Result<()> {
        self.write(None)?;
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let patches = writer.finish()?;
        self.output.take(writer.sink(), chunks);
        for patch in patches {
            let file = Arc::clone(&self.output.name);
            chunks.push_back(Chunk {
                file,
                at: patch.at,
                bytes: patch.bytes,
            });
        }
        Ok(())
    }

    pub(super) fn take(&mut self, chunks: &mut VecDeque<Chunk>) {
        if let Some(writer) = &mut self.writer {
            self.output.take(writer.sink(), chunks);
        }
    }

    pub(super) fn span_ms(&self) -> Option<(u64, u64)> {
        let writer = self.writer.as_ref()?;
        Some((
            u64::try_from(self.start / 90).unwrap_or(0),
            writer.duration_ms(),
        ))
    }
}

impl std::fmt::Debug for VideoTrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoTrack")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

fn webm_codec(codec: VideoCodec, key: &KeyFrame) -> WebmVideoCodec {
    match codec {
        VideoCodec::Vp8 => WebmVideoCodec::Vp8,
        VideoCodec::Vp9 => WebmVideoCodec::Vp9,
        VideoCodec::H264 => WebmVideoCodec::H264 {
            configuration: key.configuration.clone(),
        },
    }
}
