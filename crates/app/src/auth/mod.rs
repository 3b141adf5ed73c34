//! Accounts, sessions, tokens, keys.

mod guest;

use meetmind_core::{Actor, Code, Error, Result};
use meetmind_store::Store;

use crate::{App, Entropy, Settings};

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

impl App {
    /// Who a bearer credential stands for.
    ///
    /// # Errors
    /// `TOKEN_INVALID` and its like.
    pub async fn authenticate(&self, _credential: &str) -> Result<Actor> {
        Err(Error::new(Code::TokenInvalid, "the token is not valid"))
    }

    /// Who a WebSocket ticket stands for; it works once.
    ///
    /// # Errors
    /// `TOKEN_INVALID`.
    pub async fn ws_ticket_redeem(&self, _ticket: &str) -> Result<Actor> {
        Err(Error::new(Code::TokenInvalid, "the ticket is not valid"))
    }
}
