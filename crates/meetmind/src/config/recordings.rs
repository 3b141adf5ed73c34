//! How recordings are kept.

use std::time::Duration;

use anyhow::{Result, ensure};
use meetmind_app::RecordingSettings;
use serde::Deserialize;

use super::DAY;

/// `[recordings]` of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recordings {
    retention_days: u64,
    max_minutes: u64,
    max_mb: u64,
    min_free_mb: u64,
    max_running: usize,
}

impl Recordings {
    /// Holds the numbers to their ranges.
    pub(super) fn check(&self) -> Result<()> {
        let numbers = [
            ("retention_days", self.retention_days, 0, 36_500),
            ("max_minutes", self.max_minutes, 1, 10_080),
            ("max_mb", self.max_mb, 1, 1 << 30),
            ("min_free_mb", self.min_free_mb, 0, 1 << 30),
            ("max_running", self.max_running as u64, 1, 1_000),
        ];
        for (name, value, least, most) in numbers {
            ensure!(
                (least..=most).contains(&value),
                "recordings.{name} must be {least} to {most}"
            );
        }
        Ok(())
    }

    /// As the use cases need them; the folder is that of the data.
    pub(super) fn settings(&self, defaults: RecordingSettings) -> RecordingSettings {
        RecordingSettings {
            retention: (self.retention_days > 0)
                .then(|| Duration::from_secs(self.retention_days * DAY)),
            max_duration: Duration::from_secs(self.max_minutes * 60),
            max_bytes: self.max_mb << 20,
            min_free_bytes: self.min_free_mb << 20,
            max_running: self.max_running,
            ..defaults
        }
    }
}
