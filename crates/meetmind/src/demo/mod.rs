//! `meetmind demo`: the main job, played through the public API.

mod live;
mod results;
mod series;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub(crate) use live::Socket;

use crate::api::{Api, text};
use crate::cli::DemoArgs;
use crate::config::{Config, Sources};
use crate::server::Server;
use crate::terminal::{Terminal, Tone, wants_colour};
use crate::{data_dir, logs, serve};
use live::LiveNotes;
use series::{Played, Series};

/// All meetings together take this long at the default speed; signing up, the final notes and the
/// questions take the rest of two minutes.
const PLAYING: Duration = Duration::from_secs(70);
/// How long the scribe may take to come in, and the last pass to be written.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what is not told by an event.
const LOOK: Duration = Duration::from_millis(100);

/// Somebody at the table, signed in.
#[derive(Debug)]
struct Person {
    name: String,
    email: String,
    api: Api,
}

/// How fast words follow each other.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// Times faster than spoken.
    Times(f64),
    /// The whole meeting in this time.
    Within(Duration),
    /// No waiting.
    Fast,
}

/// Plays the series and asks about it. Fails when any step of the way does.
pub(crate) async fn demo(mut sources: Sources, args: DemoArgs) -> Result<ExitCode> {
    let series = if args.files.is_empty() {
        Series::built_in()?
    } else {
        Series::of_files(&args.files)?
    };
    let pace = match (args.fast, args.speed) {
        (true, _) => Pace::Fast,
        (false, Some(times)) => {
            ensure!(
                times.is_finite() && times > 0.0,
                "--speed must be more than 0"
            );
            Pace::Times(times)
        }
        (false, None) => Pace::Within(PLAYING / u32::try_from(series.meetings.len())?),
    };
    let terminal = Terminal::of_stdout(&sources);
    let started = Instant::now();
    let (server, folder) = match &args.server {
        Some(_) => (None, None),
        None => {
            let (server, folder) = own_server(&mut sources).await?;
            (Some(server), folder)
        }
    };
    let base = match (&args.server, &server) {
        (Some(url), _) => url.clone(),
        (None, Some(server)) => server.url(),
        (None, None) => String::new(),
    };
    let played = play(&base, &series, pace, terminal).await;
    if let Some(server) = server {
        server.stop().await;
    }
    drop(folder);
    played?;
    println!();
    terminal.item(
        "",
        Tone::Quiet,
        &format!("Done in {:.0} s.", started.elapsed().as_secs_f64()),
    );
    Ok(ExitCode::SUCCESS)
}

/// A server in this process on a free port. Without a data directory of the user's, what it keeps
/// goes with it.
async fn own_server(sources: &mut Sources) -> Result<(Server, Option<Temporary>)> {
    sources.flags.push(("listen", "127.0.0.1:0".to_owned()));
    let asked = sources.flags.iter().any(|(key, _)| *key == "data_dir")
        || sources.variable("MEETMIND_DATA_DIR").is_some();
    // The log shares the terminal with the notes: only trouble, unless somebody wants more.
    let chosen = sources.flags.iter().any(|(key, _)| *key == "log")
        || sources.variable("MEETMIND_LOG").is_some();
    if !chosen {
        sources.flags.push(("log", "warn".to_owned()));
    }
    let config = Config::load(sources)?;
    logs::install(&config, wants_colour(sources))?;
    serve::raise_file_limit();
    let (folder, temporary) = if asked {
        let folder = config.data_dir(sources)?;
        // A running server has the directory: the demo then keeps its own things beside it.
        if data_dir::is_locked(&folder) {
            let demo = folder.join("demo");
            (demo, None)
        } else {
            (folder, None)
        }
    } else {
        let folder = std::env::temp_dir().join(format!("meetmind-demo-{}", std::process::id()));
        (folder.clone(), Some(Temporary(folder)))
    };
    Ok((Server::start(&config, &folder).await?, temporary))
}

/// A folder that is removed at the end.
#[derive(Debug)]
struct Temporary(std::path::PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn play(base: &str, series: &Series, pace: Pace, terminal: Terminal) -> Result<()> {
    let anonymous = Api::server(base)?;
    let health = anonymous
        .get("/health")
        .await
        .context("is a MeetMind running there?")?;
    println!(
        "{}",
        terminal.toned(
            Tone::Strong,
            &format!(
                "MeetMind {} at {base}",
                health["version"].as_str().unwrap_or("?")
            )
        )
    );
    if health["mode"]["model"] == "none" {
        terminal.item(
            "",
            Tone::Quiet,
            "No language model is configured: notes and answers are quotations. What was concluded from \
             the way it was said is marked (unconfirmed) until somebody confirms it.",
        );
    }
    let people = sign_up(&anonymous, series).await?;
    let host = people.first().context("nobody speaks in these meetings")?;
    let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
    println!("At the table: {}", names.join(", "));
    let row = host
        .api
        .post("/api/series", json!({"title": series.title}))
        .await?;
    let series_id = text(&row, "id")?.to_owned();
    let scribe = json!({"name": "Scribe", "role": "scribe"});
    let scribe = host.api.post("/api/agents", scribe).await?;
    let scribe_id = text(&scribe, "id")?;
    let mut decided = results::Decided::default();
    for (number, meeting) in series.meetings.iter().enumerate() {
        terminal.heading(&format!(
            "Meeting {} of {}: {} ({} turns)",
            number + 1,
            series.meetings.len(),
            meeting.title,
            meeting.transcript.segments.len()
        ));
        let begun = Instant::now();
        let meeting_id = hold(meeting, &people, &series_id, scribe_id, pace, terminal).await?;
        println!();
        results::print_notes(
            &host.api,
            &meeting_id,
            &meeting.title,
            &mut decided,
            terminal,
        )
        .await?;
        println!();
        terminal.item(
            "  ",
            Tone::Quiet,
            &format!("played in {:.1} s", begun.elapsed().as_secs_f64()),
        );
    }
    terminal.heading("Questions about the series");
    for question in &series.questions {
        results::print_answer(&host.api, &series_id, question, terminal).await?;
    }
    Ok(())
}

/// Makes an account for each person; the addresses are new in every run.
async fn sign_up(anonymous: &Api, series: &Series) -> Result<Vec<Person>> {
    let run = uuid_word();
    let mut people = Vec::new();
    for (number, name) in series.people().into_iter().enumerate() {
        let email = format!("demo-{run}-{}@example.com", number + 1);
        let body = json!({"email": email, "name": name, "password": format!("kestrel yard {run} {number}")});
        let session = anonymous
            .post("/auth/register", body)
            .await
            .with_context(|| format!("{name} cannot sign up"))?;
        let api = anonymous.with_token(text(&session, "access_token")?);
        people.push(Person { name, email, api });
    }
    Ok(people)
}

/// Something that no other run has.
pub(crate) fn uuid_word() -> String {
    use meetmind_app::{Clock as _, Entropy, SystemClock};
    let id: meetmind_core::RequestId = Entropy::system().id(SystemClock.now());
    let text = id.to_string();
    text[text.len() - 16..].to_owned()
}

/// Plays one meeting with the scribe in it; gives its id once the last notes are written.
async fn hold(
    meeting: &Played,
    people: &[Person],
    series_id: &str,
    scribe_id: &str,
    pace: Pace,
    terminal: Terminal,
) -> Result<String> {
    let host = &people[0];
    let new = json!({
        "title": meeting.title,
        "series_id": series_id,
        "starts_at": meeting.transcript.starts_at,
        "consent_policy": "ask",
        "memory_mode": "auto",
        "agents": [scribe_id],
    });
    let made = host.api.post("/api/meetings", new).await?;
    let id = text(&made, "id")?.to_owned();
    let at = format!("/api/meetings/{id}");
    let mut socket = Socket::open(&host.api, &format!("meeting:{id}"), Some(0)).await?;
    let present: Vec<&Person> = people
        .iter()
        .filter(|person| {
            let listed = &meeting.transcript.participants;
            person.name == host.name || listed.iter().any(|one| one.name == person.name)
        })
        .collect();
    for person in &present {
        if person.name != host.name {
            let invitation = json!({"email": person.email, "role": "participant"});
            host.api
                .post(&format!("{at}/participants"), invitation)
                .await?;
        }
        let joined = person.api.post(&format!("{at}/join"), json!({})).await?;
        let participant = text(&joined["participant"], "id")?;
        let consent = json!({"transcript": "granted", "recording": "denied", "memory": "granted"});
        person
            .api
            .put(&format!("{at}/participants/{participant}/consent"), consent)
            .await?;
    }
    let mut notes = LiveNotes::new(terminal);
    scribe_arrives(&host.api, &at, &mut socket, &mut notes).await?;
    let listening = tokio::spawn(async move {
        while let Some(event) = socket.next().await? {
            if notes.event(&event) {
                break;
            }
        }
        anyhow::Ok(notes)
    });
    speak(meeting, &present, host, &at, pace).await?;
    host.api.post(&format!("{at}/end"), json!({})).await?;
    let notes = tokio::time::timeout(PATIENCE, listening)
        .await
        .context("the end of the meeting was not told in time")???;
    let turns = meeting.transcript.segments.len();
    ensure!(
        notes.segments == turns,
        "{} of {turns} turns came back as live events",
        notes.segments
    );
    final_notes(&host.api, &at).await?;
    Ok(id)
}

/// Waits until the agent is in the room, so that it follows from the first word.
async fn scribe_arrives(
    host: &Api,
    at: &str,
    socket: &mut Socket,
    notes: &mut LiveNotes,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = host.get(&format!("{at}/participants")).await?;
        let is_there = crate::api::items(&list)
            .iter()
            .any(|one| one["role"] == "agent" && one["state"] == "joined");
        if is_there {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the scribe did not come into the meeting in time"
        );
        // Events that come meanwhile are the notes' business.
        if let Ok(event) = tokio::time::timeout(LOOK, socket.next()).await {
            let event = event?.context("the live events ended")?;
            notes.event(&event);
        }
    }
}

/// Everybody says their turns, each under their own name.
async fn speak(
    meeting: &Played,
    present: &[&Person],
    host: &Person,
    at: &str,
    pace: Pace,
) -> Result<()> {
    let segments = &meeting.transcript.segments;
    let length_ms = segments
        .iter()
        .map(|segment| segment.end_ms)
        .max()
        .unwrap_or(0)
        .max(1);
    let path = format!("{at}/transcript");
    let started = Instant::now();
    for (number, segment) in segments.iter().enumerate() {
        let spoken_ms = segment.end_ms.max(0) as f64;
        let due = match pace {
            Pace::Fast => Duration::ZERO,
            Pace::Times(times) => Duration::from_secs_f64(spoken_ms / 1000.0 / times),
            Pace::Within(whole) => whole.mul_f64(spoken_ms / length_ms as f64),
        };
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        let speaker = present.iter().find(|person| person.name == segment.speaker);
        let api = speaker.map_or(&host.api, |person| &person.api);
        let said = json!({
            "speaker": segment.speaker,
            "text": segment.text,
            "start_ms": segment.start_ms,
            "end_ms": segment.end_ms,
            "final": true,
            "external_id": format!("demo-{number}"),
        });
        api.post(&path, said)
            .await
            .with_context(|| format!("turn {} was not taken", number + 1))?;
    }
    Ok(())
}

/// Waits for the pass after the end.
async fn final_notes(host: &Api, at: &str) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let summary = host.get(&format!("{at}/summary")).await?;
        if summary["final"] == true || summary["summary"]["final"] == true {
            return Ok(summary);
        }
        ensure!(
            Instant::now() < deadline,
            "the final notes were not written in time"
        );
        tokio::time::sleep(LOOK).await;
    }
}
