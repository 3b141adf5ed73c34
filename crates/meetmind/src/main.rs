//! The process: flags, configuration, logs, start, drain, doctor, demo.

mod accept;
mod api;
mod backup;
mod cli;
mod config;
mod data_dir;
mod demo;
mod dial;
mod doctor;
mod import;
mod loadtest;
mod logs;
mod people;
mod progress;
mod serve;
mod server;
mod streams;
mod terminal;
mod tls;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Command, ConfigCommand, DocsPage};
use crate::config::{Config, Sources};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before the first TLS connection: rustls takes the process' provider, and there must be one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: another crypto provider is installed");
        return ExitCode::FAILURE;
    }
    if !matches!(cli.command, Command::Serve(_)) {
        // `meetmind openapi | head`: a reader that has seen enough ends a command as it ends any
        // other program. A server goes on without its reader.
        sigpipe::reset();
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let mut sources = Sources::of_process();
    sources.file.clone_from(&cli.shared.config);
    if let Some(folder) = &cli.shared.data_dir {
        sources
            .flags
            .push(("data_dir", folder.to_string_lossy().into_owned()));
    }
    if let Some(level) = &cli.shared.log {
        sources.flags.push(("log", level.clone()));
    }
    let bars = !cli.shared.no_progress;
    match cli.command {
        Command::Serve(args) => {
            let path = |it: std::path::PathBuf| it.to_string_lossy().into_owned();
            let flags = [
                ("listen", args.listen.map(|it| it.to_string())),
                ("media.udp_port", args.media_udp.map(|it| it.to_string())),
                ("media.tcp_port", args.media_tcp.map(|it| it.to_string())),
                ("tls.cert", args.tls_cert.map(path)),
                ("tls.key", args.tls_key.map(path)),
                ("tls.mode", args.tls),
            ];
            let given = flags
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)));
            sources.flags.extend(given);
            serve::serve(&sources)
        }
        Command::Demo(args) => blocking(demo::demo(sources, args)),
        Command::Import(args) => blocking(import::import(&sources, args, bars)),
        Command::Doctor(args) => blocking(doctor::doctor(&sources, args)),
        Command::Config { command } => {
            // A configuration that cannot work is said first: the list below would be of no use.
            let config = Config::load(&sources)?;
            match command {
                Some(ConfigCommand::RotateKey { forget }) => {
                    return blocking(people::rotate_key(&sources, forget));
                }
                Some(ConfigCommand::Livekit) => {
                    return blocking(people::livekit(&sources));
                }
                Some(ConfigCommand::Check) => println!("the configuration is valid"),
                None => print!("{}", config::show(&sources)?),
            }
            for note in &config.notes {
                println!("note: {note}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::User { command } => blocking(people::user(&sources, command)),
        Command::Migrate { to } => blocking(backup::migrate(&sources, to, bars)),
        Command::Backup { file } => blocking(backup::backup(&sources, &file, bars)),
        Command::Restore { file, force } => blocking(backup::restore(&sources, &file, force, bars)),
        Command::Loadtest(args) => blocking(loadtest::loadtest(*args)),
        Command::Openapi => {
            let document = serde_json::to_string_pretty(&meetmind_server::openapi_document())?;
            println!("{document}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Asyncapi => {
            let document = serde_json::to_string_pretty(&meetmind_server::asyncapi_document())?;
            println!("{document}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Docs { page } => {
            match page {
                DocsPage::Errors => print!("{}", meetmind_server::error_reference()),
                DocsPage::Configuration => print!("{}", config::reference()),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a command to its end on a runtime of its own.
fn blocking(command: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
