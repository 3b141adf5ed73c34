//! Invitation codes.

use crate::App;

/// Letters that are hard to mistake for one another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

impl App {
    /// A new invitation code: 16 letters, 80 bits.
    pub(crate) fn invite_code(&self) -> String {
        self.entropy()
            .bytes::<16>()
            .iter()
            .map(|byte| LETTERS[usize::from(byte % 32)] as char)
            .collect()
    }
}
