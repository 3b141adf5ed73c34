//! The allocator on simulated links.

use std::time::{Duration, Instant};

use livekit_protocol::StreamState;

use crate::forward::{Allocation, Allocator, LayerRate, Wanted};

fn camera(key: u64) -> Wanted {
    let layer = |bps| LayerRate { bps, live: true };
    Wanted {
        key,
        screen: false,
        priority: 0,
        enabled: true,
        max_layer: 2,
        layers: vec![layer(150_000), layer(500_000), layer(1_500_000)],
    }
}

fn layers(allocation: &Allocation) -> Vec<Option<u8>> {
    allocation.targets.iter().map(|(_, layer)| *layer).collect()
}

/// An estimator: what is delivered bounds it from above when too much is sent; else it follows the
/// probe. Returns the allocations of every 200 ms.
fn link(capacity: u64, wanted: &[Wanted], seconds: u64, first: u64) -> Vec<Allocation> {
    let mut allocator = Allocator::new();
    let start = Instant::now();
    let mut estimate = first;
    (0..seconds * 5)
        .map(|n| {
            let wavering = 1.0 + 0.04 * ((n as f64) * 0.7).sin();
            let seen = (estimate as f64 * wavering) as u64;
            let now = start + Duration::from_millis(200 * n);
            let out = allocator.update(Some(seen), wanted, now);
            estimate = if out.allocated_bps > capacity {
                capacity * 85 / 100
            } else {
                (estimate + estimate / 25)
                    .min(capacity)
                    .min(out.desired_bps.max(estimate))
            };
            out
        })
        .collect()
}

#[test]
fn at_300_kbit_a_camera_settles_on_its_low_layer_without_swinging() {
    let run = link(300_000, &[camera(1)], 120, 2_000_000);
    let settled = &run[25..];
    assert!(
        settled.iter().all(|a| layers(a) == [Some(0)]),
        "{settled:?}"
    );
    assert!(run.iter().all(|a| a.changes.is_empty()));
}

#[test]
fn at_700_kbit_it_rises_to_the_middle_layer_and_stays() {
    let run = link(700_000, &[camera(1)], 120, 200_000);
    let changes = run
        .windows(2)
        .filter(|w| w[0].targets != w[1].targets)
        .count();
    assert_eq!(layers(&run[599]), [Some(1)]);
    assert!(changes <= 2, "{changes} changes");
}

#[test]
fn a_rise_that_keeps_failing_is_tried_ever_more_rarely() {
    let mut allocator = Allocator::new();
    let start = Instant::now();
    let wanted = [camera(1)];
    let mut rises = Vec::new();
    let mut layer = None;
    for n in 0..5 * 300 {
        // The estimate promises 700 kbit/s whenever little is sent, and is wrong.
        let bps = if layer >= Some(1) { 300_000 } else { 700_000 };
        let out = allocator.update(Some(bps), &wanted, start + Duration::from_millis(200 * n));
        let new = out.targets[0].1;
        if new > layer {
            rises.push(n);
        }
        layer = new;
    }
    assert!(rises.len() <= 9, "{rises:?}");
    assert!(
        rises.windows(3).all(|w| w[2] - w[1] >= w[1] - w[0]),
        "{rises:?}"
    );
}

#[test]
fn everybody_gets_the_low_layer_before_anybody_gets_more() {
    let wanted: Vec<_> = (0..4).map(camera).collect();
    let mut allocator = Allocator::new();
    let now = Instant::now();
    allocator.update(None, &wanted, now);
    let out = allocator.update(Some(1_000_000), &wanted, now);
    assert_eq!(layers(&out), [Some(1), Some(0), Some(0), Some(0)]);
}

#[test]
fn screens_and_priorities_are_served_first_and_paused_last() {
    let mut wanted: Vec<_> = (0..4).map(camera).collect();
    wanted[3].screen = true;
    wanted[2].priority = 7;
    let mut allocator = Allocator::new();
    let now = Instant::now();
    allocator.update(None, &wanted, now);
    let out = allocator.update(Some(310_000), &wanted, now);
    assert_eq!(layers(&out), [None, None, Some(0), Some(0)]);
    let out = allocator.update(Some(160_000), &wanted, now);
    assert_eq!(layers(&out), [None, None, None, Some(0)]);
}

#[test]
fn unknown_bandwidth_never_pauses_and_gives_all() {
    let wanted: Vec<_> = (0..50).map(camera).collect();
    let out = Allocator::new().update(None, &wanted, Instant::now());
    assert!(out.targets.iter().all(|(_, layer)| *layer == Some(2)));
    assert!(out.changes.is_empty());
}

#[test]
fn each_pause_and_each_return_is_told_once() {
    let wanted = [camera(1)];
    let mut allocator = Allocator::new();
    let start = Instant::now();
    let mut told = Vec::new();
    for n in 0..200 {
        let bps = if (20..60).contains(&n) {
            50_000
        } else {
            1_000_000
        };
        let now = start + Duration::from_millis(200 * n);
        told.extend(allocator.update(Some(bps), &wanted, now).changes);
    }
    let states: Vec<_> = told.iter().map(|change| change.state).collect();
    assert_eq!(states, [StreamState::Paused, StreamState::Active]);
}

#[test]
fn layers_that_do_not_flow_are_not_chosen_and_disabled_tracks_cost_nothing() {
    let mut wanted = [camera(1), camera(2)];
    wanted[0].layers[2].live = false;
    wanted[1].enabled = false;
    let out = Allocator::new().update(None, &wanted, Instant::now());
    assert_eq!(layers(&out), [Some(1), None]);
    assert_eq!(out.allocated_bps, 500_000);
    assert!(out.changes.is_empty());
}

#[test]
fn a_layer_that_stops_gives_way_at_once() {
    let mut wanted = [camera(1)];
    let mut allocator = Allocator::new();
    let now = Instant::now();
    allocator.update(None, &wanted, now);
    wanted[0].layers[2].live = false;
    let out = allocator.update(Some(5_000_000), &wanted, now);
    assert_eq!(layers(&out), [Some(1)]);
}

#[test]
fn the_probe_is_told_the_next_step_and_not_the_last() {
    let mut allocator = Allocator::new();
    let out = allocator.update(Some(160_000), &[camera(1)], Instant::now());
    assert_eq!(layers(&out), [Some(0)]);
    assert_eq!(out.desired_bps, 588_236);
}
