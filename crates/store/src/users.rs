//! People, sessions, keys, one-time tokens, throttles.

use meetmind_core::{User, UserId};

use crate::db::fetch_optional;
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! user_columns {
    () => {
        "id, email, name, role, preferences, disabled_at, created_at, updated_at"
    };
}

statements! {
    USER_GET = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
}

impl Conn {
    /// One user.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn user_get(&mut self, id: UserId) -> Result<User> {
        fetch_optional!(self, USER_GET, id)?.ok_or(Error::NotFound("user"))
    }
}
