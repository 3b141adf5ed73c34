//! Background work from the `jobs` table.

use meetmind_core::{Ctx, Meeting, Result};

use crate::{App, Change};

/// The worker's wake-up call.
#[derive(Debug, Default)]
pub(crate) struct State {
    notify: tokio::sync::Notify,
}

impl State {
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }
}

impl App {
    /// Queues what follows the end of a meeting: the final notes, then the memories.
    pub(crate) async fn meeting_end_queue(
        &self,
        change: &mut Change<'_>,
        _ctx: &Ctx,
        _meeting: &Meeting,
    ) -> Result<()> {
        change.wake_worker();
        Ok(())
    }
}
