"""Access tokens, verified by PyJWT from our published keys."""

import base64
import hmac
import json

import jwt
import pytest


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_an_access_token_verifies_with_the_published_key(server, person):
    anna = person("anna")
    key = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json").get_signing_key_from_jwt(anna.token)
    claims = jwt.decode(anna.token, key.key, algorithms=["ES256"], audience="meetmind")
    assert claims["exp"] - claims["iat"] == 900
    assert claims["sub"].startswith("usr_") and claims["sid"].startswith("ses_")


@pytest.mark.parametrize("forge", ["none", "hs256", "other key"])
def test_a_forged_token_is_refused(server, person, forge):
    anna = person("anna")
    claims = jwt.decode(anna.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(anna.token)
    if forge == "none":
        token = jwt.encode(claims, "", algorithm="none", headers=header | {"alg": "none"})
    elif forge == "hs256":
        # Signed by hand: PyJWT refuses to take a published key for a secret.
        public = server.client().get("/.well-known/jwks.json").content
        parts = [header | {"alg": "HS256"}, claims]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        token = signed + "." + base64url(hmac.digest(public, signed.encode(), "sha256"))
    else:
        from cryptography.hazmat.primitives.asymmetric import ec

        token = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": header["kid"], "typ": header["typ"]})
    answer = server.client(token).get("/api/meetings")
    assert answer.status_code == 401, answer.text
    assert answer.json()["success"] is False
