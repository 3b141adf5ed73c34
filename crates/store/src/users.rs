//! People, and the values that belong to the whole instance.

use meetmind_core::{Timestamp, User, UserId};
use sqlx::types::Json;

use crate::db::{execute, fetch_all, fetch_one, fetch_optional};
use crate::meetings::like_anywhere;
use crate::statements::statements;
use crate::{Conn, Error, Result};

macro_rules! user_columns {
    () => {
        "id, email, name, role, preferences, disabled_at, created_at, updated_at"
    };
}

statements! {
    USER_GET = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
    USER_BY_EMAIL = concat!("SELECT ", user_columns!(), " FROM users WHERE email = $1");
    USER_INSERT = "INSERT INTO users (id, email, name, role, password_hash, preferences, disabled_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    USER_UPDATE = "UPDATE users SET name = $2, role = $3, preferences = $4, disabled_at = $5, updated_at = $6 WHERE id = $1";
    USER_PASSWORD_GET = "SELECT password_hash FROM users WHERE id = $1";
    USER_PASSWORD_SET = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1";
    USER_REHASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    USER_LIST = concat!("SELECT ", user_columns!(), " FROM users WHERE (id > $1 OR $1 IS NULL)
        AND (lower(email) LIKE $2 ESCAPE '!' OR lower(name) LIKE $2 ESCAPE '!' OR $2 IS NULL) ORDER BY id LIMIT $3");
    USER_DELETE = "DELETE FROM users WHERE id = $1";
    ADMIN_COUNT = "SELECT COUNT(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL";
    // Taking the row's lock puts changes to the set of administrators in a row on Postgres;
    // SQLite has one writer anyway.
    INSTANCE_LOCK = "UPDATE instance SET value = value WHERE key = $1";
    INSTANCE_INSERT = "INSERT INTO instance (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
}

impl Conn {
    /// One user.
    ///
    /// # Errors
    /// [`Error::NotFound`], or when the database cannot be reached.
    pub async fn user_get(&mut self, id: UserId) -> Result<User> {
        fetch_optional!(self, USER_GET, id)?.ok_or(Error::NotFound("user"))
    }

    /// The user with this lower-case address.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn user_find_email(&mut self, email: &str) -> Result<Option<User>> {
        fetch_optional!(self, USER_BY_EMAIL, email)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the address has an account.
    pub async fn user_insert(&mut self, user: &User, password_hash: Option<&str>) -> Result<()> {
        execute!(
            self,
            USER_INSERT,
            user.id,
            &user.email,
            &user.name,
            user.role,
            password_hash,
            Json(&user.preferences),
            user.disabled_at,
            user.created_at,
            user.updated_at
        )?;
        Ok(())
    }

    /// Writes name, role, preferences and whether the account is disabled.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn user_update(&mut self, user: &User) -> Result<()> {
        execute!(
            self,
            USER_UPDATE,
            user.id,
            &user.name,
            user.role,
            Json(&user.preferences),
            user.disabled_at,
            user.updated_at
        )?;
        Ok(())
    }

    /// The password's PHC string; `None` for an account without a password or no account.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn user_password_find(&mut self, id: UserId) -> Result<Option<String>> {
        let row: Option<(Option<String>,)> = fetch_optional!(self, USER_PASSWORD_GET, id)?;
        Ok(row.and_then(|(hash,)| hash))
    }

    /// Sets the password's PHC string.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn user_password_set(
        &mut self,
        id: UserId,
        hash: &str,
        now: Timestamp,
    ) -> Result<()> {
        execute!(self, USER_PASSWORD_SET, id, hash, now)?;
        Ok(())
    }

    /// Replaces the hash of an unchanged password by one with newer parameters, unless the
    /// password was changed in between.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn user_rehash(&mut self, id: UserId, old: &str, new: &str) -> Result<()> {
        execute!(self, USER_REHASH, id, old, new)?;
        Ok(())
    }

    /// Users in the order they came, with these characters in address or name.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn user_list(
        &mut self,
        text: Option<&str>,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<User>> {
        fetch_all!(self, USER_LIST, after, text.map(like_anywhere), limit)
    }

    /// Deletes a user with all that belongs to the account alone; gives whether there was one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn user_delete(&mut self, id: UserId) -> Result<bool> {
        Ok(execute!(self, USER_DELETE, id)? == 1)
    }

    /// How many administrators can sign in.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn admin_count(&mut self) -> Result<i64> {
        let (count,): (i64,) = fetch_one!(self, ADMIN_COUNT)?;
        Ok(count)
    }

    /// Waits for other transactions that change who administers, until the end of this one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn admin_lock(&mut self) -> Result<()> {
        execute!(self, INSTANCE_LOCK, "written_by")?;
        Ok(())
    }

    /// Sets a value of the whole instance, if it has none: of several processes that start at
    /// once, one wins.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn instance_insert(&mut self, key: &str, value: &str) -> Result<()> {
        execute!(self, INSTANCE_INSERT, key, value)?;
        Ok(())
    }
}
