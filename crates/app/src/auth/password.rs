//! Hashing passwords, and which ones are accepted.

use std::num::NonZeroUsize;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use meetmind_core::{Code, Error, Result};
use tokio::sync::Semaphore;

use crate::{AuthSettings, Entropy};

/// The longest password: 256 characters are 1,024 bytes at most.
const MAX_LENGTH: usize = 256;

/// Hashes with Argon2id, as many at a time as there are cores: each takes the configured memory.
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
    params: Params,
    /// How a hash with the present parameters begins.
    prefix: String,
    /// A hash that no password has, for accounts that do not exist: the work is the same.
    dummy: String,
    min_length: usize,
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The password is the right one.
    pub(super) matches: bool,
    /// The stored hash has older parameters.
    pub(super) stale: bool,
}

impl Hasher {
    pub(super) fn new(settings: &AuthSettings, entropy: &Entropy) -> Result<Self> {
        let params = Params::new(settings.argon2_memory_kib, settings.argon2_passes, 1, None)
            .map_err(|error| {
                Error::new(
                    Code::ValidationFailed,
                    format!("the Argon2 settings: {error}"),
                )
            })?;
        let prefix = format!(
            "$argon2id$v=19$m={},t={},p=1$",
            settings.argon2_memory_kib, settings.argon2_passes
        );
        let part = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
        let dummy = format!(
            "{prefix}{}${}",
            part(&entropy.bytes::<16>()),
            part(&entropy.bytes::<32>())
        );
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Self {
            permits: Arc::new(Semaphore::new(cores)),
            params,
            prefix,
            dummy,
            min_length: settings.password_min_length,
        })
    }

    /// Runs heavy work beside the async threads, when a core is free for it.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(Error::internal)?;
        // The permit goes with the work: a caller that hangs up does not free it early.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(Error::internal)
    }

    /// The PHC string of a password.
    pub(super) async fn hash(&self, password: String, salt: [u8; 16]) -> Result<String> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        self.run(move || {
            argon2
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| Error::internal(error.to_string()))
    }

    /// Compares a password with a hash; without one it works as long and says no.
    pub(super) async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict> {
        let stale = stored
            .as_ref()
            .is_some_and(|hash| !hash.starts_with(&self.prefix));
        let exists = stored.is_some();
        let hash = stored.unwrap_or_else(|| self.dummy.clone());
        let too_long = password.chars().count() > MAX_LENGTH;
        let matches = self
            .run(move || {
                let password = if too_long { "" } else { password.as_str() };
                Argon2::default()
                    .verify_password(password.as_bytes(), hash.as_str())
                    .is_ok()
            })
            .await?;
        Ok(Verdict {
            matches: matches && exists && !too_long,
            stale,
        })
    }

    /// Refuses passwords that are short or easy to guess. `context` are words that an attacker
    /// would try first: the product, the address, the name. There are no rules of composition.
    pub(super) async fn accept(&self, password: &str, context: &[&str]) -> Result<()> {
        let length = password.chars().count();
        if length > MAX_LENGTH {
            return Err(Error::invalid(
                "password",
                format!("must have at most {MAX_LENGTH} characters"),
            ));
        }
        if length < self.min_length {
            return Err(weak(format!(
                "the password must have at least {} characters",
                self.min_length
            )));
        }
        let (password, words) = (password.to_owned(), context_words(context));
        let guessable = self
            .run(move || {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                is_guessable(&password, &words)
            })
            .await?;
        if guessable {
            return Err(weak(
                "the password is too easy to guess: take a longer one, such as four words that do not belong together",
            ));
        }
        Ok(())
    }
}

fn weak(message: impl Into<String>) -> Error {
    Error::new(Code::WeakPassword, message.into())
}

fn context_words(context: &[&str]) -> Vec<String> {
    let mut words = vec!["meetmind".to_owned()];
    for text in context {
        words.push(text.to_lowercase());
        let local = text.split('@').next().unwrap_or_default();
        let joined = local.chars().filter(|letter| letter.is_alphanumeric());
        words.push(joined.collect::<String>().to_lowercase());
        words.extend(
            text.split(|letter: char| !letter.is_alphanumeric())
                .filter(|word| word.chars().count() > 2)
                .map(str::to_lowercase),
        );
    }
    words
}

/// Fewer than a million guesses by an attacker who knows the common passwords (zxcvbn ranks
/// 30,000 of them), words, names, keyboard rows, dates, and the context.
fn is_guessable(password: &str, context: &[&str]) -> bool {
    zxcvbn::zxcvbn(password, context).score() < zxcvbn::Score::Two
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(memory: u32) -> Hasher {
        let settings = AuthSettings {
            argon2_memory_kib: memory,
            argon2_passes: 1,
            ..crate::Settings::default().auth
        };
        Hasher::new(&settings, &Entropy::seeded(1)).expect("a hasher")
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_its_age() {
        let (old, new) = (hasher(64), hasher(128));
        let hash = old
            .hash("gråsparv på taket".to_owned(), [7; 16])
            .await
            .expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        let verdict = new
            .verify("gråsparv på taket".to_owned(), Some(hash.clone()))
            .await;
        assert_eq!(
            verdict.expect("a verdict"),
            Verdict {
                matches: true,
                stale: true
            }
        );
        let verdict = old.verify("Gråsparv på taket".to_owned(), Some(hash)).await;
        assert_eq!(
            verdict.expect("a verdict"),
            Verdict {
                matches: false,
                stale: false
            }
        );
    }

    #[tokio::test]
    async fn nobody_has_the_password_of_an_account_that_does_not_exist() {
        let hasher = hasher(64);
        argon2::password_hash::phc::PasswordHash::new(&hasher.dummy).expect("a readable hash");
        let verdict = hasher.verify(String::new(), None).await.expect("a verdict");
        assert!(!verdict.matches);
    }
}
