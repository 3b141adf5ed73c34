//! `meetmind serve`: start, tell where, wait for the signal, drain.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use meetmind_app::{Clock as _, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::config::{Config, Sources};
use crate::server::Server;
use crate::tls::{ENDS_SOON_DAYS, Tls};
use crate::{logs, terminal};

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Serves until a signal. The first one drains, the second one ends at once.
pub(crate) fn serve(sources: &Sources) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    logs::install(&config, terminal::wants_colour(sources))?;
    meetmind_server::metrics_install().map_err(anyhow::Error::msg)?;
    raise_file_limit();
    let data_dir = config.data_dir(sources)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let code = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = tokio::select! {
            started = Server::start(&config, &data_dir) => started?,
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        announce(&server, &config).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::select! {
            () = server.stop() => Ok(ExitCode::SUCCESS),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = interrupt.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    });
    // Sockets that nobody closes do not hold the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

/// The lines on standard output that other programs read, then the log.
async fn announce(server: &Server, config: &Config) -> Result<()> {
    let setup = server.app.setup_link().await?;
    let mut stdout = std::io::stdout().lock();
    // Whoever started this may have closed the pipe; that is no reason to stop.
    let _ = writeln!(
        stdout,
        "listening on {}://{}",
        server.scheme(),
        server.listen
    );
    let _ = writeln!(stdout, "{}", server.media(config));
    if let Some(link) = setup {
        let _ = writeln!(stdout, "set up the first administrator, once: {link}");
    }
    if let Some(tls) = server.tls() {
        tell_certificate(tls, server, &mut stdout)?;
    }
    let _ = stdout.flush();
    let health = server.app.health();
    tracing::info!(
        version = health.version,
        database = health.mode.database,
        auth = health.mode.auth,
        livekit = health.mode.livekit,
        model = health.mode.model,
        listen = %server.listen,
        public_url = server.app.settings().public_url,
        "started"
    );
    for note in &health.notes {
        tracing::warn!("{note}");
    }
    Ok(())
}

/// What a person needs to know of the certificate before a browser asks.
fn tell_certificate(tls: &Tls, server: &Server, to: &mut impl std::io::Write) -> Result<()> {
    let certificate = tls.certificate()?;
    if certificate.self_signed {
        let _ = writeln!(
            to,
            "certificate: self-signed, browsers will warn; its SHA-256 fingerprint is {}",
            certificate.fingerprint
        );
    }
    let days = certificate.days_left(SystemClock.now());
    if days < ENDS_SOON_DAYS {
        tracing::warn!(ends = %certificate.ends, "the certificate ends soon, or has ended");
    }
    let host = Url::parse(&server.app.settings().public_url).ok();
    if let Some(host) = host.as_ref().and_then(Url::host_str)
        && !certificate.is_for(host)
    {
        tracing::warn!(
            host,
            "the certificate is not for the host of public_url: browsers will refuse it"
        );
    }
    Ok(())
}

/// Every socket is a file: takes as many as the system allows, so that no flag of the shell decides.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        // It works with fewer too; doctor tells.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
