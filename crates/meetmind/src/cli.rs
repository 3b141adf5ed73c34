//! Commands and flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Meetings with AI agents in the room: transcripts, live notes, memories, and answers that cite them.
#[derive(Debug, Parser)]
#[command(name = "meetmind", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// Where the database, the keys and the lock lie
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file, instead of ./meetmind.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// error, warn, info, debug or trace; or by part
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// No progress bars, even on a terminal
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server
    Serve(ServeArgs),
    /// Play meetings with an agent in the room, then ask about them
    Demo(DemoArgs),
    /// Bring transcripts in: JSON, WebVTT, SRT, text, Markdown
    Import(ImportArgs),
    /// Check the set-up and say how to mend it
    Doctor(DoctorArgs),
    /// Show the settings in force and where they came from
    Config {
        #[command(subcommand)]
        command: Option<ConfigCommand>,
    },
    /// Manage accounts
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Bring the schema up to date, or move everything to another database
    Migrate {
        /// The empty database to move to: postgres://… or sqlite:PATH
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
    /// Write everything to one file, while the server runs
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Fill an empty data directory from a backup
    Restore {
        /// The file to read
        file: PathBuf,
        /// Keep an existing SQLite database aside and put the backup in its place
        #[arg(long)]
        force: bool,
    },
    /// Measure this machine: requests, events, notes, start, memory
    Loadtest(Box<LoadtestArgs>),
    /// Print the OpenAPI document
    Openapi,
    /// Print the AsyncAPI document of the live events
    Asyncapi,
    /// Print a generated page of the documentation
    #[command(hide = true)]
    Docs { page: DocsPage },
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The port for sound and picture; 0 picks a free one
    #[arg(long, value_name = "PORT")]
    pub(crate) media_udp: Option<u16>,
    /// The same over TCP, for networks that let no UDP through
    #[arg(long, value_name = "PORT")]
    pub(crate) media_tcp: Option<u16>,
    /// HTTPS: off, files (the two below) or self-signed (for the local network)
    #[arg(long, value_name = "MODE")]
    pub(crate) tls: Option<String>,
    /// The certificate and what vouches for it, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also call the configured addresses, and go a client's way to this server hop by hop
    #[arg(long)]
    pub(crate) network: bool,
    /// Go the way to another server instead, with nothing of this machine's set-up
    #[arg(long, value_name = "URL", requires = "network")]
    pub(crate) url: Option<String>,
    /// That server's API key
    #[arg(long, value_name = "KEY", env = "LIVEKIT_API_KEY")]
    pub(crate) api_key: Option<String>,
    /// Its secret
    #[arg(
        long,
        value_name = "SECRET",
        env = "LIVEKIT_API_SECRET",
        hide_env_values = true
    )]
    pub(crate) api_secret: Option<String>,
    /// One JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Transcripts to play as one series, in this order; without any, the built-in series
    pub(crate) files: Vec<PathBuf>,
    /// Times faster than people spoke; without it, fast enough to end in under two minutes
    #[arg(long, value_name = "N", conflicts_with = "fast")]
    pub(crate) speed: Option<f64>,
    /// Wait for nobody
    #[arg(long)]
    pub(crate) fast: bool,
    /// A running server to use, instead of one in this process
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The transcripts
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Whose meetings they become: the address of an account, on this machine's data directory
    #[arg(long, value_name = "EMAIL", conflicts_with = "server")]
    pub(crate) user: Option<String>,
    /// A running server to send them to
    #[arg(long, value_name = "URL", requires = "token")]
    pub(crate) server: Option<String>,
    /// An access token or API key for that server
    #[arg(
        long,
        value_name = "TOKEN",
        env = "MEETMIND_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Only say whether it is valid
    Check,
    /// Print the address and key pair of the LiveKit server inside, for servers and agents of yours
    Livekit,
    /// Make a new key for signing tokens; a running server takes it at its next start
    RotateKey {
        /// Let nothing count that was signed with the present key: for one that others may have
        #[arg(long)]
        forget: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; prints a link to set its password
    Create {
        /// The address to sign in with
        email: String,
        /// What others see; without it, the part before the @
        #[arg(long)]
        name: Option<String>,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
    },
    /// List accounts
    List,
    /// Close an account and end its sessions
    Disable { email: String },
    /// Open a closed account again
    Enable { email: String },
    /// Print a link to set a new password
    Reset { email: String },
    /// Make somebody an administrator
    Promote { email: String },
    /// Make an administrator a member again
    Demote { email: String },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DocsPage {
    Errors,
    Configuration,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LoadtestArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LoadtestCommand>,
    /// An empty Postgres database to measure on, instead of SQLite; what is written stays in it
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// SQLite waits for the disk at every commit, so that a power cut costs nothing
    #[arg(long, conflicts_with = "postgres")]
    pub(crate) synchronous_full: bool,
    /// The CPUs the server may use, as `taskset` takes them, such as 0; hold this program to others
    #[arg(long, value_name = "LIST")]
    pub(crate) server_cpus: Option<String>,
    /// Seconds per measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// Connections at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) connections: u64,
    /// WebSocket clients of the fan-out
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) clients: u64,
    /// Segments to fill the database with before memory is read again
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub(crate) segments: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LoadtestCommand {
    /// Rooms with sound and picture: loss, delay, freezes, and what they cost the server
    Media(Box<MediaLoadArgs>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MediaLoadArgs {
    /// A running MeetMind or LiveKit server (ws://…, http://…); without it, one is started on loopback
    #[arg(
        long,
        value_name = "URL",
        requires = "api_key",
        requires = "api_secret"
    )]
    pub(crate) url: Option<String>,
    /// That server's API key
    #[arg(long, value_name = "KEY", env = "LIVEKIT_API_KEY")]
    pub(crate) api_key: Option<String>,
    /// Its secret
    #[arg(
        long,
        value_name = "SECRET",
        env = "LIVEKIT_API_SECRET",
        hide_env_values = true
    )]
    pub(crate) api_secret: Option<String>,
    /// Rooms at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) rooms: u64,
    /// Participants per room who publish, and receive the others
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) publishers: u64,
    /// Participants per room who only receive
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) subscribers: u64,
    /// Opus at 32 kbit/s; without --audio and --video, both
    #[arg(long)]
    pub(crate) audio: bool,
    /// VP8 at 720p in three simulcast layers
    #[arg(long)]
    pub(crate) video: bool,
    /// The largest layer alone
    #[arg(long)]
    pub(crate) no_simulcast: bool,
    /// Seconds that count, after everybody is in
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// The CPUs of the server that is started, as `taskset` takes them; hold this program to others
    #[arg(long, value_name = "LIST", conflicts_with = "url")]
    pub(crate) server_cpus: Option<String>,
    /// Media threads of the server that is started
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub(crate) server_threads: Option<usize>,
    /// The running server's process; without it, found by its port
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) server_pid: Option<u32>,
    /// What the column is called
    #[arg(long, default_value = "MeetMind")]
    pub(crate) label: String,
    /// Also write the figures to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Figures of an earlier run (--json), to print the ratio
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
