//! Backup, restore, and moving between databases: one file of lines, the same for both engines.
//!
//! The first line says what the file is; each further one is a row; the last one holds the number of
//! rows per table and a checksum of everything before it. A file without its last line is refused.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use meetmind_app::{Clock as _, SystemClock};
use meetmind_store::{RowCounts, Store, backup_columns};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Sources, without_password};
use crate::server::{RECORDINGS, open_store, sqlite_path};
use crate::{data_dir, progress};

const FORMAT: &str = "meetmind.backup/1";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    /// The program that wrote it.
    written_by: String,
    created_at: String,
    /// The schema's version.
    schema: i64,
    /// The engine it came from; it can be restored to either.
    engine: String,
    /// The tables in order, each with its columns in order.
    tables: Vec<(String, Vec<String>)>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    rows: RowCounts,
    sha256: String,
}

/// A row: the table's name and the values.
#[derive(Debug, Deserialize)]
struct Row<'a>(
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    #[serde(borrow)] &'a RawValue,
);

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `meetmind backup FILE`.
pub(crate) async fn backup(sources: &Sources, file: &Path, bars: bool) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    ensure!(
        !file.exists(),
        "{} is there already: a backup overwrites nothing",
        file.display()
    );
    let store = open_existing(&config, sources).await?;
    let counts = write_checked(&store, file, bars).await?;
    let (files, bytes) = store.read().await?.recording_sizes().await?;
    store.close().await;
    println!(
        "{}: {} rows in {} tables, {} KB, written and read back",
        file.display(),
        counts.values().sum::<u64>(),
        counts.len(),
        fs::metadata(file)?.len().div_ceil(1024)
    );
    if files > 0 {
        println!(
            "the files of recordings are not in it ({files} files, {} MB): copy {} as well",
            bytes.unsigned_abs().div_ceil(1 << 20),
            config.data_dir(sources)?.join(RECORDINGS).display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `meetmind restore FILE`.
pub(crate) async fn restore(
    sources: &Sources,
    file: &Path,
    force: bool,
    bars: bool,
) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    let folder = config.data_dir(sources)?;
    // The whole file is read and checked before anything is touched.
    let (head, tail) = check(file, bars)?;
    let settings = config.store(&folder);
    let _lock = data_dir::lock(&folder)?;
    let Some(path) = sqlite_path(&settings.url).map(PathBuf::from) else {
        ensure!(
            !force,
            "--force is for SQLite files: for Postgres, name an empty database"
        );
        let store = open_store(&config, &folder).await?;
        let counts = fill(&store, file, &tail, bars).await?;
        store.close().await;
        let code = restored(&head, &counts, &without_password(&settings.url));
        tell_of_recordings(&counts, &folder);
        return Ok(code);
    };
    let is_there = fs::metadata(&path).is_ok_and(|data| data.len() > 0);
    ensure!(
        !is_there || force,
        "{} holds a database already: restore into an empty data directory, or keep that one aside with --force",
        folder.display()
    );
    // Beside its place first: a restore that fails half-way leaves what was there.
    let beside = with_suffix(&path, ".restoring");
    remove_sqlite(&beside)?;
    data_dir::private_file(&beside)?;
    let filled = async {
        let store = Store::open(&meetmind_store::Settings {
            url: format!("sqlite:{}", beside.display()),
            ..settings
        })
        .await?;
        store.migrate(env!("CARGO_PKG_VERSION")).await?;
        let counts = fill(&store, file, &tail, bars).await?;
        let damage = store.damage().await?;
        ensure!(
            damage.is_empty(),
            "the restored database is damaged: {}",
            damage.join("; ")
        );
        store.close().await;
        anyhow::Ok(counts)
    };
    let counts = match filled.await {
        Ok(counts) => counts,
        Err(error) => {
            remove_sqlite(&beside)?;
            return Err(error);
        }
    };
    if is_there {
        let stamp = SystemClock.now().to_string().replace([':', '.'], "-");
        let aside = with_suffix(&path, &format!(".before-restore-{stamp}"));
        for end in ["", "-wal", "-shm"] {
            let from = with_suffix(&path, end);
            if from.exists() {
                fs::rename(&from, with_suffix(&aside, end))?;
            }
        }
        println!("the database that was there is kept as {}", aside.display());
    }
    fs::rename(&beside, &path)?;
    File::open(&folder)?.sync_all()?;
    let code = restored(&head, &counts, &path.display().to_string());
    tell_of_recordings(&counts, &folder);
    Ok(code)
}

/// Files of recordings are no part of a backup: whoever restores one has to put them back.
fn tell_of_recordings(counts: &RowCounts, folder: &Path) {
    let files = counts.get("recording_files").copied().unwrap_or(0);
    if files > 0 {
        println!(
            "it names {files} files of recordings, which are not in a backup: put them back into {}",
            folder.join(RECORDINGS).display()
        );
    }
}

/// `meetmind migrate [--to URL]`.
pub(crate) async fn migrate(sources: &Sources, to: Option<String>, bars: bool) -> Result<ExitCode> {
    let config = Config::load(sources)?;
    let folder = config.data_dir(sources)?;
    let Some(to) = to else {
        let _lock = data_dir::lock(&folder)?;
        let store = open_store(&config, &folder).await?;
        let version = store.schema_version().await?.unwrap_or(0);
        store.close().await;
        println!("the schema is at version {version}");
        return Ok(ExitCode::SUCCESS);
    };
    ensure!(
        !data_dir::is_locked(&folder),
        "stop the server first: what is written during the move would be left behind"
    );
    let _lock = data_dir::lock(&folder)?;
    let from = open_existing(&config, sources).await?;
    if let Some(path) = sqlite_path(&to) {
        ensure!(!Path::new(path).exists(), "{path} is there already");
        data_dir::private_file(Path::new(path))?;
    }
    let target = Store::open(&meetmind_store::Settings {
        url: to.clone(),
        ..config.store(&folder)
    })
    .await
    .with_context(|| format!("{} cannot be opened", without_password(&to)))?;
    target.migrate(env!("CARGO_PKG_VERSION")).await?;
    let between = folder.join("moving.jsonl");
    let _ = fs::remove_file(&between);
    let moved = async {
        write_checked(&from, &between, bars).await?;
        let (head, tail) = check(&between, false)?;
        let counts = fill(&target, &between, &tail, bars).await?;
        anyhow::Ok((head, counts))
    };
    let moved = moved.await;
    fs::remove_file(&between).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let (head, counts) = moved?;
    from.close().await;
    target.close().await;
    let code = restored(&head, &counts, &without_password(&to));
    println!("set database.url (or DATABASE_URL) to it before the next start");
    Ok(code)
}

fn restored(head: &Head, counts: &RowCounts, place: &str) -> ExitCode {
    println!(
        "{} rows of {} ({}) are in {place}",
        counts.values().sum::<u64>(),
        head.created_at,
        head.engine
    );
    ExitCode::SUCCESS
}

/// Opens a database that must be there, with the schema this program knows; changes nothing.
async fn open_existing(config: &Config, sources: &Sources) -> Result<Store> {
    let folder = config.data_dir(sources)?;
    let settings = config.store(&folder);
    if let Some(path) = sqlite_path(&settings.url) {
        ensure!(
            fs::metadata(path).is_ok_and(|data| data.len() > 0),
            "there is no database at {path}"
        );
    }
    let store = Store::open(&settings)
        .await
        .with_context(|| format!("{} cannot be opened", without_password(&settings.url)))?;
    let known = Store::schema_known();
    match store.schema_version().await? {
        Some(found) if found == known => Ok(store),
        Some(found) if found > known => bail!(
            "the database has schema {found}; this program knows up to {known}: use the newer one"
        ),
        _ => bail!("the schema is older than this program: run `meetmind migrate` first"),
    }
}

/// Writes a backup beside its place, reads it back, and only then gives it its name.
async fn write_checked(store: &Store, file: &Path, bars: bool) -> Result<RowCounts> {
    let damage = store.damage().await?;
    ensure!(
        damage.is_empty(),
        "the database is damaged; restore an older backup: {}",
        damage.join("; ")
    );
    let beside = with_suffix(file, ".writing");
    let written = async {
        let bar = progress::bar(bars, None, "writing");
        let written = write(store, &beside, &bar).await;
        let counts = written.with_context(|| format!("{} was not written", file.display()))?;
        bar.finish_and_clear();
        let (_, tail) = check(&beside, bars)?;
        ensure!(
            tail.rows == counts,
            "the backup does not read back as it was written"
        );
        fs::rename(&beside, file)?;
        anyhow::Ok(counts)
    };
    written.await.inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

async fn write(store: &Store, path: &Path, bar: &ProgressBar) -> Result<RowCounts> {
    // Whoever reads a backup can be everybody in it: for this user alone.
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let mut out = Hashing {
        inner: BufWriter::new(file),
        hash: Sha256::new(),
    };
    let owned = |(table, columns): (&str, Vec<&str>)| {
        let columns = columns.into_iter().map(str::to_owned).collect();
        (table.to_owned(), columns)
    };
    let head = Head {
        format: FORMAT.to_owned(),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: SystemClock.now().to_string(),
        schema: Store::schema_known(),
        engine: store.engine().as_str().to_owned(),
        tables: backup_columns().into_iter().map(owned).collect(),
    };
    writeln!(out, "{}", serde_json::to_string(&head)?)?;
    let mut sink = |table: &'static str, row: String| {
        bar.inc(1);
        writeln!(out, "[\"{table}\",{row}]")
    };
    let rows = store.dump(&mut sink).await?;
    let tail = Tail {
        rows: rows.clone(),
        sha256: hex(&out.hash.clone().finalize()),
    };
    let mut file = out.inner;
    writeln!(file, "{}", serde_json::to_string(&tail)?)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(rows)
}

/// Reads a whole backup: the form of every line, the number of rows, the checksum.
fn check(path: &Path, bars: bool) -> Result<(Head, Tail)> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
    let bar = progress::bar(bars, Some(file.metadata()?.len()), "checking");
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line).ok();
    let head: Head = serde_json::from_str(&line)
        .ok()
        .filter(|head: &Head| head.format == FORMAT)
        .with_context(|| format!("{shown} is no backup of MeetMind"))?;
    let known = Store::schema_known();
    ensure!(
        head.schema <= known,
        "{shown} has schema {}, written by MeetMind {}; this program knows up to {known}",
        head.schema,
        head.written_by
    );
    ensure!(
        head.schema == known,
        "{shown} has the older schema {}: restore it with MeetMind {}, then start this one on it",
        head.schema,
        head.written_by
    );
    let same = head.tables.iter().map(|(table, columns)| {
        (
            table.as_str(),
            columns.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    });
    ensure!(
        same.eq(backup_columns()),
        "{shown} has other tables or columns than this program"
    );
    let mut hash = Sha256::new();
    let mut rows: RowCounts = head
        .tables
        .iter()
        .map(|(table, _)| (table.clone(), 0))
        .collect();
    loop {
        hash.update(&line);
        bar.inc(line.len() as u64);
        line.clear();
        let read = reader
            .read_line(&mut line)
            .with_context(|| format!("{shown} is damaged"))?;
        ensure!(read > 0, "{shown} is cut off: it has no last line");
        if line.starts_with('[') {
            let Row(table, _) = serde_json::from_str(&line)
                .with_context(|| format!("{shown} has a damaged line"))?;
            *rows
                .get_mut(table.as_ref())
                .with_context(|| format!("{shown} has rows of no table"))? += 1;
            continue;
        }
        let tail: Tail = serde_json::from_str(&line)
            .with_context(|| format!("{shown} has a damaged last line"))?;
        ensure!(
            tail.sha256 == hex(&hash.finalize()) && tail.rows == rows,
            "{shown} was changed or damaged since it was written: its checksum differs"
        );
        bar.finish_and_clear();
        return Ok((head, tail));
    }
}

/// Puts the rows of a checked backup into an empty database.
async fn fill(store: &Store, path: &Path, tail: &Tail, bars: bool) -> Result<RowCounts> {
    let bar = progress::bar(bars, Some(tail.rows.values().sum()), "restoring");
    let mut load = store.load().await?;
    for line in BufReader::new(File::open(path)?).lines().skip(1) {
        let line = line?;
        if !line.starts_with('[') {
            break;
        }
        let Row(table, row) = serde_json::from_str(&line)?;
        load.row(&table, row.get()).await?;
        bar.inc(1);
    }
    let mut counts = load.finish().await?;
    bar.finish_and_clear();
    for table in tail.rows.keys() {
        counts.entry(table.clone()).or_default();
    }
    ensure!(counts == tail.rows, "not every row arrived");
    store
        .instance_set("written_by", env!("CARGO_PKG_VERSION"))
        .await?;
    Ok(counts)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_sqlite(path: &Path) -> Result<()> {
    for end in ["", "-wal", "-shm"] {
        let path = with_suffix(path, end);
        if path.exists() {
            fs::remove_file(&path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
