//! API keys: they sign tokens, and verify what others signed with them.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use meetmind_core::Timestamp;
use serde::Deserialize;

use super::Claims;

/// A LiveKit server's tolerance for clocks that differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// Metadata and attributes at their limits, escaped in JSON and in base64, with room to spare.
const MAX_TOKEN_BYTES: usize = 4 * 1024 * 1024;

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the LiveKit token could not be signed")]
pub struct TokenError(#[from] jsonwebtoken::errors::Error);

/// Why a token is not accepted. The text is the one that a LiveKit server answers, with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It is no JWT, is too long, or is signed by another algorithm than HS256.
    #[error("invalid authorization token")]
    Malformed,
    /// Its issuer is no API key of ours.
    #[error("invalid API key")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("invalid authorization token: token signature is invalid: signature is invalid")]
    BadSignature,
    /// The signature holds, yet the claims are not those of LiveKit.
    #[error("invalid authorization token: token is malformed: could not JSON decode claim")]
    BadClaims,
    /// It never ends.
    #[error(
        "invalid authorization token: token has invalid claims: token is missing required claim: exp claim is required"
    )]
    NoExpiry,
    /// It has ended.
    #[error("invalid authorization token: token has invalid claims: token is expired")]
    Expired,
    /// It does not hold yet.
    #[error("invalid authorization token: token has invalid claims: token is not valid yet")]
    NotYetValid,
}

/// An API key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    key: String,
    secret: String,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret must not reach a log.
        f.debug_struct("ApiKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A key and its secret, of which LiveKit asks at least 32 bytes.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            secret: secret.into(),
        }
    }

    /// The public part.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The secret part; for whoever signs elsewhere, never for a log.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Signs `claims` as of `now` for `ttl`; `iss`, `nbf` and `exp` are set here.
    ///
    /// # Errors
    /// When the signer refuses the secret.
    pub fn sign(
        &self,
        claims: &Claims,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        let claims = Claims {
            iss: self.key.clone(),
            nbf: Some(now.seconds()),
            exp: Some(now.plus(ttl).seconds()),
            ..claims.clone()
        };
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
    }
}

/// The API keys that are accepted, told apart by the token's `iss`.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys {
    keys: Vec<ApiKey>,
}

impl FromIterator<ApiKey> for ApiKeys {
    fn from_iter<T: IntoIterator<Item = ApiKey>>(keys: T) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

impl ApiKeys {
    /// The key of this name. A key with an empty secret counts as absent: anybody could sign with it.
    pub fn get(&self, key: &str) -> Option<&ApiKey> {
        self.keys
            .iter()
            .find(|candidate| candidate.key == key && !candidate.secret.is_empty())
    }

    /// Verifies a token as a LiveKit server does: HS256 only, a known `iss`, the signature in
    /// constant time, `exp` required, one minute of leeway on `exp` and `nbf`.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenRefused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefused::Malformed)?;
        let (head, body) = signed.split_once('.').ok_or(TokenRefused::Malformed)?;
        let head: Head = part(head).ok_or(TokenRefused::Malformed)?;
        if head.alg != "HS256" {
            return Err(TokenRefused::Malformed);
        }
        let body = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| TokenRefused::Malformed)?;
        let issuer: Issuer = serde_json::from_slice(&body).map_err(|_| TokenRefused::Malformed)?;
        let key = self.get(&issuer.iss).ok_or(TokenRefused::UnknownKey)?;
        let secret = DecodingKey::from_secret(key.secret.as_bytes());
        let holds =
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &secret, Algorithm::HS256);
        if !matches!(holds, Ok(true)) {
            return Err(TokenRefused::BadSignature);
        }
        let claims: Claims = serde_json::from_slice(&body).map_err(|_| TokenRefused::BadClaims)?;
        let exp = claims.exp.ok_or(TokenRefused::NoExpiry)?;
        if now.seconds() >= exp.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenRefused::Expired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| now.seconds() < nbf.saturating_sub(LEEWAY_SECONDS))
        {
            return Err(TokenRefused::NotYetValid);
        }
        Ok(claims)
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
