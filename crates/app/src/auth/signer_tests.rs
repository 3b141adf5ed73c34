//! What a forger can try with a token.

use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://meet.example.com";

fn key() -> Key {
    Key::stored(&Key::made().expect("a key")).expect("a key")
}

fn signer() -> Signer {
    Signer::of(key(), None, ISSUER)
}

fn claims(signer: &Signer) -> Claims {
    let ttl = std::time::Duration::from_secs(900);
    signer.claims(TokenKind::Access, "usr_x".to_owned(), &[1; 16], NOW, ttl)
}

fn header(signer: &Signer) -> Value {
    json!({ "typ": "at+jwt", "alg": "ES256", "kid": signer.current.kid })
}

/// Signs any header and payload with the signer's own key.
fn forged(signer: &Signer, header: &Value, payload: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(payload));
    let signature =
        jsonwebtoken::crypto::sign(text.as_bytes(), &signer.current.encoding, Algorithm::ES256);
    format!("{text}.{}", signature.expect("a signature"))
}

fn payload(signer: &Signer) -> Value {
    serde_json::to_value(claims(signer)).expect("JSON")
}

#[test]
fn asvs_v5_9_1_1_a_token_is_believed_only_with_its_signature() {
    let signer = signer();
    let token = signer.sign(&claims(&signer)).expect("a token");
    assert_eq!(signer.verify(&token).expect("valid").sub, "usr_x");
    let (text, _) = token.rsplit_once('.').expect("three parts");
    assert!(signer.verify(&format!("{text}.")).is_err());
    let mut other = payload(&signer);
    other["sub"] = json!("usr_y");
    let body = BASE64_URL_SAFE_NO_PAD.encode(other.to_string());
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[1] = &body;
    assert!(signer.verify(&parts.join(".")).is_err());
    let stranger = self::signer();
    let theirs = forged(&stranger, &header(&signer), &payload(&signer));
    assert!(signer.verify(&theirs).is_err(), "another key's signature");
}

#[test]
fn asvs_v5_9_1_2_only_es256_is_taken() {
    let signer = signer();
    assert!(
        signer
            .verify(&forged(&signer, &header(&signer), &payload(&signer)))
            .is_ok()
    );
    for alg in [
        "none", "None", "HS256", "HS512", "RS256", "PS256", "ES384", "EdDSA", "",
    ] {
        let mut header = header(&signer);
        header["alg"] = json!(alg);
        assert!(
            signer
                .verify(&forged(&signer, &header, &payload(&signer)))
                .is_err(),
            "{alg}"
        );
    }
    // The classic confusion: the public key, which everybody has, as an HMAC secret.
    let mut hmac = jsonwebtoken::Header::new(Algorithm::HS256);
    hmac.typ = Some("at+jwt".to_owned());
    hmac.kid = Some(signer.current.kid.clone());
    let key = EncodingKey::from_secret(&signer.current.public);
    let token = jsonwebtoken::encode(&hmac, &payload(&signer), &key).expect("a token");
    assert!(signer.verify(&token).is_err());
}

#[test]
fn asvs_v5_9_1_3_a_key_that_the_token_brings_along_counts_for_nothing() {
    let (signer, stranger) = (signer(), signer());
    for name in ["jku", "x5u", "jwk"] {
        let mut header = header(&signer);
        header[name] = match name {
            "jwk" => stranger.jwks()["keys"][0].clone(),
            _ => json!("https://attacker.example/keys.json"),
        };
        let theirs = forged(&stranger, &header, &payload(&signer));
        assert!(signer.verify(&theirs).is_err(), "{name}");
    }
    let mut unknown = header(&signer);
    unknown["kid"] = json!("somebody-else");
    assert!(
        signer
            .verify(&forged(&signer, &unknown, &payload(&signer)))
            .is_err()
    );
    let mut critical = header(&signer);
    critical["crit"] = json!(["b64"]);
    assert!(
        signer
            .verify(&forged(&signer, &critical, &payload(&signer)))
            .is_err()
    );
}

#[test]
fn asvs_v5_9_2_1_a_token_is_valid_within_its_time_only() {
    let signer = signer();
    let mut claims = claims(&signer);
    assert!(claims.check_time(NOW).is_ok());
    let code = |claims: &Claims, at: Timestamp| claims.check_time(at).expect_err("refused").code;
    let end = NOW.plus(std::time::Duration::from_secs(900));
    assert_eq!(code(&claims, end), meetmind_core::Code::TokenExpired);
    let early = NOW.minus(std::time::Duration::from_secs(60));
    assert_eq!(code(&claims, early), meetmind_core::Code::TokenInvalid);
    claims.nbf = Some(NOW.seconds() + 100);
    assert_eq!(code(&claims, NOW), meetmind_core::Code::TokenInvalid);
    let mut endless = payload(&signer);
    endless.as_object_mut().expect("an object").remove("exp");
    assert!(
        signer
            .verify(&forged(&signer, &header(&signer), &endless))
            .is_err()
    );
}

#[test]
fn asvs_v5_9_2_2_a_token_of_another_type_is_refused() {
    let signer = signer();
    for typ in [
        json!("JWT"),
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("AT+JWT2"),
        Value::Null,
    ] {
        let mut header = header(&signer);
        header["typ"] = typ.clone();
        assert!(
            signer
                .verify(&forged(&signer, &header, &payload(&signer)))
                .is_err(),
            "{typ}"
        );
    }
    let mut guest = header(&signer);
    guest["typ"] = json!("guest+jwt");
    let kind = signer
        .verify(&forged(&signer, &guest, &payload(&signer)))
        .expect("valid")
        .kind;
    assert_eq!(
        kind,
        TokenKind::Guest,
        "the type decides what the claims mean"
    );
}

#[test]
fn asvs_v5_9_2_3_and_9_2_4_a_token_for_another_audience_or_from_another_issuer_is_refused() {
    let signer = signer();
    for (name, value) in [
        ("aud", json!("authenticated")),
        ("aud", json!(["livekit"])),
        ("aud", Value::Null),
        ("iss", json!("https://meet.example.com.attacker.example")),
        ("iss", Value::Null),
    ] {
        let mut payload = payload(&signer);
        payload[name] = value.clone();
        assert!(
            signer
                .verify(&forged(&signer, &header(&signer), &payload))
                .is_err(),
            "{name} {value}"
        );
        payload.as_object_mut().expect("an object").remove(name);
        assert!(
            signer
                .verify(&forged(&signer, &header(&signer), &payload))
                .is_err(),
            "no {name}"
        );
    }
}

#[test]
fn the_published_key_verifies_our_tokens() {
    let signer = signer();
    let key = &signer.jwks()["keys"][0];
    assert_eq!(
        (&key["alg"], &key["kid"]),
        (&json!("ES256"), &json!(signer.current.kid))
    );
    assert!(key.get("d").is_none(), "the private part stays here");
    let text = |name: &str| key[name].as_str().expect("text").to_owned();
    let public = DecodingKey::from_ec_components(&text("x"), &text("y")).expect("a key");
    let token = signer.sign(&claims(&signer)).expect("a token");
    assert!(jsonwebtoken::decode::<Claims>(&token, &public, &signer.validation).is_ok());
}

#[test]
fn a_changed_key_leaves_what_the_one_before_it_signed_valid_and_no_more() {
    let old = signer();
    let token = old.sign(&claims(&old)).expect("a token");
    let new = Signer::of(key(), Some(old.current), ISSUER);
    assert_eq!(new.verify(&token).expect("still valid").sub, "usr_x");
    let fresh = new.sign(&claims(&new)).expect("a token");
    assert!(new.verify(&fresh).is_ok());
    assert_eq!(new.jwks()["keys"].as_array().map(Vec::len), Some(2));
    let newer = Signer::of(key(), Some(new.current), ISSUER);
    assert!(newer.verify(&fresh).is_ok() && newer.verify(&token).is_err());
}
