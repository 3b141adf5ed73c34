//! How often a publisher is asked for keyframes.

use std::time::{Duration, Instant};

use super::LayerIndex;

/// The least time between two requests for one layer. A keyframe costs several times a picture's
/// bytes; LiveKit's server throttles by 0.5 s (low layers) to 1 s.
const INTERVAL: Duration = Duration::from_millis(500);
/// After that long without a keyframe the request counts as lost and is repeated.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct Layer {
    waiting: bool,
    sent: Option<Instant>,
    /// A keyframe came since the last request.
    answered: bool,
}

impl Layer {
    fn due(&self) -> Option<Instant> {
        let sent = self.sent.filter(|_| self.waiting)?;
        Some(sent + if self.answered { INTERVAL } else { RETRY })
    }
}

/// Turns the wishes of all subscribers of one track into few requests (PLI) to its publisher.
///
/// At most one request per layer in 500 ms; one that comes sooner is remembered and issued when the
/// time is over, unless a keyframe came in between. A request is repeated every second until a
/// keyframe comes or nobody waits.
#[derive(Clone, Debug, Default)]
pub struct KeyframeThrottle {
    layers: Vec<Layer>,
}

impl KeyframeThrottle {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody needs a keyframe of this layer. True: send a PLI now.
    pub fn request(&mut self, layer: LayerIndex, now: Instant) -> bool {
        let at = usize::from(layer);
        if self.layers.len() <= at {
            self.layers.resize(at + 1, Layer::default());
        }
        self.layers[at].waiting = true;
        match self.layers[at].sent {
            None => {
                self.send(at, now);
                true
            }
            Some(_) => self.try_send(at, now),
        }
    }

    /// A keyframe of this layer began to arrive: nobody waits any more.
    pub fn keyframe(&mut self, layer: LayerIndex) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.waiting = false;
            layer.answered = true;
        }
    }

    /// Nobody needs a keyframe of this layer any more.
    pub fn cancel(&mut self, layer: LayerIndex) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.waiting = false;
        }
    }

    /// The layers to send a PLI for now, remembered or repeated.
    pub fn poll(&mut self, now: Instant) -> Vec<LayerIndex> {
        (0..self.layers.len())
            .filter(|at| self.try_send(*at, now))
            .map(|at| at as LayerIndex)
            .collect()
    }

    /// When to call [`poll`](Self::poll); nothing while nobody waits.
    pub fn next_poll(&self) -> Option<Instant> {
        self.layers.iter().filter_map(Layer::due).min()
    }

    fn try_send(&mut self, at: usize, now: Instant) -> bool {
        let due = self.layers[at].due().is_some_and(|due| due <= now);
        if due {
            self.send(at, now);
        }
        due
    }

    fn send(&mut self, at: usize, now: Instant) {
        self.layers[at].sent = Some(now);
        self.layers[at].answered = false;
    }
}
