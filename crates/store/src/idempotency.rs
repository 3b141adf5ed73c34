//! idempotency

use meetmind_core::Timestamp;

use crate::db::execute;
use crate::statements::statements;
use crate::{Conn, Result};

statements! {
    IDEMPOTENCY_TRIM = "DELETE FROM idempotency_keys WHERE created_at < $1";
}

impl Conn {
    /// Deletes keys older than `before`; gives how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn idempotency_trim(&mut self, before: Timestamp) -> Result<u64> {
        execute!(self, IDEMPOTENCY_TRIM, before)
    }
}
