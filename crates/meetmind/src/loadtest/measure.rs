//! The measurements that are more than one request again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meetmind_app::transcripts::formats;
use serde_json::{Value, json};

use super::http::percentile;
use super::{Line, new_account, new_meeting};
use crate::api::{Api, items};
use crate::demo::Socket;
use crate::progress;

/// Segments of the fan-out, and how far apart.
const FAN_OUT: u64 = 50;
const APART: Duration = Duration::from_millis(100);
/// Segments per request while the database is filled.
const BATCH: u64 = 500;
/// Segments per meeting while the database is filled: an eight-hour meeting.
const PER_MEETING: u64 = 10_000;
const HOUR_MS: i64 = 3_600_000;
/// Filling stops here, however many segments were asked for.
const FILLING_MAX: Duration = Duration::from_secs(60);
/// Clients that listen as one account: fewer than a server lets one account have.
const CLIENTS_PER_ACCOUNT: u64 = 40;

/// The body of the segment with this number.
pub(super) fn segment(number: u64) -> String {
    row(number).to_string()
}

fn row(number: u64) -> Value {
    let start_ms = number * 3;
    json!({
        "speaker": "Load",
        "text": format!("We said in point {number} that the label printer goes back on Thursday."),
        "start_ms": start_ms,
        "end_ms": start_ms + 2900,
        "final": true,
    })
}

/// As many accounts as the clients need, in the meeting as viewers.
async fn audience(host: &Api, meeting: &str, clients: u64) -> Result<Vec<Api>> {
    let at = format!("/api/meetings/{meeting}");
    let mut accounts = Vec::new();
    for number in 0..clients.div_ceil(CLIENTS_PER_ACCOUNT) {
        let (email, account) = new_account(host, &format!("Listener {number}")).await?;
        let invitation = json!({"email": email, "role": "viewer"});
        host.post(&format!("{at}/participants"), invitation).await?;
        account.post(&format!("{at}/join"), json!({})).await?;
        accounts.push(account);
    }
    Ok(accounts)
}

/// How long an event takes to each of many listeners: from before the request that causes it to
/// its arrival, over all of them.
pub(super) async fn fan_out(host: &Api, meeting: &str, clients: u64) -> Result<Line> {
    let topic = format!("meeting:{meeting}");
    let accounts = audience(host, meeting, clients).await?;
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let mut listeners = Vec::new();
    for client in 0..clients {
        let account = &accounts[(client / CLIENTS_PER_ACCOUNT) as usize];
        let mut socket = Socket::open(account, &topic, None).await?;
        let sent = Arc::clone(&sent);
        listeners.push(tokio::spawn(async move {
            let mut delays = Vec::new();
            while (delays.len() as u64) < FAN_OUT {
                let event = socket.next().await?.context("a listener was cut off")?;
                let arrived = Instant::now();
                if event["type"] != "segment.finalized" {
                    continue;
                }
                let id = event["data"]["external_id"].as_str().unwrap_or_default();
                let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = sent.get(id) {
                    delays.push(arrived.saturating_duration_since(*at));
                }
            }
            anyhow::Ok(delays)
        }));
    }
    let path = format!("/api/meetings/{meeting}/transcript");
    for number in 0..FAN_OUT {
        let id = format!("fan-{number}");
        let mut said = row(number);
        said["external_id"] = id.as_str().into();
        sent.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Instant::now());
        host.post(&path, said).await?;
        tokio::time::sleep(APART).await;
    }
    let mut delays = Vec::new();
    for listener in listeners {
        let one = tokio::time::timeout(Duration::from_secs(30), listener)
            .await
            .context("a listener missed events")???;
        delays.extend(one);
    }
    delays.sort_unstable();
    Ok(Line {
        what: format!("an event to {clients} WebSocket clients, from before the request"),
        result: format!("{} of {} arrived", delays.len(), FAN_OUT * clients),
        p50: percentile(&delays, 50),
        p99: percentile(&delays, 99),
    })
}

/// How long a whole pass over an hour's transcript takes, as its host asks for it.
pub(super) async fn notes(host: &Api) -> Result<Line> {
    let bytes = include_bytes!("../../demo/01-kickoff.json");
    let meeting = formats::parse(bytes, None, None)?;
    let length_ms = meeting
        .segments
        .iter()
        .map(|segment| segment.end_ms)
        .max()
        .unwrap_or(1);
    let mut rows = Vec::new();
    let mut offset_ms = 0;
    while offset_ms < HOUR_MS {
        for segment in &meeting.segments {
            rows.push(json!({
                "speaker": segment.speaker,
                "text": segment.text,
                "start_ms": segment.start_ms + offset_ms,
                "end_ms": segment.end_ms + offset_ms,
                "final": true,
            }));
        }
        offset_ms += length_ms;
    }
    let id = new_meeting(host, "An hour").await?;
    post_all(host, &id, &rows).await?;
    let path = format!("/api/meetings/{id}/summary");
    let mut passes = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        host.post(&path, json!({})).await?;
        passes.push(started.elapsed());
    }
    passes.sort();
    let summary = host.get(&path).await?;
    let summary = if summary["summary"].is_object() {
        &summary["summary"]
    } else {
        &summary
    };
    ensure!(
        !items(&summary["lines"]).is_empty(),
        "the notes of an hour are empty"
    );
    Ok(Line {
        what: format!(
            "notes of an hour ({} turns), read, derived and kept",
            rows.len()
        ),
        result: format!("{:.0} ms, median of 5", passes[2].as_secs_f64() * 1000.0),
        p50: None,
        p99: None,
    })
}

/// Fills the database in batches; gives how many segments were kept.
pub(super) async fn fill(host: &Api, segments: u64) -> Result<(Line, u64)> {
    let bar = progress::bar(true, Some(segments), "segments");
    let started = Instant::now();
    let mut done = 0;
    'filling: while done < segments {
        let here = PER_MEETING.min(segments - done);
        let id = new_meeting(host, "Filling").await?;
        let rows: Vec<Value> = (0..here).map(row).collect();
        for batch in rows.chunks(BATCH as usize) {
            post_all(host, &id, batch).await?;
            bar.inc(batch.len() as u64);
            done += batch.len() as u64;
            if started.elapsed() > FILLING_MAX {
                break 'filling;
            }
        }
    }
    bar.finish_and_clear();
    let per_second = done as f64 / started.elapsed().as_secs_f64();
    let line = Line::single(
        &format!("segments in batches of {BATCH}"),
        format!("{per_second:.0} segments/s"),
    );
    Ok((line, done))
}

async fn post_all(host: &Api, meeting: &str, rows: &[Value]) -> Result<()> {
    let path = format!("/api/meetings/{meeting}/transcript");
    for batch in rows.chunks(BATCH as usize) {
        host.post(&path, Value::Array(batch.to_vec())).await?;
    }
    Ok(())
}
