//! The layers of a published track: their names, sizes and what flows in them.

use std::time::{Duration, Instant};

use livekit_protocol::{UpdateTrackSettings, VideoLayer, VideoQuality};

/// A simulcast layer of a track, counted from the smallest (0).
pub type LayerIndex = u8;

/// More layers than LiveKit's clients publish are not looked at.
const MAX_LAYERS: usize = 3;
const MAX_TEMPORAL: usize = 4;
/// Eight buckets of a quarter second: two seconds even out keyframes and screen sharing.
const BUCKETS: usize = 8;
const BUCKET: Duration = Duration::from_millis(250);
/// A layer that was silent for so long while another flowed was stopped by its publisher.
const STOPPED: Duration = Duration::from_millis(1_500);
/// What a layer is taken to cost before it was seen or announced, in bit/s (LiveKit's 180p, 360p and
/// 720p presets).
const DEFAULT_BPS: [u64; MAX_LAYERS] = [160_000, 450_000, 1_700_000];

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    bytes: u32,
    pictures: u16,
}

#[derive(Clone, Debug)]
struct Layer {
    quality: VideoQuality,
    rid: String,
    width: u32,
    height: u32,
    announced_bps: u64,
    counts: [[Count; MAX_TEMPORAL]; BUCKETS],
    /// The bucket number, counted from the track's beginning, that was written last.
    bucket: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// What a subscriber asked for, in the track's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// False: it wants nothing now.
    pub enabled: bool,
    /// The highest layer worth sending.
    pub max_layer: LayerIndex,
    /// The highest quality worth publishing, for [`Dynacast`](super::Dynacast).
    pub quality: VideoQuality,
    /// Pictures per second worth sending; 0 = all.
    pub max_fps: u32,
}

/// Everything known of the layers of one published video track.
#[derive(Clone, Debug)]
pub struct Layers {
    layers: Vec<Layer>,
    began: Instant,
}

impl Layers {
    /// From `TrackInfo.layers` (or a codec's); without any, one layer of high quality.
    pub fn new(announced: &[VideoLayer], now: Instant) -> Self {
        let mut sorted: Vec<&VideoLayer> = announced
            .iter()
            .filter(|layer| layer.quality() != VideoQuality::Off)
            .collect();
        sorted.sort_by_key(|layer| layer.quality);
        sorted.dedup_by_key(|layer| layer.quality);
        let single = VideoLayer {
            quality: VideoQuality::High as i32,
            ..VideoLayer::default()
        };
        if sorted.is_empty() {
            sorted.push(&single);
        }
        let layer = |layer: &VideoLayer| Layer {
            quality: layer.quality(),
            rid: layer.rid.clone(),
            width: layer.width,
            height: layer.height,
            announced_bps: u64::from(layer.bitrate),
            counts: [[Count::default(); MAX_TEMPORAL]; BUCKETS],
            bucket: 0,
            first: None,
            last: None,
        };
        Self {
            layers: sorted.into_iter().take(MAX_LAYERS).map(layer).collect(),
            began: now,
        }
    }

    /// Takes sizes and bitrates from `update_layers`; the set of layers stays.
    pub fn update(&mut self, announced: &[VideoLayer]) {
        for new in announced {
            if let Some(layer) = self.layers.iter_mut().find(|l| l.quality == new.quality()) {
                layer.width = new.width;
                layer.height = new.height;
                layer.announced_bps = u64::from(new.bitrate);
            }
        }
    }

    /// How many layers there are, at least 1.
    pub fn count(&self) -> LayerIndex {
        self.layers.len() as LayerIndex
    }

    /// The layer of a stream with this rid: as announced, else `q`, `h`, `f` from below. A stream
    /// without rid is the only layer. Nothing for a rid nobody announced.
    pub fn by_rid(&self, rid: Option<&str>) -> Option<LayerIndex> {
        let Some(rid) = rid else { return Some(0) };
        let announced = self.layers.iter().position(|layer| layer.rid == rid);
        announced
            .or_else(|| ["q", "h", "f"].iter().position(|name| *name == rid))
            .filter(|at| *at < self.layers.len())
            .map(|at| at as LayerIndex)
    }

    /// The quality clients know a layer by.
    pub fn quality(&self, layer: LayerIndex) -> VideoQuality {
        self.layers
            .get(usize::from(layer))
            .map_or(VideoQuality::Off, |layer| layer.quality)
    }

    /// The highest layer of at most this quality; the lowest if all are above it.
    pub fn by_quality(&self, quality: VideoQuality) -> LayerIndex {
        let at = self
            .layers
            .iter()
            .rposition(|l| l.quality as i32 <= quality as i32);
        at.unwrap_or(0) as LayerIndex
    }

    /// The smallest layer that fills this size in pixels, in either orientation; the highest if none
    /// does or sizes are unknown.
    pub fn by_size(&self, width: u32, height: u32) -> LayerIndex {
        let (long, short) = (width.max(height), width.min(height));
        let fills = |l: &Layer| l.width.max(l.height) >= long && l.width.min(l.height) >= short;
        let at = self.layers.iter().position(fills);
        at.unwrap_or(self.layers.len() - 1) as LayerIndex
    }

    /// What `track_setting` means for this track. A size counts before a quality, as in LiveKit.
    pub fn wish(&self, settings: &UpdateTrackSettings) -> Wish {
        let max_layer = if settings.width > 0 && settings.height > 0 {
            self.by_size(settings.width, settings.height)
        } else {
            self.by_quality(settings.quality())
        };
        let enabled = !settings.disabled && settings.quality() != VideoQuality::Off;
        Wish {
            enabled,
            max_layer,
            quality: if enabled {
                self.quality(max_layer)
            } else {
                VideoQuality::Off
            },
            max_fps: settings.fps,
        }
    }

    /// Counts a packet: its payload's bytes, its temporal layer, whether it begins a picture.
    pub fn packet(
        &mut self,
        layer: LayerIndex,
        temporal: u8,
        bytes: usize,
        picture: bool,
        now: Instant,
    ) {
        let number = self.number(now);
        let Some(layer) = self.layers.get_mut(usize::from(layer)) else {
            return;
        };
        layer.advance(number);
        let temporal = usize::from(temporal).min(MAX_TEMPORAL - 1);
        let count = &mut layer.counts[number as usize % BUCKETS][temporal];
        count.bytes = count.bytes.saturating_add(bytes as u32);
        count.pictures = count.pictures.saturating_add(u16::from(picture));
        layer.first.get_or_insert(now);
        layer.last = Some(now);
    }

    /// Whether a layer flows: it was seen, and not silent for 1.5 s while another flowed. A muted
    /// track keeps its layers.
    pub fn live(&self, layer: LayerIndex) -> bool {
        let last = |l: &Layer| l.last;
        let newest = self.layers.iter().filter_map(last).max();
        let this = self.layers.get(usize::from(layer)).and_then(last);
        match (this, newest) {
            (Some(this), Some(newest)) => newest.saturating_duration_since(this) < STOPPED,
            _ => false,
        }
    }

    /// Bit/s of a layer up to a temporal layer (`u8::MAX`: all) over the last two seconds; nothing
    /// before it was seen for half a second.
    pub fn measured_bps(&self, layer: LayerIndex, temporal: u8, now: Instant) -> Option<u64> {
        let (seconds, counts) = self.window(layer, temporal, now)?;
        let bytes: u64 = counts.map(|count| u64::from(count.bytes)).sum();
        Some((bytes as f64 * 8.0 / seconds) as u64)
    }

    /// Pictures/s of a layer up to a temporal layer, like [`measured_bps`](Self::measured_bps).
    pub fn measured_fps(&self, layer: LayerIndex, temporal: u8, now: Instant) -> Option<f64> {
        let (seconds, counts) = self.window(layer, temporal, now)?;
        let pictures: u32 = counts.map(|count| u32::from(count.pictures)).sum();
        Some(f64::from(pictures) / seconds)
    }

    /// What a layer costs in bit/s: measured while it flows, else announced, else LiveKit's preset.
    pub fn bps(&self, layer: LayerIndex, now: Instant) -> u64 {
        let at = usize::from(layer);
        let measured = self
            .measured_bps(layer, u8::MAX, now)
            .filter(|bps| *bps > 0 && self.live(layer));
        let announced = || self.layers.get(at).map(|l| l.announced_bps);
        measured
            .or_else(|| announced().filter(|bps| *bps > 0))
            .unwrap_or_else(|| DEFAULT_BPS[at.min(MAX_LAYERS - 1)])
    }

    /// The highest temporal layer that keeps a layer within `max_fps` (0 = any), with a tenth to
    /// spare; the base layer always goes. `u8::MAX` if nothing need be left out.
    pub fn temporal_for_fps(&self, layer: LayerIndex, max_fps: u32, now: Instant) -> u8 {
        let fits = |temporal: u8| {
            self.measured_fps(layer, temporal, now)
                .is_none_or(|fps| fps <= f64::from(max_fps) * 1.1)
        };
        if max_fps == 0 || fits(u8::MAX) {
            return u8::MAX;
        }
        (0..MAX_TEMPORAL as u8)
            .rev()
            .find(|t| fits(*t))
            .unwrap_or(0)
    }

    fn number(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        (passed.as_millis() / BUCKET.as_millis()) as u64
    }

    /// The seconds covered and the counts of a layer's last full buckets.
    fn window(
        &self,
        layer: LayerIndex,
        temporal: u8,
        now: Instant,
    ) -> Option<(f64, impl Iterator<Item = &Count>)> {
        let layer = self.layers.get(usize::from(layer))?;
        let number = self.number(now);
        let begun = self.number(layer.first?);
        // The bucket of now is not full, that of the beginning was not begun in full.
        let from = (begun + 1).max(number.saturating_sub(BUCKETS as u64 - 1));
        if number < from + 2 {
            return None;
        }
        let seconds = (number - from) as f64 * BUCKET.as_secs_f64();
        let oldest = (layer.bucket + 1).saturating_sub(BUCKETS as u64);
        let counts = (from.max(oldest)..number.min(layer.bucket + 1)).flat_map(move |n| {
            layer.counts[n as usize % BUCKETS]
                .iter()
                .take(usize::from(temporal) + 1)
        });
        Some((seconds, counts))
    }
}

impl Layer {
    /// Empties the buckets between the last one written and this one.
    fn advance(&mut self, number: u64) {
        let skipped = number.saturating_sub(self.bucket).min(BUCKETS as u64);
        for n in 0..skipped {
            self.counts[(number - n) as usize % BUCKETS] = Default::default();
        }
        self.bucket = self.bucket.max(number);
    }
}
