//! What a recording left on the disk: its files, how long they play, their checksums.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use meetmind_core::{
    RecordedParticipant, RecordedSpan, RecordingFileKind, SkippedTrack, Timestamp,
};
use meetmind_media::record::index::{FileKind, IndexedFile, RecordingIndex};
use meetmind_media::record::probe;
use meetmind_media::{KeptIndex, RECORDING_INDEX};
use sha2::{Digest as _, Sha256};

/// Letters of a participant's id: with it the name of a track's file begins.
const ID_LETTERS: usize = 30;

/// The largest table of contents that is read, in bytes.
const INDEX_MAX: u64 = 64 << 20;

/// What is there of a recording.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) duration_ms: i64,
    pub(super) dropped_packets: i64,
    pub(super) participants: Vec<RecordedParticipant>,
    pub(super) skipped: Vec<SkippedTrack>,
    pub(super) files: Vec<FoundFile>,
}

/// A file of a recording.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) name: String,
    pub(super) kind: RecordingFileKind,
    /// Whose track it is.
    pub(super) identity: Option<String>,
    pub(super) track: Option<String>,
    pub(super) content_type: &'static str,
    pub(super) start_ms: i64,
    pub(super) duration_ms: i64,
    pub(super) size_bytes: i64,
    pub(super) sha256: String,
}

/// Looks at the folder of a recording. `kept` is what its thread told at its end; without that its process
/// died: what was kept beside the files is read, files are cut back to what is whole, and times are taken
/// from the files themselves.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn find(
    directory: &Path,
    kept: Option<KeptIndex>,
    started_at: Timestamp,
) -> io::Result<Found> {
    let died = kept.is_none();
    let kept = match kept {
        Some(kept) => kept,
        None => read_index(directory),
    };
    let mut indexed: BTreeMap<&str, &IndexedFile> = BTreeMap::new();
    for file in &kept.index.files {
        indexed.insert(&file.name, file);
    }
    let mut found = Found {
        duration_ms: number(kept.index.duration_ms),
        dropped_packets: number(kept.dropped_packets),
        participants: participants(&kept.index),
        skipped: kept.skipped.iter().map(skipped).collect(),
        files: Vec::new(),
    };
    for name in names(directory)? {
        let path = directory.join(&name);
        let known = indexed.get(name.as_str()).copied();
        if let Some(file) = file(&path, name, known, died, started_at)? {
            found.duration_ms = found.duration_ms.max(file.start_ms + file.duration_ms);
            found.files.push(file);
        }
    }
    Ok(found)
}

/// The table of contents that was kept while it ran; an empty one when there is none or it is damaged.
fn read_index(directory: &Path) -> KeptIndex {
    let read = || -> io::Result<KeptIndex> {
        let file = File::open(directory.join(RECORDING_INDEX))?;
        let mut text = String::new();
        file.take(INDEX_MAX).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, directory = %directory.display(), "a recording has no table of contents");
        KeptIndex::default()
    })
}

/// The names of the media files in a recording's folder, in order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["", "tracks/"] {
        let entries = match fs::read_dir(directory.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if entry.file_type()?.is_file() && content_type(name).is_some() {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "ogg" => Some("audio/ogg"),
        "webm" => Some("video/webm"),
        "mkv" => Some("video/x-matroska"),
        _ => None,
    }
}

/// One file; none for one in which nothing is whole.
fn file(
    path: &Path,
    name: String,
    known: Option<&IndexedFile>,
    died: bool,
    started_at: Timestamp,
) -> io::Result<Option<FoundFile>> {
    let Some(content_type) = content_type(&name) else {
        return Ok(None);
    };
    let mut opened = OpenOptions::new().read(true).write(died).open(path)?;
    let probe = if content_type == "audio/ogg" {
        probe::ogg(&mut opened)?
    } else {
        probe::webm(&mut opened)?
    };
    if died {
        opened.set_len(probe.whole_bytes)?;
    }
    let metadata = opened.metadata()?;
    let duration_ms = match known.filter(|_| !died) {
        Some(known) => number(known.duration_ms),
        None => number(probe.duration_ms),
    };
    let start_ms = match known {
        Some(known) => number(known.start_ms),
        // It began between the last table of contents and the end: what it plays ended with its last write.
        None => {
            let written = metadata.modified()?;
            let written = written
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| number(since.as_millis()));
            (written - started_at.micros() / 1000 - duration_ms).max(0)
        }
    };
    let guessed = guess(&name);
    let (kind, identity, track) = match known {
        Some(known) => (
            match known.kind {
                FileKind::Mixed => RecordingFileKind::Mix,
                FileKind::Audio => RecordingFileKind::Audio,
                FileKind::Video => RecordingFileKind::Video,
            },
            known.participant.clone(),
            known.track.clone(),
        ),
        None => guessed,
    };
    let size_bytes = number(metadata.len());
    if size_bytes == 0 {
        return Ok(None);
    }
    drop(opened);
    Ok(Some(FoundFile {
        sha256: checksum(path)?,
        name,
        kind,
        identity,
        track,
        content_type,
        start_ms,
        duration_ms,
        size_bytes,
    }))
}

/// What the name of a file tells of it.
fn guess(name: &str) -> (RecordingFileKind, Option<String>, Option<String>) {
    let Some(track) = name.strip_prefix("tracks/") else {
        return (RecordingFileKind::Mix, None, None);
    };
    let (stem, extension) = track.rsplit_once('.').unwrap_or((track, ""));
    let kind = if extension == "ogg" {
        RecordingFileKind::Audio
    } else {
        RecordingFileKind::Video
    };
    match (stem.get(..ID_LETTERS), stem.get(ID_LETTERS + 1..)) {
        (Some(identity), Some(track)) => (kind, Some(identity.to_owned()), Some(track.to_owned())),
        _ => (kind, None, None),
    }
}

fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            got => hash.update(&buffer[..got]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Who was recorded at all, and when.
fn participants(index: &RecordingIndex) -> Vec<RecordedParticipant> {
    let recorded = index
        .participants
        .iter()
        .filter(|it| !it.consent.is_empty());
    recorded
        .map(|participant| RecordedParticipant {
            identity: participant.identity.clone(),
            consent: participant
                .consent
                .iter()
                .map(|span| RecordedSpan {
                    from_ms: number(span.from_ms),
                    to_ms: span.to_ms.map(number),
                })
                .collect(),
        })
        .collect()
}

fn skipped(track: &meetmind_media::SkippedTrack) -> SkippedTrack {
    SkippedTrack {
        identity: track.participant.clone(),
        track: track.track.clone(),
        mime: track.mime.clone(),
        reason: track.reason.clone(),
    }
}

fn number(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
