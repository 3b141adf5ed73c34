//! `meetmind loadtest`: what a server of its own does on this machine, over loopback.

mod http;
mod measure;
mod media;
mod process;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{Api, text};
use crate::cli::{LoadtestArgs, LoadtestCommand};
use http::Load;
use process::Serving;

/// Starts of the program whose median is reported.
const STARTS: usize = 5;

/// One line of the table.
struct Line {
    what: String,
    result: String,
    p50: Option<Duration>,
    p99: Option<Duration>,
}

impl Line {
    fn single(what: &str, result: String) -> Self {
        Self {
            what: what.to_owned(),
            result,
            p50: None,
            p99: None,
        }
    }
}

/// Runs every measurement and prints the table.
pub(crate) async fn loadtest(mut args: LoadtestArgs) -> Result<ExitCode> {
    if let Some(LoadtestCommand::Media(args)) = args.command.take() {
        return media::media(*args).await;
    }
    crate::serve::raise_file_limit();
    let folder = process::Folder::new()?;
    let mut lines = Vec::new();

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (serving, took) = Serving::start(&folder, &args).await?;
        starts.push(took);
        serving.stop().await?;
    }
    starts.sort();
    lines.push(Line::single(
        "start to ready, median of 5 (database exists)",
        format!("{:.0} ms", starts[STARTS / 2].as_secs_f64() * 1000.0),
    ));
    let (serving, _) = Serving::start(&folder, &args).await?;
    lines.push(Line::single("memory, idle", mb(serving.resident_kb()?)));

    let anonymous = Api::server(&serving.url)?;
    let (_, host) = new_account(&anonymous, "Load").await?;
    let meeting = new_meeting(&host, "Load").await?;
    for number in 0..60 {
        new_meeting(&host, &format!("Another {number}")).await?;
    }
    let load = Load::new(
        &serving.url,
        host.token(),
        args.connections,
        Duration::from_secs(args.seconds),
    )?;

    let ceiling = load.gets("/livez").await?;
    lines.push(ceiling.line("GET /livez (the ceiling: no account, no database)", None));
    let one = load.gets(&format!("/api/meetings/{meeting}")).await?;
    lines.push(one.line("GET /api/meetings/{id}, signed in", Some(&ceiling)));
    let list = load.gets("/api/meetings").await?;
    lines.push(list.line("GET /api/meetings (50 rows), signed in", Some(&ceiling)));
    let path = |meeting: &str| format!("/api/meetings/{meeting}/transcript");
    let posts = load.posts(&[path(&meeting)], measure::segment).await?;
    lines.push(posts.line("POST one final segment, kept and told", None));
    let mut paths = Vec::new();
    for number in 0..args.connections {
        paths.push(path(
            &new_meeting(&host, &format!("At once {number}")).await?,
        ));
    }
    let posts = load.posts(&paths, measure::segment).await?;
    lines.push(posts.line("the same, each connection in a meeting of its own", None));

    let room = new_meeting(&host, "Fan-out").await?;
    let fan_out = measure::fan_out(&host, &room, args.clients).await?;
    lines.push(fan_out);
    lines.push(measure::notes(&host).await?);
    let (filled, kept) = measure::fill(&host, args.segments).await?;
    lines.push(filled);
    lines.push(Line::single(
        &format!("memory, with {kept} more segments kept"),
        mb(serving.resident_kb()?),
    ));
    serving.stop().await?;
    print_table(&args, &process::durability(&folder, &args).await?, &lines);
    Ok(ExitCode::SUCCESS)
}

/// A new account: its address and its caller.
async fn new_account(api: &Api, name: &str) -> Result<(String, Api)> {
    let run = crate::demo::uuid_word();
    let email = format!("load-{run}@example.com");
    let account = json!({"email": email, "name": name, "password": format!("load test {run}")});
    let session = api.post("/auth/register", account).await?;
    let caller = api.with_token(text(&session, "access_token")?);
    Ok((email, caller))
}

/// A meeting of the host, joined, with consent to the transcript.
async fn new_meeting(host: &Api, title: &str) -> Result<String> {
    let new = json!({"title": title, "consent_policy": "implied"});
    let meeting: Value = host.post("/api/meetings", new).await?;
    let id = text(&meeting, "id")?.to_owned();
    host.post(&format!("/api/meetings/{id}/join"), json!({}))
        .await
        .context("the host cannot join")?;
    Ok(id)
}

fn mb(kb: u64) -> String {
    format!("{:.1} MB", kb as f64 / 1024.0)
}

fn ms(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "–".to_owned(),
        |duration| format!("{:.2} ms", duration.as_secs_f64() * 1000.0),
    )
}

fn print_table(args: &LoadtestArgs, durability: &str, lines: &[Line]) {
    let engine = if args.postgres.is_some() {
        "Postgres"
    } else {
        "SQLite"
    };
    let profile = if cfg!(debug_assertions) {
        "debug: not for comparing"
    } else {
        "release"
    };
    println!(
        "\nMeetMind {} ({profile}) on {engine}",
        env!("CARGO_PKG_VERSION")
    );
    println!("{}", process::machine());
    println!("command: {}", process::command());
    println!("database: {durability}");
    let server = args.server_cpus.as_ref().map_or_else(String::new, |cpus| {
        format!(", the server on CPU {cpus} only")
    });
    println!(
        "client and server on the same machine{server}; {} connections, {} s each, {} WebSocket clients\n",
        args.connections, args.seconds, args.clients
    );
    println!("| what | result | p50 | p99 |\n|---|---|---|---|");
    for line in lines {
        println!(
            "| {} | {} | {} | {} |",
            line.what,
            line.result,
            ms(line.p50),
            ms(line.p99)
        );
    }
}
