//! Accounts, sessions, tokens, keys.

mod guest;

use meetmind_core::Result;
use meetmind_store::Store;

use crate::{Entropy, Settings};

/// Keys and caches.
#[derive(Debug)]
pub(crate) struct State {}

impl State {
    pub(crate) async fn load(
        _store: &Store,
        _settings: &Settings,
        _entropy: &Entropy,
    ) -> Result<Self> {
        Ok(Self {})
    }
}
