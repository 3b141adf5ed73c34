//! Accounts, sessions, tokens, keys.

mod guest;

use meetmind_core::Result;
use meetmind_store::Store;

use crate::{Entropy, Settings};

/// Keys and caches.
#[derive(Debug)]
pub(crate) struct State {}

impl crate::App {
    /// The one-time link that makes the first administrator; `None` once there is one.
    pub async fn setup_link(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl State {
    pub(crate) async fn load(
        _store: &Store,
        _settings: &Settings,
        _entropy: &Entropy,
    ) -> Result<Self> {
        Ok(Self {})
    }
}
