//! The table of contents of a recording.

use serde::{Deserialize, Serialize};

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Everybody's sound.
    Mixed,
    /// One track's sound.
    Audio,
    /// One track's pictures.
    Video,
}

/// One file of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedFile {
    /// Its name, as in [`Chunk::file`].
    pub name: String,
    /// What it contains.
    pub kind: FileKind,
    /// Whose it is; nobody's for the mix.
    pub participant: Option<String>,
    /// The track's sid; none for the mix.
    pub track: Option<String>,
    /// Where its beginning lies in the recording.
    pub start_ms: u64,
    /// How long it plays.
    pub duration_ms: u64,
    /// Its length.
    pub size_bytes: u64,
}

/// A time in which a participant agreed to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentSpan {
    /// Since when, from the recording's beginning.
    pub from_ms: u64,
    /// Until when; `None` if it holds still.
    pub to_ms: Option<u64>,
}

/// A participant of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedParticipant {
    /// The identity.
    pub identity: String,
    /// When recording was allowed.
    pub consent: Vec<ConsentSpan>,
}

/// The table of contents of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingIndex {
    /// How long the recording lasted.
    pub duration_ms: u64,
    /// Files with at least one byte, by name.
    pub files: Vec<IndexedFile>,
    /// Everybody who was asked or had a track, by identity.
    pub participants: Vec<IndexedParticipant>,
}
