//! Calls that leave the process go through here, behind one rule against forged targets.

use meetmind_core::Result;

use crate::OutboundSettings;

/// The client for such calls.
#[derive(Debug)]
pub(crate) struct Client {}

impl Client {
    pub(crate) fn new(_settings: &OutboundSettings) -> Result<Self> {
        Ok(Self {})
    }
}
