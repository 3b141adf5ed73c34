//! `meetmind loadtest media`: rooms full of participants with sound and picture, on this server or a real
//! LiveKit server, with the same report.

mod client;
mod peer;
mod receive;
mod report;
mod server;
mod source;
mod trace;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meetmind_app::{Clock as _, SystemClock};
use meetmind_media::{RoomGrant, RoomPart, access_token};
use tokio::task::LocalSet;

use crate::cli::MediaLoadArgs;
use client::{ENDING, JOINING, LEAVING, MEASURING, Outcome, RESUMING, Role, Shared};
use report::{Report, Sums};
use server::Measured;

/// Bandwidth estimates of both sides settle before anything counts.
const SETTLE: Duration = Duration::from_secs(5);
/// Everybody is in within this time.
const JOIN_MAX: Duration = Duration::from_secs(90);
/// What was on its way when counting ended arrives within this time.
const GRACE: Duration = Duration::from_millis(400);
/// Participants whose signal connection is cut at the end.
const RESUMES: u64 = 20;
/// How long the cut ones have.
const RESUME_MAX: Duration = Duration::from_secs(5);
/// Between two joins: a meeting fills over seconds, and a crowd at the door is another measurement.
const JOIN_APART: Duration = Duration::from_millis(20);

/// Runs the load and prints the report.
pub(crate) async fn media(args: MediaLoadArgs) -> Result<ExitCode> {
    crate::serve::raise_file_limit();
    ensure!(
        args.publishers > 0,
        "without a publisher nothing is forwarded"
    );
    let measured = Measured::of(&args).await?;
    let baseline = args.baseline.as_deref().map(Report::read).transpose()?;
    let before = measured.usage();
    let shared = Arc::new(Shared {
        url: measured.url.clone(),
        epoch: Instant::now(),
        phase: AtomicU8::new(JOINING),
        ended_us: AtomicU64::new(u64::MAX >> 1),
        ready: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        sound: source::sound()?.into(),
    });
    let (people, threads) = start(&args, &measured, &shared)?;
    let since = Instant::now();
    while shared.ready.load(Ordering::Relaxed) < people && since.elapsed() < JOIN_MAX {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ensure!(
            threads.iter().all(|thread| !thread.is_finished()),
            "a generator thread ended early: see above"
        );
    }
    let ready = shared.ready.load(Ordering::Relaxed);
    if ready < people {
        eprintln!("{ready} of {people} participants receive everything; measuring all the same");
    }
    tokio::time::sleep(SETTLE).await;
    let started = (measured.usage(), Instant::now());
    shared.phase.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let ended = (measured.usage(), started.1.elapsed());
    let ended_us = shared.epoch.elapsed().as_micros() as u64;
    shared.ended_us.store(ended_us, Ordering::Relaxed);
    shared.phase.store(ENDING, Ordering::Relaxed);
    tokio::time::sleep(GRACE).await;
    shared.phase.store(RESUMING, Ordering::Relaxed);
    tokio::time::sleep(RESUME_MAX).await;
    shared.phase.store(LEAVING, Ordering::Relaxed);

    let joined = tokio::task::spawn_blocking(move || {
        threads
            .into_iter()
            .map(|thread| thread.join())
            .collect::<Vec<_>>()
    });
    let mut outcomes = Vec::new();
    let mut failed = 0;
    for thread in joined.await? {
        for outcome in thread.map_err(|_| anyhow::anyhow!("a generator thread panicked"))? {
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    failed += 1;
                    if failed <= 5 {
                        eprintln!("{error:#}");
                    }
                }
            }
        }
    }
    let sums = Sums {
        people,
        failed,
        ready,
        sent: shared.sent.load(Ordering::Relaxed),
        took: ended.1,
        cpu: started
            .0
            .zip(ended.0)
            .map(|(from, to)| to.cpu.saturating_sub(from.cpu)),
        resident_before_kb: before.map(|usage| usage.resident_kb),
        resident_kb: ended.0.map(|usage| usage.resident_kb),
    };
    let report = Report::new(&args, &sums, &outcomes);
    report.print(&args, baseline.as_ref());
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

type Generator = std::thread::JoinHandle<Vec<Result<Outcome>>>;

/// Starts the participants, spread over as many threads as this process may use.
fn start(
    args: &MediaLoadArgs,
    measured: &Measured,
    shared: &Arc<Shared>,
) -> Result<(u64, Vec<Generator>)> {
    let run = crate::demo::uuid_word();
    // Without a choice: both.
    let (audio, video) = match (args.audio, args.video) {
        (false, false) => (true, true),
        chosen => chosen,
    };
    let tracks = usize::from(audio) + usize::from(video);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut roles: Vec<Vec<Role>> = (0..threads).map(|_| Vec::new()).collect();
    let mut number = 0;
    for room in 0..args.rooms {
        for place in 0..args.publishers + args.subscribers {
            let publishes = place < args.publishers;
            let grant = RoomGrant {
                room: format!("load-{run}-{room}"),
                identity: format!("load-{run}-{number}"),
                name: String::new(),
                part: match publishes {
                    true => RoomPart::Participant,
                    false => RoomPart::Viewer,
                },
                metadata: String::new(),
                room_metadata: String::new(),
                ttl: Duration::from_secs(3_600),
            };
            let token = access_token(
                &measured.api_key,
                &measured.api_secret,
                &grant,
                SystemClock.now(),
            )
            .context("the secret signs no token")?;
            let others = args.publishers as usize - usize::from(publishes);
            roles[number as usize % threads].push(Role {
                number,
                token,
                audio: publishes && audio,
                video: publishes && video,
                simulcast: !args.no_simulcast,
                expects: others * tracks,
                resumes: number < RESUMES,
            });
            number += 1;
        }
    }
    let generators = roles.into_iter().map(|roles| {
        let shared = shared.clone();
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || generate(&shared, roles))
            .context("a thread cannot be started")
    });
    Ok((number, generators.collect::<Result<_>>()?))
}

/// Runs some participants on this thread.
fn generate(shared: &Arc<Shared>, roles: Vec<Role>) -> Vec<Result<Outcome>> {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return vec![Err(error.into())],
    };
    LocalSet::new().block_on(&runtime, async {
        let mut clients = Vec::new();
        for role in roles {
            let shared = shared.clone();
            clients.push(tokio::task::spawn_local(async move {
                // In the order of their numbers, over all threads.
                tokio::time::sleep(JOIN_APART * role.number as u32).await;
                client::run(shared, role).await
            }));
        }
        let mut outcomes = Vec::new();
        for client in clients {
            outcomes.push(match client.await {
                Ok(outcome) => outcome,
                Err(error) => Err(error.into()),
            });
        }
        outcomes
    })
}
