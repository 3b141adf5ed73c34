//! The signing key of the instance and the tokens made with it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use meetmind_core::{Error, MeetingId, Result, SessionId, Timestamp};
use meetmind_store::Store;
use serde::{Deserialize, Serialize};

use super::{Hash, digest, hex, token_expired, token_invalid};

/// Where the key stands in the `instance` table: PKCS #8, base64.
const KEY_NAME: &str = "signing_key";
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

/// Signs and verifies.
pub(super) struct Signer {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    kid: String,
    /// The uncompressed point: 4, x, y.
    public: Vec<u8>,
    secret: Vec<u8>,
}

impl Signer {
    /// Reads the key of the instance, or makes it at the first start.
    pub(super) async fn load(store: &Store, issuer: &str) -> Result<Self> {
        let stored = match store.instance_get(KEY_NAME).await? {
            Some(stored) => stored,
            None => {
                let document = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &SystemRandom::new(),
                )
                .map_err(|_| Error::internal("no signing key could be made"))?;
                let made = BASE64_STANDARD.encode(document.as_ref());
                let mut tx = store.begin().await?;
                tx.instance_insert(KEY_NAME, &made).await?;
                tx.commit().await?;
                // Another process may have been first.
                store.instance_get(KEY_NAME).await?.unwrap_or(made)
            }
        };
        let pkcs8 = BASE64_STANDARD.decode(stored).map_err(Error::internal)?;
        Self::from_pkcs8(&pkcs8, issuer)
    }

    fn from_pkcs8(pkcs8: &[u8], issuer: &str) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| Error::internal("the stored signing key cannot be read"))?;
        let public = pair.public_key().as_ref().to_vec();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[issuer]);
        // The library would read the machine's clock; `Claims::check_time` takes ours.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            encoding: EncodingKey::from_ec_der(pkcs8),
            decoding: DecodingKey::from_ec_der(&public),
            validation,
            issuer: issuer.to_owned(),
            kid: hex(&digest(&public)[..8]),
            public,
            secret: pkcs8.to_vec(),
        })
    }

    /// A key for another purpose, made from the signing key.
    pub(super) fn derived_key(&self, purpose: &str) -> Hash {
        let mut bytes = purpose.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(&self.secret);
        digest(&bytes)
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
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(Error::internal)
    }

    /// Checks all but the time. Only our own key counts, whatever key the header names or brings.
    pub(super) fn verify(&self, token: &str) -> Result<Claims> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| token_invalid())?;
        let kind = match header.typ.as_deref() {
            Some("at+jwt") => TokenKind::Access,
            Some("guest+jwt") => TokenKind::Guest,
            _ => return Err(token_invalid()),
        };
        if header.alg != Algorithm::ES256
            || header.kid.as_deref() != Some(self.kid.as_str())
            || header.crit.is_some()
        {
            return Err(token_invalid());
        }
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| token_invalid())?;
        Ok(Claims {
            kind,
            ..data.claims
        })
    }

    pub(super) fn jwks(&self) -> serde_json::Value {
        let part = |from: usize, to: usize| {
            BASE64_URL_SAFE_NO_PAD.encode(self.public.get(from..to).unwrap_or_default())
        };
        serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": part(1, 33), "y": part(33, 65),
        }] })
    }
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
