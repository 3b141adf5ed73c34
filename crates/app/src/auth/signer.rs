//! The signing key of the instance, the one before it, and the tokens made with them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use meetmind_core::{Ctx, Error, MeetingId, Result, SessionId, Timestamp, admin_may};
use meetmind_store::Store;
use serde::{Deserialize, Serialize};

use super::{Hash, digest, hex, token_expired, token_invalid};
use crate::App;

/// Where the key stands in the `instance` table: PKCS #8, base64.
const KEY_NAME: &str = "signing_key";
/// Where the one before it stands, whose tokens still count; empty when none does.
const PREVIOUS_NAME: &str = "signing_key_previous";
/// Whom all our tokens are for.
const AUDIENCE: &str = "meetmind";
/// How far the clocks of two processes may be apart.
const LEEWAY_S: i64 = 30;

/// What a token is for; its `typ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A session's.
    Access,
    /// A guest's, for one meeting.
    Guest,
}

impl TokenKind {
    const fn typ(self) -> &'static str {
        match self {
            TokenKind::Access => "at+jwt",
            TokenKind::Guest => "guest+jwt",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Set from the header.
    #[serde(skip, default = "access")]
    pub(super) kind: TokenKind,
    pub(super) iss: String,
    pub(super) aud: String,
    /// The user, or the participant of a guest.
    pub(super) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtg: Option<MeetingId>,
    pub(super) jti: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<String>,
}

fn access() -> TokenKind {
    TokenKind::Access
}

impl Claims {
    /// Fails outside the token's time.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<()> {
        let now = now.seconds();
        if self.exp <= now {
            return Err(token_expired());
        }
        if self.iat > now + LEEWAY_S || self.nbf.is_some_and(|nbf| nbf > now + LEEWAY_S) {
            return Err(token_invalid());
        }
        Ok(())
    }
}

/// A key pair.
struct Key {
    encoding: EncodingKey,
    decoding: DecodingKey,
    kid: String,
    /// The uncompressed point: 4, x, y.
    public: Vec<u8>,
    secret: Vec<u8>,
}

impl Key {
    /// A new one, as it is stored.
    fn made() -> Result<String> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .map_err(|_| Error::internal("no signing key could be made"))?;
        Ok(BASE64_STANDARD.encode(document.as_ref()))
    }

    fn stored(text: &str) -> Result<Self> {
        Self::from_pkcs8(&BASE64_STANDARD.decode(text).map_err(Error::internal)?)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| Error::internal("the stored signing key cannot be read"))?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self {
            encoding: EncodingKey::from_ec_der(pkcs8),
            decoding: DecodingKey::from_ec_der(&public),
            kid: hex(&digest(&public)[..8]),
            public,
            secret: pkcs8.to_vec(),
        })
    }

    fn jwk(&self) -> serde_json::Value {
        let part = |from: usize, to: usize| {
            BASE64_URL_SAFE_NO_PAD.encode(self.public.get(from..to).unwrap_or_default())
        };
        serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": part(1, 33), "y": part(33, 65),
        })
    }
}

/// Signs and verifies.
pub(super) struct Signer {
    current: Key,
    previous: Option<Key>,
    validation: Validation,
    issuer: String,
}

impl Signer {
    /// Reads the keys of the instance, or makes the first one at the first start.
    pub(super) async fn load(store: &Store, issuer: &str) -> Result<Self> {
        let stored = match store.instance_get(KEY_NAME).await? {
            Some(stored) => stored,
            None => {
                let made = Key::made()?;
                let mut tx = store.begin().await?;
                tx.instance_insert(KEY_NAME, &made).await?;
                tx.commit().await?;
                // Another process may have been first.
                store.instance_get(KEY_NAME).await?.unwrap_or(made)
            }
        };
        let previous = store.instance_get(PREVIOUS_NAME).await?;
        let previous = previous.filter(|stored| !stored.is_empty());
        let previous = previous.as_deref().map(Key::stored).transpose()?;
        Ok(Self::of(Key::stored(&stored)?, previous, issuer))
    }

    fn of(current: Key, previous: Option<Key>, issuer: &str) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[issuer]);
        // The library would read the machine's clock; `Claims::check_time` takes ours.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.required_spec_claims.clear();
        Self {
            current,
            previous,
            validation,
            issuer: issuer.to_owned(),
        }
    }

    /// The present key, then the one before it.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Keys for another purpose, made from the signing keys: the one to use, then the one before it.
    pub(super) fn derived_keys(&self, purpose: &str) -> Vec<Hash> {
        let derived = |key: &Key| {
            let mut bytes = purpose.as_bytes().to_vec();
            bytes.push(0);
            bytes.extend_from_slice(&key.secret);
            digest(&bytes)
        };
        self.keys().map(derived).collect()
    }

    /// Claims with what all tokens say.
    pub(super) fn claims(
        &self,
        kind: TokenKind,
        sub: String,
        jti: &[u8; 16],
        now: Timestamp,
        ttl: std::time::Duration,
    ) -> Claims {
        Claims {
            kind,
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            sid: None,
            mtg: None,
            jti: hex(jti),
            iat: now.seconds(),
            exp: now.plus(ttl).seconds(),
            nbf: None,
            role: None,
        }
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(claims.kind.typ().to_owned());
        header.kid = Some(self.current.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.current.encoding).map_err(Error::internal)
    }

    /// Checks all but the time. Only our own keys count, whatever key the header names or brings.
    pub(super) fn verify(&self, token: &str) -> Result<Claims> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| token_invalid())?;
        let kind = match header.typ.as_deref() {
            Some("at+jwt") => TokenKind::Access,
            Some("guest+jwt") => TokenKind::Guest,
            _ => return Err(token_invalid()),
        };
        if header.alg != Algorithm::ES256 || header.crit.is_some() {
            return Err(token_invalid());
        }
        let named = |key: &&Key| header.kid.as_deref() == Some(key.kid.as_str());
        let key = self.keys().find(named).ok_or_else(token_invalid)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation)
            .map_err(|_| token_invalid())?;
        Ok(Claims {
            kind,
            ..data.claims
        })
    }

    pub(super) fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self.keys().map(Key::jwk).collect();
        serde_json::json!({ "keys": keys })
    }
}

impl App {
    /// Makes a new signing key for the next start. What was signed with the present one counts until
    /// it ends or the key is changed again; with `forget` only to that start.
    ///
    /// # Errors
    /// `FORBIDDEN` for who is no administrator.
    pub async fn signing_key_rotate(&self, ctx: &Ctx, forget: bool) -> Result<()> {
        admin_may(&ctx.actor)?;
        let present = self.store().instance_get(KEY_NAME).await?;
        let previous = present.filter(|_| !forget).unwrap_or_default();
        let mut change = self.change(ctx).await?;
        change.instance_put(PREVIOUS_NAME, &previous).await?;
        change.instance_put(KEY_NAME, &Key::made()?).await?;
        let details = serde_json::json!({ "forget": forget });
        change
            .audit("signing_key.rotated", "instance", details)
            .await?;
        change.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
