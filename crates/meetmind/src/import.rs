//! `meetmind import`: transcripts into meetings, through the API.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use meetmind_app::transcripts::formats::{self, Format};

use crate::api::{Api, text};
use crate::cli::ImportArgs;
use crate::config::{Config, Sources};
use crate::{people, progress};

/// Imports each file as one meeting; says which file failed, and goes on with the others.
pub(crate) async fn import(sources: &Sources, args: ImportArgs, bars: bool) -> Result<ExitCode> {
    let api = match (&args.server, &args.token, &args.user) {
        (Some(server), Some(token), _) => Api::server(server)?.with_token(token),
        (None, _, Some(email)) => {
            let config = Config::load(sources)?;
            people::as_user(&config, sources, email).await?
        }
        _ => anyhow::bail!(
            "whose meetings are these? Name an account with --user EMAIL, or a server with --server URL --token TOKEN"
        ),
    };
    let bar = progress::bar(bars, Some(args.files.len() as u64), "importing");
    let mut failed = 0;
    for path in &args.files {
        let outcome = import_one(&api, path).await;
        bar.inc(1);
        bar.suspend(|| match outcome {
            Ok(line) => println!("{line}"),
            Err(error) => {
                failed += 1;
                eprintln!("error: {}: {error:#}", path.display());
            }
        });
    }
    bar.finish_and_clear();
    ensure!(
        failed == 0,
        "{failed} of {} files were not imported",
        args.files.len()
    );
    Ok(ExitCode::SUCCESS)
}

async fn import_one(api: &Api, path: &Path) -> Result<String> {
    let bytes = fs::read(path).context("cannot be read")?;
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    // Read here too: a broken file is named with its line before anything is sent.
    let format = Format::detect(&bytes, Some(&name));
    let read = formats::parse(&bytes, Some(format), Some(&name))?;
    let stem = name
        .rsplit_once('.')
        .map_or(name.as_str(), |(stem, _)| stem);
    let title = read.title.as_deref().unwrap_or(stem).to_owned();
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("format", format.extension())
        .append_pair("title", &title)
        .finish();
    let made = api
        .call(
            Method::POST,
            &format!("/api/meetings/import?{query}"),
            Some((bytes, format.media_type())),
        )
        .await?;
    let meeting = if made["meeting"].is_object() {
        &made["meeting"]
    } else {
        &made
    };
    Ok(format!(
        "{}: {title}, {} turns by {} people",
        text(meeting, "id")?,
        read.segments.len(),
        read.participants.len()
    ))
}
