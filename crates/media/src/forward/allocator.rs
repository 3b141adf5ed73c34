//! Dividing one subscriber's bandwidth among the videos it wants.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use livekit_protocol::StreamState;

use super::LayerIndex;

/// The share of the estimate that may be planned for when rising; the rest covers audio, keyframes
/// and the estimate's error.
const RISE_SHARE: f64 = 0.85;
/// The share above the estimate that is borne for a while: rates and estimates waver.
const TOLERANCE: f64 = 1.10;
const TOLERATED: Duration = Duration::from_secs(1);
/// Between two rises, so that the estimate shows what the last one did.
const STEP: Duration = Duration::from_secs(1);
/// After a fall; doubled while each rise is followed by a fall.
const MIN_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A fall so soon after a rise was caused by it.
const FAILED_RISE: Duration = Duration::from_secs(10);

/// What a layer costs now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerRate {
    /// Bit/s, measured or announced ([`Layers::bps`](super::Layers::bps)).
    pub bps: u64,
    /// Whether it flows ([`Layers::live`](super::Layers::live)).
    pub live: bool,
}

/// A video subscription.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The caller's key, the same over the subscription's life.
    pub key: u64,
    /// Screens come before cameras.
    pub screen: bool,
    /// `track_setting.priority`, the higher the earlier, as the real server sorts (the protocol's
    /// comment says the opposite); 0 = unset.
    pub priority: u32,
    /// False while the subscriber disabled it or the publisher muted it.
    pub enabled: bool,
    /// The highest layer worth sending.
    pub max_layer: LayerIndex,
    /// The track's layers from the smallest.
    pub layers: Vec<LayerRate>,
}

impl Wanted {
    fn bps(&self, layer: LayerIndex) -> u64 {
        self.layers.get(usize::from(layer)).map_or(0, |l| l.bps)
    }

    /// The layers that can be sent: those that flow, up to the wanted one. If none of these flows,
    /// the lowest that does; if nothing flows yet, the lowest.
    fn usable(&self, layer: LayerIndex) -> bool {
        let live = |at: usize| self.layers.get(at).is_some_and(|l| l.live);
        let at = usize::from(layer);
        let max = usize::from(self.max_layer);
        if (0..=max).any(live) {
            return at <= max && live(at);
        }
        at == (0..self.layers.len()).find(|at| live(*at)).unwrap_or(0)
    }

    fn ladder(&self) -> impl DoubleEndedIterator<Item = LayerIndex> {
        (0..self.layers.len().clamp(1, usize::from(u8::MAX)) as LayerIndex)
            .filter(|layer| self.usable(*layer))
    }

    fn lowest(&self) -> Option<LayerIndex> {
        self.ladder().next()
    }

    /// The highest usable layer up to `limit`; the lowest usable if all are above.
    fn at_most(&self, limit: LayerIndex) -> Option<LayerIndex> {
        self.ladder()
            .rfind(|layer| *layer <= limit)
            .or_else(|| self.lowest())
    }

    fn above(&self, layer: Option<LayerIndex>) -> Option<LayerIndex> {
        self.ladder().find(|l| layer.is_none_or(|layer| *l > layer))
    }

    fn cost(&self, layer: Option<LayerIndex>) -> u64 {
        layer.map_or(0, |layer| self.bps(layer))
    }
}

/// A stream paused for lack of bandwidth, or going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamChange {
    /// The subscription's key.
    pub key: u64,
    /// `Paused`, or `Active` after it.
    pub state: StreamState,
}

/// A decision for all subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Each subscription's layer, or nothing (paused or not enabled), in the order they were given.
    pub targets: Vec<(u64, Option<LayerIndex>)>,
    /// What to tell the subscriber in `stream_state_update`.
    pub changes: Vec<StreamChange>,
    /// What the targets cost together, in bit/s.
    pub allocated_bps: u64,
    /// The bandwidth worth probing for, in bit/s: one step more for each subscription, or what it
    /// already has, with headroom.
    pub desired_bps: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    layer: Option<LayerIndex>,
    told_paused: bool,
}

/// Chooses the layers for one subscriber.
///
/// Everybody gets the smallest layer before anybody gets a larger one, screens and priorities first.
/// Falls happen at once, as deep as needed; rises go one layer at a time, only with headroom, and
/// ever more rarely if they keep failing. With unknown bandwidth everybody gets what it wants.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    held: BTreeMap<u64, Held>,
    over_since: Option<Instant>,
    last_rise: Option<Instant>,
    rise_after: Option<Instant>,
    backoff: Option<Duration>,
}

impl Allocator {
    /// Nothing allocated.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides anew. Call it on every new estimate, on every change of a subscription or its track,
    /// and some times per second. `bandwidth` in bit/s is what is left for video; nothing if unknown.
    pub fn update(
        &mut self,
        bandwidth: Option<u64>,
        wanted: &[Wanted],
        now: Instant,
    ) -> Allocation {
        let known = self.held.clone();
        self.held
            .retain(|key, _| wanted.iter().any(|w| w.key == *key));
        let order = order(wanted);
        // What goes on as it is: layers that stopped or are not wanted any more give way at once. A
        // new subscription begins with its smallest layer.
        let mut layers: Vec<Option<LayerIndex>> = wanted
            .iter()
            .map(|w| match known.get(&w.key) {
                _ if !w.enabled => None,
                Some(held) => held.layer.and_then(|layer| w.at_most(layer)),
                None => w.lowest(),
            })
            .collect();
        match bandwidth {
            None => {
                for (layer, w) in layers.iter_mut().zip(wanted).filter(|(_, w)| w.enabled) {
                    *layer = w.at_most(w.max_layer);
                }
                self.over_since = None;
            }
            Some(bps) if self.must_fall(total(wanted, &layers), bps, now) => {
                layers = fall(wanted, &order, &layers, bps);
                self.fell(now);
            }
            Some(bps) => self.rise(wanted, &order, &mut layers, bps, now),
        }
        self.report(wanted, &layers)
    }

    fn must_fall(&mut self, cost: u64, bps: u64, now: Instant) -> bool {
        if cost <= bps {
            self.over_since = None;
            return false;
        }
        let since = *self.over_since.get_or_insert(now);
        cost as f64 > bps as f64 * TOLERANCE || now.saturating_duration_since(since) >= TOLERATED
    }

    fn fell(&mut self, now: Instant) {
        let failed = self
            .last_rise
            .is_some_and(|at| now.saturating_duration_since(at) < FAILED_RISE);
        let backoff = match self.backoff {
            Some(backoff) if failed => (backoff * 2).min(MAX_BACKOFF),
            _ => MIN_BACKOFF,
        };
        self.backoff = Some(backoff);
        self.over_since = None;
        self.last_rise = None;
        self.rise_after = Some(now + backoff);
    }

    fn rise(
        &mut self,
        wanted: &[Wanted],
        order: &[usize],
        layers: &mut [Option<LayerIndex>],
        bps: u64,
        now: Instant,
    ) {
        if self.rise_after.is_some_and(|after| now < after) {
            return;
        }
        let budget = (bps as f64 * RISE_SHARE) as u64;
        let mut cost = total(wanted, layers);
        let mut rose = false;
        // From the lowest rung: who is paused, then who has the smallest layer, …
        let mut rungs: Vec<usize> = order.to_vec();
        rungs.sort_by_key(|at| layers[*at].map_or(0, |layer| u32::from(layer) + 1));
        for at in rungs {
            let w = &wanted[at];
            let Some(next) = w.above(layers[at]).filter(|_| w.enabled) else {
                continue;
            };
            let more = (cost + w.bps(next)).saturating_sub(w.cost(layers[at]));
            if more > budget {
                // Not past somebody who waits for a lower rung: it would starve.
                break;
            }
            cost = more;
            layers[at] = Some(next);
            rose = true;
        }
        if rose {
            self.last_rise = Some(now);
            self.rise_after = Some(now + STEP);
        }
    }

    fn report(&mut self, wanted: &[Wanted], layers: &[Option<LayerIndex>]) -> Allocation {
        let mut out = Allocation::default();
        let mut desired = 0;
        for (w, layer) in wanted.iter().zip(layers) {
            let held = self.held.entry(w.key).or_insert(Held {
                layer: None,
                told_paused: false,
            });
            held.layer = *layer;
            let paused = w.enabled && layer.is_none();
            if w.enabled && paused != held.told_paused {
                held.told_paused = paused;
                let state = if paused {
                    StreamState::Paused
                } else {
                    StreamState::Active
                };
                out.changes.push(StreamChange { key: w.key, state });
            }
            if w.enabled {
                desired += w.cost(w.above(*layer)).max(w.cost(*layer));
            } else {
                // Enabled again, it begins like a new one.
                held.layer = w.lowest();
            }
            out.targets.push((w.key, *layer));
        }
        out.allocated_bps = total(wanted, layers);
        out.desired_bps = (desired as f64 / RISE_SHARE).ceil() as u64;
        out
    }
}

fn total(wanted: &[Wanted], layers: &[Option<LayerIndex>]) -> u64 {
    wanted
        .iter()
        .zip(layers)
        .map(|(w, layer)| w.cost(*layer))
        .sum()
}

fn order(wanted: &[Wanted]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|at| {
        let w = &wanted[*at];
        (!w.screen, std::cmp::Reverse(w.priority), w.key)
    });
    order
}

/// The best that fits, nobody higher than now: rung by rung, in order.
fn fall(
    wanted: &[Wanted],
    order: &[usize],
    now: &[Option<LayerIndex>],
    bps: u64,
) -> Vec<Option<LayerIndex>> {
    let mut layers = vec![None; wanted.len()];
    let mut cost = 0;
    loop {
        let mut rose = false;
        for at in order {
            let w = &wanted[*at];
            let next = w.above(layers[*at]).filter(|next| now[*at] >= Some(*next));
            let Some(next) = next else { continue };
            let more = (cost + w.bps(next)).saturating_sub(w.cost(layers[*at]));
            if more <= bps {
                cost = more;
                layers[*at] = Some(next);
                rose = true;
            }
        }
        if !rose {
            return layers;
        }
    }
}
